// Draws the matrix of a run: a cell for each instance, its colour and letter its status. Thousands fit on one canvas.
import {find, findAll, onContent} from "./dom.js";
import {gridOf, moved, placeAt} from "./matrix-grid.js";

const EVERY_MS = 1000;
// Smaller cells have no room for a letter.
const LETTER_PX = 11;
const HEIGHT_PART = 0.45;

let shown = null;

class Matrix {
  constructor(canvas) {
    Object.assign(this, {canvas, letters: "", ordinals: [], names: [], revision: "", place: 0, isEnded: false});
    this.leaving = new AbortController();
    const {signal} = this.leaving;
    canvas.addEventListener("click", (event) => this.open(this.at(event)), {signal});
    canvas.addEventListener("mousemove", (event) => this.hover(this.at(event)), {signal});
    canvas.addEventListener("keydown", (event) => this.key(event), {signal});
    canvas.addEventListener("focus", () => this.say(this.place), {signal});
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), {signal});
    this.themes = new MutationObserver(() => this.draw());
    this.themes.observe(document.documentElement, {attributeFilter: ["data-theme"]});
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(canvas.parentElement);
    this.load("whole=1");
  }

  close() {
    this.leaving.abort();
    this.themes.disconnect();
    this.sizes.disconnect();
    clearTimeout(this.timer);
  }

  /** Ask for the statuses, again and again until the run has ended. */
  async load(query) {
    try {
      const answer = await fetch(`${this.canvas.dataset.matrix}?${query}`, {signal: this.leaving.signal});
      if (answer.status === 200) this.take(await answer.json());
    } catch {
      // The console is away, or the page is left; the next time will tell.
    }
    if (this.leaving.signal.aborted || this.isEnded) return;
    const next = this.names.length ? `revision=${this.revision}` : "whole=1";
    this.timer = setTimeout(() => this.load(next), EVERY_MS);
  }

  take({letters, revision, ended, ordinals = this.ordinals, names = this.names}) {
    Object.assign(this, {letters, revision, ordinals, names, isEnded: ended});
    this.draw();
    this.canvas.setAttribute("aria-label", `${find("#run-summary")?.dataset.summary ?? ""}`);
  }

  draw() {
    const {canvas, letters} = this;
    const width = canvas.parentElement.clientWidth - 2 * parseFloat(getComputedStyle(canvas.parentElement).paddingLeft);
    if (!letters || width <= 0) return;
    this.grid = gridOf(letters.length, width, innerHeight * HEIGHT_PART);
    const {columns, rows, cell} = this.grid;
    const scale = devicePixelRatio || 1;
    // Its height follows from this shape by CSS.
    [canvas.width, canvas.height] = [width * scale, rows * cell * scale];
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const {colours, ground, edge} = palette();
    Object.assign(pen, {font: `600 ${cell - 6}px monospace`, textAlign: "center", textBaseline: "middle"});
    for (let place = 0; place < letters.length; place++) {
      const [x, y] = [(place % columns) * cell, Math.floor(place / columns) * cell];
      pen.fillStyle = colours.get(letters[place]) ?? edge;
      pen.fillRect(x, y, cell - 1, cell - 1);
      if (cell < LETTER_PX) continue;
      pen.fillStyle = ground;
      pen.fillText(letters[place], x + (cell - 1) / 2, y + cell / 2);
    }
    Object.assign(pen, {strokeStyle: edge, lineWidth: 2});
    pen.strokeRect((this.place % columns) * cell, Math.floor(this.place / columns) * cell, cell - 1, cell - 1);
  }

  at({offsetX, offsetY}) {
    return this.grid ? placeAt(this.grid, this.letters.length, offsetX, offsetY) : -1;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.grid) return;
    const place = moved(event.key, this.place, this.letters.length, this.grid.columns);
    if (place === null && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    if (place === null) return this.open(this.place);
    this.place = place;
    this.draw();
    this.say(place);
  }

  hover(place) {
    this.canvas.title = place < 0 ? "" : this.words(place);
  }

  words(place) {
    const status = find(`[data-letter="${this.letters[place]}"]`)?.textContent ?? "";
    return `${this.names[place]}: ${status}`;
  }

  say(place) {
    if (place < this.letters.length) find("#matrix-said").textContent = this.words(place);
  }

  /** Open an instance beside the matrix, as a row of the table does. */
  open(place) {
    if (place < 0) return;
    this.place = place;
    this.draw();
    this.say(place);
    const {open, address} = this.canvas.dataset;
    const ordinal = this.ordinals[place];
    const link = find("#matrix-open");
    // A new element: what htmx has read of one stays.
    const fresh = link.cloneNode(true);
    fresh.href = `${address}${ordinal}`;
    fresh.setAttribute("hx-get", `${open}${ordinal}`);
    fresh.setAttribute("hx-push-url", `${address}${ordinal}`);
    link.replaceWith(fresh);
    fresh.click();
  }
}

/** The colours of the legend, which are those of the tokens in the theme that is on. */
function palette() {
  const colours = new Map();
  for (const word of findAll("[data-letter]")) colours.set(word.dataset.letter, getComputedStyle(word.parentElement).color);
  const page = getComputedStyle(document.documentElement);
  return {colours, ground: page.backgroundColor, edge: page.color};
}

export function startMatrix() {
  onContent(() => {
    const canvas = find("#matrix");
    if (shown?.canvas === canvas) return;
    shown?.close();
    shown = canvas ? new Matrix(canvas) : null;
  });
}

// Shows a log: bytes with offsets in, rows of text out.
//
// Only the rows in view exist, so a million lines cost as much as fifty. A small log that is quiet is drawn whole:
// then the browser's own find, select-all and copy work on it.
import {Frame} from "./frame.js";
import {Lines} from "./lines.js";
import {makeRow} from "./log-rows.js";
import {LogScroll} from "./log-scroll.js";
import {GAP} from "./records.js";

const WHOLE_LINES = 5000;
const TRICKLE_LINES = 200;
const QUIET_MS = 250;

/**
 * root: the element, whose content stays until there are lines to show; canLoad(gap): whether a gap can be fetched.
 * Events on the element: "log:drawn" after every drawing, "log:follow", "log:hits", "log:point" and "log:load" {gap}.
 */
export class LogView {
  constructor({root, canLoad = () => true}) {
    Object.assign(this, {root, canLoad, target: null, frame: new Frame(() => this.draw())});
    this.spacer = document.createElement("div");
    this.rows = document.createElement("pre");
    this.rows.className = "log__lines";
    this.spacer.append(this.rows);
    this.note = document.createElement("p");
    this.note.className = "log__note";
    const {rows, spacer} = this;
    const [onMove, onFollow] = [() => this.soon(), () => this.tell("follow")];
    this.scroll = new LogScroll({root, spacer, rows, onMove, onFollow});
    root.addEventListener("click", (event) => this.clicked(event));
    new ResizeObserver(() => this.soon()).observe(root);
    this.reset(0);
  }

  /** Forget everything and expect bytes from an offset on. */
  reset(from) {
    this.lines = new Lines();
    this.next = from;
    this.shape = "";
    this.solid = this.drawnCount = this.drawnFirst = 0;
    this.isQuiet = true;
    this.isWhole = false;
    this.scroll.follow(this.target === null);
    this.search("");
  }

  /** Let go of the page; the element is about to leave it. */
  close() {
    clearTimeout(this.quietTimer);
    this.frame.close();
  }

  /** Take one record. Bytes already held are passed over; a hole becomes a visible gap. */
  push(kind, offset, bytes, span = bytes.length) {
    const end = offset + span;
    if (end <= this.next) return;
    if (offset > this.next) this.lines.addGap(this.next, offset);
    const held = Math.max(0, this.next - offset);
    if (kind === GAP) this.lines.addGap(offset + held, end);
    else this.lines.append(kind, bytes.subarray(held));
    this.next = end;
    this.isQuiet = false;
    clearTimeout(this.quietTimer);
    this.quietTimer = setTimeout(() => this.becomeQuiet(), QUIET_MS);
    this.soon();
  }

  /** The output is complete. */
  end() {
    this.lines.finish();
    this.becomeQuiet();
  }

  /** Put bytes fetched for a gap in its place, keeping what is in view where it is. */
  fill(gap, from, bytes) {
    const before = this.lines.count;
    this.lines.fillGap(gap, from, bytes);
    this.scroll.follow(false);
    this.draw();
    this.scroll.shift(this.lines.count - before);
    this.soon();
  }

  /** Say something where there are no lines (yet). */
  say(text) {
    this.note.textContent = text;
    this.soon();
  }

  becomeQuiet() {
    this.isQuiet = true;
    if (this.needle) this.search(this.needle);
    this.soon();
  }

  tell(name, detail = null) {
    this.root.dispatchEvent(new CustomEvent(`log:${name}`, {detail}));
  }

  soon() {
    this.frame.soon();
  }

  draw() {
    const count = this.lines.count;
    const content = count ? this.spacer : this.note;
    if ((count || this.note.textContent) && this.root.firstElementChild !== content) this.root.replaceChildren(content);
    // A trickle of lines does not turn a log drawn whole back into a window.
    const isTrickle = this.isWhole && count - this.drawnCount < TRICKLE_LINES;
    this.isWhole = count <= WHOLE_LINES && (this.isQuiet || isTrickle || count <= this.scroll.visibleRows);
    this.scroll.shift(this.drawnFirst - this.lines.first);
    const shown = this.scroll.window(count, this.isWhole);
    this.render(shown.from, shown.upto);
    this.scroll.place(shown);
    [this.drawnCount, this.drawnFirst] = [count, this.lines.first];
    this.tell("drawn");
  }

  /** Make the rows exist, keeping those that are there and cannot change: a selection in them survives. */
  render(from, upto) {
    const shape = [from, this.lines.first, this.lines.version, this.needle, this.hit, this.target].join("|");
    if (shape !== this.shape) {
      this.rows.replaceChildren();
      this.shape = shape;
      this.solid = from;
    }
    this.solid = Math.min(this.solid, upto);
    while (this.rows.childElementCount > this.solid - from) this.rows.lastElementChild.remove();
    const fresh = document.createDocumentFragment();
    for (let place = this.solid; place < upto; place++) fresh.append(this.row(this.lines.at(place)));
    this.rows.append(fresh);
    this.solid = Math.max(from, Math.min(upto, this.lines.complete));
  }

  row(line) {
    const onLoad = line.gap && this.canLoad(line.gap) ? (gap) => this.tell("load", {gap}) : null;
    return makeRow(line, {needle: this.needle, hit: this.hit, target: this.target, onLoad});
  }

  follow(isOn) {
    if (isOn) this.target = null;
    this.scroll.follow(isOn);
    this.soon();
  }

  wrap(isOn) {
    this.root.classList.toggle("log--wrap", isOn);
    this.soon();
  }

  /** Bring a line (number from 0) into view and stop following. */
  goTo(number) {
    this.scroll.follow(false);
    this.scroll.toRow(number - this.lines.first, this.lines.count, this.isWhole);
    this.soon();
  }

  /** Show a line as the one a link names. */
  point(number) {
    this.target = number;
    this.goTo(number);
  }

  /** Number of the line at the top of what is seen, from 0. */
  get topLine() {
    return Number(this.scroll.topRow?.dataset.n ?? 1) - 1;
  }

  clicked(event) {
    const row = event.target.closest(".ln");
    // The number is drawn by CSS in the row's padding, so that copied text does not have it.
    if (!row || event.clientX > row.getBoundingClientRect().left + parseFloat(getComputedStyle(row).paddingLeft)) return;
    this.point(Number(row.dataset.n) - 1);
    this.tell("point");
  }

  /** Search everything held, ignoring case. The lines found are in hits, the current one is hit. */
  search(text) {
    this.needle = text.toLowerCase();
    this.hits = this.lines.search(this.needle);
    if (!this.hits.includes(this.hit)) this.hit = undefined;
    this.tell("hits");
    this.soon();
  }

  /** Go to the next (1) or previous (-1) hit, round and round. */
  step(direction) {
    if (!this.hits.length) return;
    const at = this.hits.indexOf(this.hit);
    const start = at < 0 && direction < 0 ? 0 : at;
    this.hit = this.hits[(start + direction + this.hits.length) % this.hits.length];
    this.goTo(this.hit);
    this.tell("hits");
  }
}

// Draws one line of a log as a row. Text becomes text nodes only, never HTML.
import {paint} from "./ansi.js";
import {STDERR} from "./records.js";

// A longer line is shown up to here; nobody reads on, and laying it out takes seconds.
const MAX_SHOWN_CHARACTERS = 20_000;

/** Return the row of a line. needle: lower-case text to mark; hit, target: line numbers; onLoad: null when a gap cannot be loaded. */
export function makeRow(line, {needle, hit, target, onLoad}) {
  const row = document.createElement("span");
  row.className = "ln";
  row.dataset.n = line.number + 1;
  if (line.gap) fillGapRow(row, line.gap, onLoad);
  else fillTextRow(row, line, needle);
  row.classList.toggle("ln--hit", line.number === hit);
  row.classList.toggle("ln--target", line.number === target);
  // The line feed is part of the text, so that a copied selection has it.
  row.append("\n");
  return row;
}

function fillTextRow(row, line, needle) {
  if (line.stream === STDERR) {
    row.classList.add("ln--stderr");
    row.title = "stderr";
  }
  const rest = line.text.length - MAX_SHOWN_CHARACTERS;
  for (const {text, classes} of paint(rest > 0 ? line.text.slice(0, MAX_SHOWN_CHARACTERS) : line.text, line.look).runs) {
    appendMarked(classes ? appendPart(row, classes) : row, text, needle);
  }
  if (rest > 0) row.append(` ⋯ ${rest.toLocaleString("en")} more characters in this line, see Download`);
}

function appendPart(row, classes) {
  const part = document.createElement("span");
  part.className = classes;
  row.append(part);
  return part;
}

function appendMarked(into, text, needle) {
  let last = 0;
  if (needle) {
    const low = text.toLowerCase();
    for (let at = low.indexOf(needle); at >= 0; at = low.indexOf(needle, last)) {
      const mark = document.createElement("mark");
      mark.textContent = text.slice(at, at + needle.length);
      into.append(text.slice(last, at), mark);
      last = at + needle.length;
    }
  }
  into.append(text.slice(last));
}

function fillGapRow(row, gap, onLoad) {
  row.classList.add("ln--gap");
  row.append(`⋯ ${size(gap.to - gap.from)} not shown here `);
  if (!onLoad) {
    // What retention removed is not to be had there either.
    if (document.getElementById("download")) row.append("(see Download)");
    return;
  }
  const button = document.createElement("button");
  Object.assign(button, {type: "button", textContent: "Load earlier"});
  button.addEventListener("click", () => onLoad(gap));
  row.append(button);
}

/** "5.0 MB": what a person can picture, not what a file system counts. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

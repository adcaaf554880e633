// Colours of terminal output. No DOM: text in, {text, classes} runs out; everything but colours is dropped.

/** How text looks: colour numbers 0–15 or null, and a set of flags as one string. */
export const PLAIN = Object.freeze({fg: null, bg: null, flags: ""});

// 1: the parameters of a colour sequence. Then: other CSI, OSC (titles, links), charset switches, single escapes,
// and control characters other than tab, line feed and carriage return.
const ESCAPES =
  /\x1b\[([0-9;:]*)m|\x1b\[[0-9;:<=>?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]+[0-~]|\x1b[0-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/g;
const COLOURS = /\x1b\[([0-9;:]*)m/g;
const FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"};
const ENDS = {22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 29: ["strike"]};
const RGB_OF = [
  [0, 0, 0], [205, 0, 0], [0, 205, 0], [205, 205, 0], [0, 0, 238], [205, 0, 205], [0, 205, 205], [229, 229, 229],
  [127, 127, 127], [255, 0, 0], [0, 255, 0], [255, 255, 0], [92, 92, 255], [255, 0, 255], [0, 255, 255], [255, 255, 255],
];

/** Return the state after a colour sequence with these parameters ("1;31"). */
export function apply(state, parameters) {
  const codes = parameters === "" ? [0] : parameters.split(/[;:]/).map(Number);
  let {fg, bg} = state;
  let flags = new Set(state.flags ? state.flags.split(" ") : []);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) [fg, bg, flags] = [null, null, new Set()];
    else if (FLAGS[code]) flags.add(FLAGS[code]);
    else if (ENDS[code]) ENDS[code].forEach((flag) => flags.delete(flag));
    else if (code >= 30 && code <= 37) fg = code - 30;
    else if (code >= 90 && code <= 97) fg = code - 82;
    else if (code === 39) fg = null;
    else if (code >= 40 && code <= 47) bg = code - 40;
    else if (code >= 100 && code <= 107) bg = code - 92;
    else if (code === 49) bg = null;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes.slice(i + 1));
      if (code === 38) fg = colour;
      else bg = colour;
      i += used;
    }
  }
  return {fg, bg, flags: [...flags].join(" ")};
}

/** Cut a line into runs of one look. Returns {runs: [{text, classes}], state}, state being the look at its end. */
export function paint(line, state) {
  const runs = [];
  const put = (text) => text && runs.push({text, classes: classesOf(state)});
  let last = 0;
  for (const match of line.matchAll(ESCAPES)) {
    put(line.slice(last, match.index));
    last = match.index + match[0].length;
    if (match[1] !== undefined) state = apply(state, match[1]);
  }
  put(line.slice(last));
  return {runs, state};
}

/** Return the look at the end of a text, from the look at its start. */
export function carry(text, state) {
  if (!text.includes("\x1b[")) return state;
  // Nothing before the last full reset matters; megabytes of log have thousands of them.
  const reset = Math.max(text.lastIndexOf("\x1b[0m"), text.lastIndexOf("\x1b[m"));
  if (reset >= 0) [state, text] = [PLAIN, text.slice(reset)];
  for (const match of text.matchAll(COLOURS)) state = apply(state, match[1]);
  return state;
}

/** Return what is left to see of one line: a bare carriage return starts it over (progress bars). */
export function lastState(line) {
  let end = line.length;
  while (end > 0 && line[end - 1] === "\r") end--;
  const start = line.lastIndexOf("\r", end - 1);
  return start < 0 || end === 0 ? line.slice(0, end) : line.slice(start + 1, end);
}

/** Return the look at the start of what is left to see of a line. */
export function lookAtLastState({text, look}) {
  const start = text.lastIndexOf("\r", text.length - 2);
  return start < 0 ? look : carry(text.slice(0, start), look);
}

/** Return a text as it is seen, line by line: for searching. */
export function visible(text) {
  const plain = text.includes("\x1b") ? text.replace(ESCAPES, "") : text;
  return plain.includes("\r") ? plain.split("\n").map(lastState).join("\n") : plain;
}

function classesOf({fg, bg, flags}) {
  const classes = flags ? flags.split(" ").map((flag) => `a-${flag}`) : [];
  if (fg !== null) classes.push(`fg-${fg}`);
  if (bg !== null) classes.push(`bg-${bg}`);
  return classes.join(" ");
}

// 256 colours and true colour become the nearest of the 16, which are readable in both themes.
function extended([mode, ...rest]) {
  if (mode === 5) return [rest[0] < 16 ? rest[0] : nearest(ofPalette(rest[0])), 2];
  if (mode === 2) return [nearest(rest.slice(0, 3)), 4];
  return [null, 1];
}

function ofPalette(index) {
  if (index >= 232) return Array(3).fill(8 + (index - 232) * 10);
  const cube = index - 16;
  return [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((step) => (step ? 55 + step * 40 : 0));
}

function nearest([red = 0, green = 0, blue = 0]) {
  const distances = RGB_OF.map(([r, g, b]) => (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2);
  return distances.indexOf(Math.min(...distances));
}

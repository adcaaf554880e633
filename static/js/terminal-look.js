// How a terminal looks: the page's colours and font, its size, and style elements that the security policy lets in.
import {FitAddon, Terminal} from "../vendor/xterm.js";
import {refuseRequests} from "./terminal-answers.js";
import {limitCounts, limitMarks} from "./terminal-counts.js";

const SIZE_KEY = "muster.terminal-font-size";
const SIZES = {least: 8, usual: 14, most: 32};
const SCROLLBACK = 10_000;
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
// Black and white, which css/terminal.css has of its own.
const OWN = [0, 7, 15];

/** Let the style elements that xterm.js makes have the page's nonce; it must be there before they are in the page. */
function stylesWithNonce() {
  const nonce = document.querySelector("link[nonce]")?.nonce;
  const create = document.createElement;
  if (!nonce || create.hasNonce) return;
  document.createElement = function (name, options) {
    const element = create.call(this, name, options);
    if (element instanceof HTMLStyleElement) element.nonce = nonce;
    return element;
  };
  document.createElement.hasNonce = true;
}

/** Make a terminal in an element, in the page's colours, that a host cannot misuse. Returns {terminal, fit, dispose()}. */
export function openTerminal(element, options = {}) {
  stylesWithNonce();
  const terminal = new Terminal({
    allowProposedApi: true,
    // A click with Alt would type arrow keys, as many as the host says the cursor is away.
    altClickMovesCursor: false,
    cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    fontSize: readSize(),
    // What a host prints wrongly is no error of the page.
    logLevel: "off",
    minimumContrastRatio: 4.5,
    scrollback: SCROLLBACK,
    theme: themeOf(element),
    ...options,
  });
  refuseRequests(terminal.parser);
  limitCounts(terminal);
  limitMarks(terminal);
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(element);
  const stop = onTheme(() => (terminal.options.theme = themeOf(element)));
  return {
    terminal,
    fit,
    dispose() {
      stop();
      terminal.dispose();
    },
  };
}

/** A token's colour in the theme that is shown, as #rrggbb. */
export function colour(element, name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  element.append(probe);
  const parts = getComputedStyle(probe).color.match(/\d+/g).slice(0, 3);
  probe.remove();
  return `#${parts.map((part) => Number(part).toString(16).padStart(2, "0")).join("")}`;
}

function themeOf(element) {
  const of = (name) => colour(element, name);
  const theme = {
    background: of("log-bg"),
    foreground: of("text"),
    cursor: of("accent"),
    cursorAccent: of("log-bg"),
    selectionBackground: `${of("accent")}55`,
  };
  NAMES.forEach((name, at) => {
    theme[name] = of(OWN.includes(at) ? `terminal-${at}` : `ansi-${at}`);
    theme[`bright${name[0].toUpperCase()}${name.slice(1)}`] = of(OWN.includes(at + 8) ? `terminal-${at + 8}` : `ansi-${at + 8}`);
  });
  return theme;
}

function onTheme(callback) {
  const observer = new MutationObserver(callback);
  observer.observe(document.documentElement, {attributeFilter: ["data-theme"]});
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    system.removeEventListener("change", callback);
  };
}

function readSize() {
  try {
    return bounded(Number(localStorage.getItem(SIZE_KEY)) || SIZES.usual);
  } catch {
    return SIZES.usual;
  }
}

const bounded = (size) => Math.max(SIZES.least, Math.min(SIZES.most, size));

/** Make the letters larger (1) or smaller (-1), here and in terminals opened later. Returns the size. */
export function changeSize(terminal, step) {
  const size = bounded(terminal.options.fontSize + step);
  terminal.options.fontSize = size;
  try {
    localStorage.setItem(SIZE_KEY, size);
  } catch {
    // Then it lasts as long as the page.
  }
  return size;
}

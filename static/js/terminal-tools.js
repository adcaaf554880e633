// The tools above a terminal, and the keys that do the same: search, copy, letter size, screen reader, the way out.
import {SearchAddon} from "../vendor/xterm.js";
import {find} from "./dom.js";
import {changeSize, colour} from "./terminal-look.js";
import {connectPaste} from "./terminal-paste.js";
import {toast} from "./toasts.js";

const READER_KEY = "muster.terminal-reader";
/** Hits that are counted and marked; the search finds what is beyond them, too. */
const MOST_HITS = 1000;

/** Wire the tools in `root` to a terminal. actions: {fit() after a change of size, takeOver()}. */
export function connectTools(root, look, actions) {
  const {terminal} = look;
  const act = (name, callback) => {
    find(`[data-act=terminal-${name}]`, root)?.addEventListener("click", ({detail}) => {
      // Whoever clicked goes on typing; whoever came by keyboard may want to press it again.
      if (detail) terminal.focus();
      callback();
    });
  };
  const search = connectSearch(root, terminal);
  const resize = (step) => {
    changeSize(terminal, step);
    actions.fit();
  };
  act("search", search.toggle);
  act("larger", () => resize(1));
  act("smaller", () => resize(-1));
  act("copy", () => copy(terminal));
  act("take-over", () => {
    actions.takeOver();
    terminal.focus();
  });
  connectReader(root, terminal);
  connectPaste(root, terminal);
  terminal.onSelectionChange(() => {
    find("[data-act=terminal-copy]", root).disabled = !terminal.hasSelection();
  });
  const keys = {
    KeyC: () => copy(terminal),
    KeyF: search.open,
    // Tab is the terminal's: without a key of its own, whoever uses the keyboard could never leave.
    Space: () => find(".terminal__tools :is(button, a):not([hidden], [disabled])", root)?.focus(),
  };
  terminal.attachCustomKeyEventHandler((event) => {
    if (!event.ctrlKey || !event.shiftKey || event.altKey || event.metaKey) return true;
    // The browser pastes; xterm.js takes what comes.
    if (event.code === "KeyV") return false;
    const action = keys[event.code];
    if (!action) return true;
    event.preventDefault();
    if (event.type === "keydown") action();
    return false;
  });
}

async function copy(terminal) {
  const text = terminal.getSelection();
  if (!text) return;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers have that only on https and localhost; xterm.js answers this with its selection.
    terminal.focus();
    if (!document.execCommand("copy")) {
      toast("The browser did not let this page copy.", {isError: true});
      return;
    }
  }
  toast("Copied.");
  terminal.focus();
}

function connectReader(root, terminal) {
  const button = find("[data-act=terminal-reader]", root);
  const turn = (isOn) => {
    terminal.options.screenReaderMode = isOn;
    button.setAttribute("aria-pressed", isOn);
  };
  turn(localStorage.getItem(READER_KEY) !== null);
  button.addEventListener("click", () => {
    const isOn = !terminal.options.screenReaderMode;
    turn(isOn);
    if (isOn) localStorage.setItem(READER_KEY, "1");
    else localStorage.removeItem(READER_KEY);
  });
}

/** Search in what the terminal keeps. Returns {open(), toggle()}. */
function connectSearch(root, terminal) {
  const addon = new SearchAddon({highlightLimit: MOST_HITS});
  terminal.loadAddon(addon);
  const form = find("[data-terminal-search]", root);
  const field = find("input", form);
  const said = find("[data-terminal-hits]", form);
  const options = () => ({
    decorations: {
      matchBackground: colour(root, "mark"),
      matchOverviewRuler: colour(root, "mark"),
      activeMatchBackground: colour(root, "mark-current"),
      activeMatchColorOverviewRuler: colour(root, "mark-current"),
    },
  });
  const go = (step, more = {}) => {
    if (!field.value) return clear();
    if (step < 0) addon.findPrevious(field.value, options());
    else addon.findNext(field.value, {...options(), ...more});
  };
  const clear = () => {
    addon.clearDecorations();
    said.textContent = "";
  };
  const open = () => {
    form.hidden = false;
    field.select();
    field.focus();
  };
  const close = () => {
    form.hidden = true;
    clear();
    terminal.focus();
  };
  addon.onDidChangeResults(({resultIndex, resultCount}) => {
    const which = resultCount && resultIndex < 0 ? "One" : resultIndex + 1;
    const all = resultCount < MOST_HITS ? resultCount : `${MOST_HITS} or more`;
    said.textContent = field.value ? `${which} of ${all}` : "";
  });
  field.addEventListener("input", () => go(1, {incremental: true}));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(event.submitter?.value === "previous" ? -1 : 1);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.shiftKey) {
      event.preventDefault();
      go(-1);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
  });
  find("[data-act=terminal-search-close]", form).addEventListener("click", close);
  return {open, toggle: () => (form.hidden ? open() : close())};
}

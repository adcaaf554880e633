// Single-key shortcuts. Off while typing, in dialogs, and when switched off in the sheet (WCAG 2.1.4).
import {find, findAll, onAct} from "./dom.js";
import {closePanel} from "./panel.js";
import {openSend} from "./send.js";

const OFF = "muster.shortcuts-off";
const NEXT_KEY_MS = 1000;
const GO = {i: "/", r: "/runs/", s: "/saved/"};
const NOT_SUCCEEDED = ".st-failed, .st-timed_out, .st-unreachable, .st-lost";

const press = (selector) => find(selector)?.click();

const KEYS = {
  "/": () => find(find("#run") ? "#log-search" : "[data-filter], #q, input[type=search]")?.focus(),
  j: () => move(1),
  k: () => move(-1),
  x: () => press("tr:focus-within .pick"),
  c: () => openSend(),
  s: () => press("#stop-one"),
  S: () => press("#stop-all"),
  f: () => press("[data-log=follow]"),
  w: () => press("[data-log=wrap]"),
  n: () => stepToFailure(1),
  N: () => stepToFailure(-1),
  "?": () => find("#shortcuts").showModal(),
  Escape: () => find("#run") && closePanel(),
};

export function startKeys() {
  let isGoing = 0;
  const box = find("#shortcuts-on");
  box.checked = localStorage.getItem(OFF) === null;
  box.addEventListener("change", () => (box.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1")));
  onAct("shortcuts", () => find("#shortcuts").showModal());
  document.addEventListener("keydown", (event) => {
    if (!isForUs(event, box.checked)) return;
    const isSecond = Date.now() - isGoing < NEXT_KEY_MS;
    isGoing = event.key === "g" ? Date.now() : 0;
    const action = isSecond && GO[event.key] ? () => press(`nav a[href="${GO[event.key]}"]`) : KEYS[event.key];
    if (!action) return;
    // Or the key would be typed into what it opens.
    event.preventDefault();
    action();
  });
}

function isForUs(event, isOn) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || find("dialog[open]")) return false;
  if (event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable=true]")) return false;
  const menu = find("details.menu[open]");
  if (event.key === "Escape" && menu) return void (menu.open = false);
  return isOn || event.key === "Escape";
}

/** The rows to move in: the run's when the focus is there or the list is covered. */
function rowsHere() {
  const ofRun = findAll("#run-rows tr[data-i]");
  const ofList = findAll("#list tbody tr, tr[data-row]").filter((row) => row.checkVisibility());
  return ofRun.length && (!ofList.length || find("#run").contains(document.activeElement)) ? ofRun : ofList;
}

function move(step) {
  const rows = rowsHere();
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
  if (next) (find("th a", next) ?? find("a, input", next))?.focus();
}

function stepToFailure(step) {
  const rows = findAll("#run-rows tr[data-i]");
  const at = rows.findIndex((row) => row.hasAttribute("aria-current"));
  const wrong = rows.filter((row) => find(NOT_SUCCEEDED, row));
  const ordered = step > 0 ? wrong : wrong.toReversed();
  const next = ordered.find((row) => (rows.indexOf(row) - at) * step > 0) ?? ordered[0];
  if (next) find("a", next).click();
}

// The Send Command dialog: opened over the list, filled from the selection, a row, an address or a former run.
import {chosen, isChoosing, setWay, showWays, startChoose, useChosen, way} from "./choose.js";
import {find, findAll, instances, isPlainClick, onAct, onContent} from "./dom.js";
import {keepDraft, restoreDraft} from "./draft.js";
import {showFamilies, useForWindows, useWindowsText, windowsTypeChanged} from "./families.js";
import {keepScriptName, nameScript, startScriptFile} from "./script-file.js";
import {forgetSecrets, startParameters, useParameters} from "./parameters.js";
import {count, selected} from "./selection.js";

const TARGET_FIELDS = ["ids", "query", "group", "by_query", "except_ids", "everything", "address", "expected_count"];
const NOTHING_CHOSEN = {way: "filter"};
// A longer address is refused by servers on the way; then the server is asked by POST.
const MAX_ADDRESS_CHARACTERS = 4000;

let editor = null;
let opener = null;
let isSent = false;

const dialog = () => find("#send");
const form = () => find("#send-form");

/** Open the dialog for the selection; without one, as it was left. */
export function openSend() {
  if (dialog()) open(selected());
  else find("[data-act=send-one][href], [data-act=send][href]")?.click();
}

export function startSend() {
  onContent(prepare);
  startScriptFile(useScript);
  startParameters();
  startChoose(form, choiceChanged);
  onAct("send", (element, event) => openInstead(event, () => open(selected())));
  onAct("send-one", (element, event) => openInstead(event, () => open({ids: element.dataset.instance})));
  onAct("send-choose", (element, event) => openInstead(event, () => open(NOTHING_CHOSEN, {focus: "filter_text"})));
  onAct("send-link", (link, event) => openInstead(event, () => openLink(link)));
  onAct("send-rows", (button, event) => openInstead(event, () => openRows(button.form)));
  onAct("send-close", () => dialog()?.close());
  document.addEventListener("input", ({target}) => {
    if (!target.form || target.form !== form()) return;
    keepScriptName(form());
    keepDraft(form());
  });
  document.addEventListener("change", ({target}) => {
    if (!target.form || target.form !== form()) return;
    if (target.name === "command_type") typeChanged();
    if (target.name === "windows_type") windowsTypeChanged(form());
    if (target.matches("[data-saved]")) useSaved(target);
    if (target.name === "address") nameButton();
    if (target.name.startsWith("leave_out_")) nameButton(goingTo());
  });
  document.addEventListener("htmx:config:request", beforeSending);
  document.addEventListener("htmx:before:request", ({target}) => target === form() && setBusy(true));
  document.addEventListener("htmx:finally:request", ({target}) => target.id === "send-form" && setBusy(false));
  document.addEventListener("htmx:after:request", ({target, detail}) => {
    if (target === form() && detail.ctx.response.status < 400) sent();
  });
}

// Without the dialog on the page, links go to the form's own page.
function openInstead(event, open) {
  if (!dialog() || !isPlainClick(event)) return;
  event.preventDefault();
  event.target.closest("details")?.removeAttribute("open");
  open();
}

function open(targets, {focus = "editor"} = {}) {
  if (dialog().open) return;
  opener = document.activeElement;
  if (isSent) renewKey();
  // Nothing selected and nothing left from before: there are other ways to choose.
  const isLeft = isChoosing(form()) || TARGET_FIELDS.some((name) => form().elements[name].value);
  if (!targets && !isLeft) [targets, focus] = [NOTHING_CHOSEN, "filter_text"];
  if (targets) setTargets(targets);
  dialog().showModal();
  if (focus === "editor") editor?.focus();
  else form().elements[focus].focus();
}

function setTargets(targets, choice) {
  for (const name of TARGET_FIELDS) form().elements[name].value = targets[name] ?? "";
  if (choice) useChosen(form(), choice);
  else setWay(form(), targets);
  // Until the server has said it, what was selected is what the button says.
  showPrompt();
  nameButton(targets.ids ? targets.ids.split(",").length : targets.by_query ? count() : 0);
  find("#send-targets").replaceChildren();
  form().elements.prompt_password.value = "";
  showFamilies(form(), {posix: 0, windows: 0});
  askTargets();
}

/** Let the server say what the form's targets come to: names, number, and who is skipped by this command type. */
function askTargets() {
  const {elements} = form();
  if (!isChoosing(form())) return;
  const own = Object.fromEntries([...TARGET_FIELDS, "command_type"].map((name) => [name, elements[name].value]));
  const values = {...own, ...chosen(form())};
  const query = new URLSearchParams(values);
  const address = form().dataset.targets;
  const to = {source: find("#send-targets"), target: "#send-targets", swap: "innerHTML"};
  if (String(query).length < MAX_ADDRESS_CHARACTERS) htmx.ajax("GET", `${address}?${query}`, to);
  else htmx.ajax("POST", address, {...to, values});
}

// Whether the form was filled from a saved command.
const madeFrom = () => find("[data-made-from]", form());

/** Another choice was made: what was shown of the former one is not what it comes to. */
function choiceChanged() {
  if (isChoosing(form())) return askTargets();
  find("#send-targets").replaceChildren();
  showPrompt();
  nameButton();
}

function typeChanged() {
  editor?.setLanguage(form().elements.command_type.value);
  askTargets();
}

// A run or a saved command to send (again): the form's own page has it filled in; take the form from there.
async function openLink(link) {
  open({});
  await htmx.ajax("GET", link.href, {source: link, target: "#send-form", select: "#send-form", swap: "outerHTML"});
  isSent = false;
}

// Rows that were ticked in a run: the form's own page has them; more than an address could carry are posted.
async function openRows(ticked) {
  open({});
  const values = Object.fromEntries(new FormData(ticked));
  await htmx.ajax("POST", ticked.action, {source: ticked, target: "#send-form", select: "#send-form", swap: "outerHTML", values});
  isSent = false;
}

// ------------------------------------------------------------------ the form in the page

function prepare(event) {
  const textarea = find("textarea[data-editor]");
  if (!textarea) {
    editor = null;
    return;
  }
  if (!textarea.hidden) enhance(textarea, event);
  showWays(form());
  const {count: shown, posix, windows} = find("[data-count]", find("#send-targets"))?.dataset ?? {};
  showPrompt();
  if (shown === undefined) return;
  if (Number(shown)) familiesKnown({posix: Number(posix), windows: Number(windows)});
  const elements = form().elements;
  if (elements.by_query.value) elements.expected_count.value = shown;
  nameButton(goingTo());
}

// What the server said the targets come to, without the family that is left out.
function goingTo() {
  const {count: shown = 0, posix = 0, windows = 0} = find("[data-count]", find("#send-targets"))?.dataset ?? {};
  const {split, leave_out_posix, leave_out_windows} = form().elements;
  if (!split.value) return Number(shown);
  return (leave_out_posix.checked ? 0 : Number(posix)) + (leave_out_windows.checked ? 0 : Number(windows));
}

function familiesKnown(numbers) {
  const {elements} = form();
  if (numbers.windows && !numbers.posix && madeFrom() && useWindowsText(form())) editor?.setValue(elements.command.value);
  const [type, text] = [elements.command_type.value, elements.command.value];
  if (!showFamilies(form(), numbers, find("link[nonce]")?.nonce)) return;
  // What was written for Windows belongs into its section now.
  if (text.trim() && useForWindows(form(), type, text)) editor?.setValue("");
  typeChanged();
}

function enhance(textarea, event) {
  // Not over what the server filled in: a refused command, a run sent again.
  if (!textarea.value.trim()) restoreDraft(form());
  editor = ShellEditor.enhance(textarea, {
    nonce: find("link[nonce]")?.nonce,
    language: form().elements.command_type.value,
    describedBy: textarea.getAttribute("aria-describedby") ?? "",
  });
  if (dialog()) dialog().onclose = () => opener?.isConnected && opener.focus();
  const isAlone = !dialog();
  if (isAlone || (dialog().open && event)) editor.focus();
}

/** Ask for a password where an instance has no credential, or where nobody knows yet: at an address. */
function showPrompt() {
  const lacking = Number(find("[data-lacking]", find("#send-targets"))?.dataset.lacking ?? 0);
  const prompt = find("[data-send-prompt]", form());
  const isWrong = Boolean(find(".field__error", prompt));
  prompt.hidden = !lacking && way(form()) !== "address" && !isWrong;
}

function nameButton(number = 0) {
  // On a page of its own, which the server draws for these sessions.
  const kept = Number(form().dataset.sessions);
  if (kept) {
    find("[data-send-count]").textContent = `Run in ${kept} session${kept === 1 ? "" : "s"}`;
    return;
  }
  const address = form().elements.address.value.trim();
  const to = number ? ` on ${instances(number)}` : address ? ` on ${address}` : "";
  find("[data-send-count]").textContent = `Run${to}`;
}

// The server draws the form with what was saved: both texts, its options, and which version they are. What the form was
// going to be sent to stays.
async function useSaved(select) {
  if (!select.value) return;
  const targets = Object.fromEntries(TARGET_FIELDS.map((name) => [name, form().elements[name].value]));
  const choice = chosen(form());
  const address = `${select.dataset.address}saved=${select.value}`;
  await htmx.ajax("GET", address, {source: select, target: "#send-form", select: "#send-form", swap: "outerHTML"});
  isSent = false;
  setTargets(targets, choice);
  keepDraft(form());
}

function forgetSaved() {
  useParameters("");
  madeFrom()?.remove();
}

// The name of the file a text came from; none when it was typed or saved.
function useScript(name, text) {
  if (madeFrom()) forgetSaved();
  editor.setValue(text);
  nameScript(form(), name);
  keepDraft(form());
  editor.focus();
}

// ------------------------------------------------------------------ sending

function beforeSending(event) {
  if (event.target !== form() || find("#panel")) return;
  // A page without a place for the run: let the browser send the form and go to the run's page.
  event.preventDefault();
  setBusy(true);
  form().submit();
}

function setBusy(isBusy) {
  for (const button of findAll("[data-send-run]")) button.disabled = isBusy;
}

// The command and its targets stay in the form: change a word and run it again.
function sent() {
  isSent = true;
  form().elements.keep_name.value = "";
  // What was kept is another version than the one the form names.
  if (madeFrom() && form().elements.keep.value) forgetSaved();
  form().elements.prompt_password.value = "";
  // What is sent once more is confirmed once more.
  const confirmed = find("[name=confirmed_count]", form());
  if (confirmed) confirmed.value = "";
  const secrets = form().elements.secret_environment;
  secrets.value = secrets.defaultValue = "";
  forgetSecrets();
  dialog()?.close();
}

/** The key makes a double click one run; another run needs another key. */
function renewKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  form().elements.request_key.value = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
  isSent = false;
}

// How the instances of a command are chosen: the ways in the send form, and what the server is asked about.
import {find, findAll} from "./dom.js";

// What a way is about; the server shows it for these.
const FIELDS = ["filter_text", "in_group", "names", "former_run", "which", "ordinals"];
// Besides: which page of the list, the names that were agreed to be left out, and the family that is.
const BESIDES = ["list_find", "list_page", "left_out", "leave_out_posix", "leave_out_windows"];
// Without it there is nothing to ask yet.
const MAIN = {filter: "filter_text", group: "in_group", names: "names", run: "former_run"};
const TYPING_MS = 300;
const SELECTION = "selection";

/** The way that is chosen: "selection", "filter", "group", "names", "run" or "address". */
export const way = (form) => find("[name=choose]:checked", form)?.value;

/** Whether there is anything to ask the server about. */
export function isChoosing(form) {
  const {elements} = form;
  if (way(form) === SELECTION) return Boolean(elements.ids.value || elements.by_query.value);
  return Boolean(elements[MAIN[way(form)]]?.value.trim());
}

/** Choose a way, and empty the others; a selection from the list needs no choosing. */
export function setWay(form, {way: wanted = SELECTION}) {
  for (const name of FIELDS) form.elements[name].value = name === "which" ? "all" : "";
  for (const radio of findAll("[name=choose]", form)) radio.checked = radio.value === wanted;
  showWays(form);
}

/** Show the ways, "Selection" only where there is one; over a selection made in the list there is nothing to choose. */
export function showWays(form) {
  const {elements} = form;
  const hasSelection = Boolean(elements.ids.value || elements.by_query.value);
  for (const radio of findAll("[name=choose]", form)) {
    if (radio.value === SELECTION) radio.closest("label").hidden = !hasSelection;
  }
  find("[data-ways]", form).hidden = hasSelection && way(form) === SELECTION && Boolean(form.closest("dialog"));
}

/** Choose what `chosen` said of the form that stood here before. */
export function useChosen(form, values) {
  for (const name of FIELDS) form.elements[name].value = values[name];
  for (const radio of findAll("[name=choose]", form)) radio.checked = radio.value === values.choose;
  showWays(form);
}

/** What the server is asked with, beside the selection's own fields. */
export function chosen(form) {
  const values = {choose: way(form), saved_version: form.elements.saved_version.value};
  for (const name of FIELDS) values[name] = form.elements[name].value;
  for (const name of BESIDES) {
    const field = find(`[name=${name}]`, form);
    if (field && (field.type !== "checkbox" || field.checked)) values[name] = field.value;
  }
  return values;
}

/** Call when another choice is made, or typed, or another page of its list is wanted. */
export function startChoose(getForm, changed) {
  let waiting = 0;
  const ask = () => {
    waiting = 0;
    changed();
  };
  const isOurs = ({target}) => target.form === getForm() && [...FIELDS, ...BESIDES, "choose"].includes(target.name);
  document.addEventListener("input", (event) => {
    if (!isOurs(event) || event.target.name === "choose") return;
    clearTimeout(waiting);
    waiting = setTimeout(ask, TYPING_MS);
  });
  document.addEventListener("change", (event) => {
    if (!isOurs(event)) return;
    // Leaving a field whose text was asked about already: what is being pressed now must not be drawn anew under the hand.
    if (!waiting && event.target.name !== "choose") return;
    clearTimeout(waiting);
    ask();
  });
  // A form that is sent by a script carries no button: the field says which one was pressed.
  document.addEventListener(
    "submit",
    ({target, submitter}) => {
      if (target !== getForm()) return;
      find("input[name=dry_run]", target).value = submitter?.name === "dry_run" ? "1" : "";
    },
    {capture: true},
  );
}

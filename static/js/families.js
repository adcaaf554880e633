// The send form's sections per OS family: which are shown, and the second editor, for Windows.
import {find, findAll} from "./dom.js";

// Which command types each side takes; the first is the one to begin with.
const TYPES = {posix: ["shell"], windows: ["powershell", "bat"]};

let editor = null;

// An editor over the Windows section's text area, once that is shown.
function enhance(form, nonce) {
  const textarea = find("textarea[data-windows-editor]", form);
  if (!textarea || textarea.hidden) return;
  const describedBy = textarea.getAttribute("aria-describedby") ?? "";
  editor = ShellEditor.enhance(textarea, {nonce, language: form.elements.windows_type.value, describedBy});
}

/** The language of the Windows section was chosen. */
export function windowsTypeChanged(form) {
  editor?.setLanguage(form.elements.windows_type.value);
}

/** Put a saved Bat or PowerShell command into the Windows section; false where there is none, or it is for Shell. */
export function useForWindows(form, type, text) {
  if (!form.elements.split.value || !TYPES.windows.includes(type)) return false;
  form.elements.windows_type.value = type;
  windowsTypeChanged(form);
  editor?.setValue(text);
  editor?.focus();
  return true;
}

/** For Windows alone a saved command with a text for each side sends that of its Windows section; false without one. */
export function useWindowsText(form) {
  const {elements} = form;
  const text = elements.windows_command.value;
  if (elements.command_type.value !== "shell" || !text.trim()) return false;
  for (const radio of elements.command_type) radio.checked = radio.value === elements.windows_type.value;
  elements.command.value = text;
  elements.windows_command.value = "";
  elements.interpreter.value = elements.windows_interpreter.value;
  elements.working_directory.value = elements.windows_directory.value;
  // Only Shell takes these.
  for (const name of ["run_as", "environment", "arguments"]) elements[name].value = "";
  return true;
}

/**
 * Show a section per family that is selected. Returns whether the command type changed to one they take, which only
 * happens while nothing is written: a command never becomes one of another type, and the page says who is skipped.
 */
export function showFamilies(form, {posix, windows}, nonce) {
  const isMixed = posix > 0 && windows > 0;
  form.elements.split.value = isMixed ? "1" : "";
  for (const section of findAll("[data-family]", form)) section.hidden = !isMixed;
  if (isMixed) enhance(form, nonce);
  for (const place of findAll("[data-family-count]", form)) {
    place.textContent = {posix, windows}[place.dataset.familyCount].toLocaleString("en");
  }
  const types = find("[data-types]", form);
  types.hidden = isMixed;
  const taken = windows && !posix ? TYPES.windows : TYPES.posix;
  const isEmpty = !form.elements.command.value.trim();
  const radios = [...form.elements.command_type];
  const chosen = radios.find((radio) => radio.checked);
  const wanted = isMixed || (isEmpty && !taken.includes(chosen?.value)) ? taken[0] : chosen?.value;
  for (const radio of radios) {
    radio.checked = radio.value === wanted;
    radio.closest("label").hidden = !taken.includes(radio.value) && !radio.checked;
  }
  return chosen?.value !== wanted;
}

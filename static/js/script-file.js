// A script from a file: chosen, or dropped onto the editor. Its text goes into the editor, its name along with it.
import {find, onContent} from "./dom.js";

const place = () => find("#send-form [data-script]");
let loaded = "";

/** Call with (name, text) when a file with a script was chosen or dropped. */
export function startScriptFile(use) {
  onContent(prepare);
  document.addEventListener("change", ({target}) => {
    if (target.type === "file" && target.closest("[data-script]")) take(target.files[0], use);
  });
  // While it is captured: the editor has its own idea of dropped files.
  for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, (event) => dragged(event, use), true);
}

// The server is sent the editor's text, not the file.
function prepare() {
  const input = place()?.querySelector("input[type=file][name]");
  if (!input) return;
  input.removeAttribute("name");
  nameScript(input.form, input.form.elements.script_name.value);
}

function dragged(event, use) {
  const field = event.target.closest?.("#send-form .field:has([data-editor])");
  if (!field || !event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  event.stopPropagation();
  field.classList.toggle("send__dropping", event.type === "dragover");
  if (event.type === "drop") take(event.dataTransfer.files[0], use);
}

async function take(file, use) {
  if (!file) return;
  const [text, error] = await read(file);
  const said = find(".field__error", place());
  said.textContent = error;
  said.hidden = !error;
  find("input[type=file]", place()).value = "";
  if (!error) use(file.name, text);
}

// The same refusals as the server's.
async function read(file) {
  const limit = Number(place().dataset.limit);
  if (file.size > limit) return ["", `The file is too large: a script has at most ${limit.toLocaleString("en")} bytes.`];
  try {
    const text = new TextDecoder("utf-8", {fatal: true}).decode(await file.arrayBuffer()).replaceAll("\r\n", "\n");
    if (text.includes("\0")) return ["", "This is not a script but a binary file: only text can be sent."];
    return text.trim() ? [text, ""] : ["", "The file is empty."];
  } catch {
    return ["", "The file is not UTF-8 text: save it as UTF-8 and choose it again."];
  }
}

/** Say which file the editor's text is; "" for none. */
export function nameScript(form, name) {
  loaded = form.elements.command.value;
  form.elements.script_name.value = name;
  const shown = find("[data-script-name]", form);
  shown.hidden = !name;
  find("b", shown).textContent = name;
}

/** Forget the name once the text is another: then it is not that file any more. */
export function keepScriptName(form) {
  if (form.elements.script_name.value && form.elements.command.value !== loaded) nameScript(form, "");
}

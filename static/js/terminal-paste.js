// Pasting into a terminal: text, whatever is in the clipboard.
import {toast} from "./toasts.js";

// Control characters, but for tabs and line ends: in a shell they are keys, and one that ends "bracketed paste" makes
// what follows run.
const CONTROLS = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g;

/** What is pasted, without control characters. */
export const plainPaste = (text) => text.replace(CONTROLS, "");

/** Give a terminal what is pasted into it, before xterm.js takes it as it is. */
export function connectPaste(root, terminal) {
  root.addEventListener("paste", (event) => {
    if (event.target !== terminal.textarea) return;
    event.preventDefault();
    event.stopPropagation();
    const text = event.clipboardData.getData("text/plain");
    const plain = plainPaste(text);
    const left = text.length - plain.length;
    if (left) toast(`${left} control character${left === 1 ? "" : "s"} left out of what you pasted.`);
    terminal.paste(plain);
  }, true);
}

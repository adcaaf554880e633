// Sending to sessions of a list: the form's own page is shown in a dialog over the list, and forgotten when that closes.
import {find, isPlainClick, onAct} from "./dom.js";

const dialog = () => find("#send-over");

export function startSessionSend() {
  // The link of a row, or the button of the chosen ones; without scripts both lead to the form's page.
  onAct("send-sessions", (element, event) => {
    if (!dialog() || !isPlainClick(event)) return;
    event.preventDefault();
    open(element);
  });
  onAct("send-close", () => dialog()?.close());
}

async function open(element) {
  const opener = document.activeElement;
  const to = {source: element, target: "#send-over", select: "#send-form", swap: "innerHTML"};
  if (element.form) await htmx.ajax("POST", element.formAction, to);
  else await htmx.ajax("GET", element.href, to);
  // Nothing to send to, or signed out: the page says so.
  if (!find("#send-form")) return element.form ? element.form.requestSubmit(element) : location.assign(element.href);
  dialog().onclose = () => {
    dialog().replaceChildren();
    // The list may have been drawn anew meanwhile.
    (opener?.isConnected ? opener : document.getElementById(opener?.id))?.focus();
  };
  dialog().showModal();
  find(".cm-content", dialog())?.focus();
}

// The place of the run panel beside the list: maximise and close.
import {find, isPlainClick, onAct, onContent, tabStore} from "./dom.js";

export function startPanel() {
  const root = document.documentElement;
  const show = () => {
    const button = find("#run-maximise");
    if (!button) return;
    const isMaximised = root.dataset.run === "maximised";
    button.setAttribute("aria-pressed", isMaximised);
    button.title = isMaximised ? "Show the list too" : "Maximise";
  };
  onContent(show);
  onAct("maximise", () => {
    const isMaximised = root.dataset.run !== "maximised";
    if (isMaximised) root.dataset.run = "maximised";
    else delete root.dataset.run;
    tabStore.write("maximised", isMaximised || null);
    show();
  });
  onAct("close-panel", (link, event) => {
    if (!isPlainClick(event)) return;
    event.preventDefault();
    closePanel();
  });
}

/** Close the run without leaving the page; Back opens it again. */
export function closePanel() {
  const query = new URLSearchParams(find("#list")?.dataset.query);
  for (const [name, value] of [...query]) if (!value) query.delete(name);
  // htmx restores only what carries its stamp.
  history.replaceState({htmx: true}, "", location.href);
  history.pushState({htmx: true}, "", query.size ? `/?${query}` : "/");
  document.title = "Instances · Muster";
  htmx.swap({sourceElement: find("#panel"), target: "#panel", swap: "innerHTML swapEmpty:true", text: ""});
}

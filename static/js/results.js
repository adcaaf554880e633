// The views of a run beside its table: what was open in a list that is asked for again stays open.
import {findAll, onContent} from "./dom.js";

const KEPT = "details[data-keep-open]";

export function startResults() {
  const open = new Set();
  // "toggle" does not bubble.
  document.addEventListener("toggle", ({target}) => {
    if (!target.matches(KEPT)) return;
    if (target.open) open.add(target.id);
    else if (target.isConnected) open.delete(target.id);
  }, true);
  onContent(() => {
    for (const details of findAll(KEPT)) if (open.has(details.id)) details.open = true;
  });
}

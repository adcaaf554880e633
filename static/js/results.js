// The views of a run beside its table: what was open stays open, and who reads the end of a growing log stays there.
import {find, findAll, onContent} from "./dom.js";

const NEAR_PX = 40;
const KEPT = "details[data-keep-open]";

export function startResults() {
  const open = new Set();
  // "toggle" does not bubble.
  document.addEventListener("toggle", ({target}) => {
    if (!target.matches(KEPT)) return;
    if (target.open) open.add(target.id);
    else if (target.isConnected) open.delete(target.id);
  }, true);
  let isAtEnd = true;
  // Scrolling does not bubble either.
  document.addEventListener("scroll", ({target}) => {
    if (target.id === "combined-log") isAtEnd = target.scrollTop + target.clientHeight >= target.scrollHeight - NEAR_PX;
  }, true);
  let seen = null;
  onContent(() => {
    const log = find("#combined-log");
    if (log && (log !== seen || isAtEnd)) log.scrollTop = log.scrollHeight;
    seen = log;
    for (const details of findAll(KEPT)) if (open.has(details.id)) details.open = true;
  });
}

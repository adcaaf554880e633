// Sessions that are ticked in a list: kept while the list is drawn anew every few seconds.
import {find, findAll, onAct, onContent} from "./dom.js";

let ticked = new Set();

export function startSessionRows() {
  onContent(paint);
  document.addEventListener("change", ({target}) => {
    if (target.matches(".pick-session")) tick([target], target.checked);
    else if (target.matches(".pick-sessions")) tick(findAll(".pick-session"), target.checked);
  });
  onAct("clear-sessions", () => tick(findAll(".pick-session"), false));
}

function tick(boxes, isOn) {
  for (const box of boxes) {
    box.checked = isOn;
    if (isOn) ticked.add(box.value);
    else ticked.delete(box.value);
  }
  paint();
}

function paint() {
  const form = find("#chosen-sessions");
  if (!form) {
    ticked.clear();
    return;
  }
  const boxes = findAll(".pick-session");
  // What has ended meanwhile has no box any more; what was ticked before this script ran has one.
  ticked = new Set(boxes.filter((box) => box.checked || ticked.has(box.value)).map((box) => box.value));
  for (const box of boxes) box.checked = ticked.has(box.value);
  const all = find(".pick-sessions");
  if (all) {
    all.checked = boxes.length > 0 && ticked.size === boxes.length;
    all.indeterminate = ticked.size > 0 && !all.checked;
  }
  // Always there, so that the rows stay under the pointer that ticks them.
  form.hidden = boxes.length === 0;
  for (const button of findAll("button", form)) button.disabled = ticked.size === 0;
  find("[data-sessions-count]", form).textContent = ticked.size ? `${ticked.size} chosen` : "None chosen";
}

// Rows of a run that are ticked to run again on: kept over its pages, and over rows that the socket draws anew.
import {find, findAll, instances, onAct, onContent} from "./dom.js";

let run = "";
let ticked = new Set();

export function startRunRows() {
  onContent(paint);
  document.addEventListener("change", ({target}) => {
    if (target.matches(".pick-row")) tick([target], target.checked);
    else if (target.matches(".pick-rows")) tick(findAll(".pick-row"), target.checked);
  });
  onAct("clear-rows", () => {
    ticked.clear();
    paint();
  });
}

function tick(boxes, isOn) {
  for (const {value} of boxes) {
    if (isOn) ticked.add(value);
    else ticked.delete(value);
  }
  paint();
}

function paint() {
  const form = find("#again-rows");
  if (!form) return;
  if (form.dataset.run !== run) {
    run = form.dataset.run;
    // What was ticked before this script ran belongs to it.
    ticked = new Set(findAll(".pick-row").filter((box) => box.checked).map((box) => box.value));
  }
  const boxes = findAll(".pick-row");
  for (const box of boxes) box.checked = ticked.has(box.value);
  const on = boxes.filter((box) => box.checked).length;
  const all = find(".pick-rows");
  all.checked = on > 0 && on === boxes.length;
  all.indeterminate = on > 0 && on < boxes.length;
  form.hidden = ticked.size === 0;
  form.elements.ordinals.value = [...ticked].join(",");
  find("[data-rows-count]", form).textContent = `${instances(ticked.size)} chosen`;
}

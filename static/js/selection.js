// Which instances are selected: ids, or "all that match" with exceptions. Kept for the tab, so that it survives
// paging, filtering, sorting, reload and Back.
import {find, findAll, instances, onAct, onContent, tabStore} from "./dom.js";

const NOTHING = {ids: [], query: null, except: [], total: 0};
let selection = {...NOTHING, ...tabStore.read("selection")};

/** The selection as the Send Command form wants it, or null when nothing is selected. */
export function selected() {
  if (!count()) return null;
  if (selection.query === null) return {ids: selection.ids.join(",")};
  // A list's data-query: "q=env%3Aprod&group=3".
  const list = new URLSearchParams(selection.query);
  const [query, group] = [list.get("q") ?? "", list.get("group") ?? ""];
  // All that there is, only because "Select all" was pressed over a list without a filter.
  // Until the server has said how many they are: what the button says is what is agreed to.
  const number = {expected_count: count()};
  return {query, group, by_query: "1", everything: "1", except_ids: selection.except.join(","), ...number};
}

export function count() {
  return selection.query === null ? selection.ids.length : selection.total - selection.except.length;
}

export function startSelection() {
  adopt();
  onContent(paint);
  document.addEventListener("change", ({target}) => {
    if (target.matches(".pick")) choose([target.value], target.checked);
    else if (target.matches(".pick-page")) choose(findAll(".pick").map((box) => box.value), target.checked);
  });
  document.addEventListener("submit", ({target}) => target.matches("form[data-selection]") && fill(target));
  onAct("select-matching", () => {
    const list = find("#list");
    keep({...NOTHING, query: list.dataset.query, total: Number(list.dataset.total)});
  });
  onAct("clear-selection", () => keep({...NOTHING}));
}

/** Take over what was ticked before this script ran; boxes are autocomplete=off, so it was a person, not the browser. */
function adopt() {
  const isWholePage = find(".pick-page")?.checked;
  const ticked = findAll(".pick").filter((box) => (isWholePage || box.checked) && !isSelected(box.value));
  if (ticked.length) choose(ticked.map((box) => box.value), true);
}

/** Give a form that acts on the selection its hidden fields; it reads a whole data-query, not the filter's text. */
function fill({elements}) {
  const isQuery = selection.query !== null;
  // The ticked boxes of this page belong to the form too; its own field comes first.
  const ids = elements.ids instanceof RadioNodeList ? elements.ids[0] : elements.ids;
  ids.value = isQuery ? "" : selection.ids.join(",");
  elements.query.value = isQuery ? selection.query : "";
  elements.except_ids.value = isQuery ? selection.except.join(",") : "";
}

function choose(ids, isOn) {
  const list = selection.query === null ? "ids" : "except";
  const isAdded = (list === "ids") === isOn;
  const rest = selection[list].filter((id) => !ids.includes(id));
  keep({...selection, [list]: isAdded ? [...rest, ...ids] : rest});
}

function keep(changed) {
  selection = changed;
  tabStore.write("selection", count() ? changed : null);
  paint();
}

const isSelected = (id) => (selection.query === null ? selection.ids.includes(id) : !selection.except.includes(id));

function paint() {
  const boxes = findAll(".pick");
  for (const box of boxes) box.checked = isSelected(box.value);
  const all = find(".pick-page");
  if (all) {
    const on = boxes.filter((box) => box.checked).length;
    all.checked = on > 0 && on === boxes.length;
    all.indeterminate = on > 0 && on < boxes.length;
  }
  const bar = find("#selection");
  if (!bar) return;
  bar.hidden = count() === 0;
  find("[data-selection-count]", bar)?.replaceChildren(`${instances(count())} selected`);
}

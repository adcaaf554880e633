// The tools above the log: search, follow, wrap, links to lines, loading what is not shown.
import {find} from "./dom.js";
import {toast} from "./toasts.js";

const SEARCH_AFTER_MS = 150;
const LOAD_BYTES = 1024 * 1024;

/** Wire the tools in `panel` to a log view. address(): where the open instance's output can be downloaded. */
export function connectTools(panel, view, address) {
  const tool = (name) => find(`[data-log="${name}"]`, panel);
  const log = view.root;
  tool("follow").addEventListener("click", () => view.follow(!view.scroll.isFollowing));
  tool("wrap").addEventListener("click", () => {
    const isOn = !log.classList.contains("log--wrap");
    view.wrap(isOn);
    tool("wrap").setAttribute("aria-pressed", isOn);
  });
  log.addEventListener("log:follow", () => tool("follow").setAttribute("aria-pressed", view.scroll.isFollowing));
  log.addEventListener("log:load", ({detail}) => loadEarlier(view, detail.gap, address()));
  log.addEventListener("log:point", () => replaceHash(view.target));
  tool("link").addEventListener("click", () => copyLink(view));
  connectSearch(panel, view, tool);
}

function connectSearch(panel, view, tool) {
  const field = find("#log-search", panel);
  const said = find("#log-hits", panel);
  let timer = 0;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => (view.search(field.value), view.step(1)), SEARCH_AFTER_MS);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      view.step(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      field.value = "";
      view.search("");
      view.root.focus();
    }
  });
  tool("next").addEventListener("click", () => view.step(1));
  tool("previous").addEventListener("click", () => view.step(-1));
  view.root.addEventListener("log:hits", () => {
    const {needle, hits, hit} = view;
    const many = hits.length === view.lines.maxHits ? "+" : "";
    const at = hits.indexOf(hit) + 1;
    said.textContent = !needle ? "" : `${at ? `${at} of ` : ""}${hits.length}${many}${at ? "" : " lines"}`;
    tool("next").disabled = tool("previous").disabled = hits.length === 0;
  });
}

/** The line a link names ("#L12"), from 0, or null. */
export function lineOfHash() {
  const match = /^#L(\d{1,9})$/.exec(location.hash);
  return match ? Math.max(0, Number(match[1]) - 1) : null;
}

function replaceHash(line) {
  history.replaceState(history.state, "", `${location.pathname}${location.search}#L${line + 1}`);
}

async function copyLink(view) {
  const line = view.target ?? view.topLine;
  replaceHash(line);
  try {
    await navigator.clipboard.writeText(location.href);
    toast(`Link to line ${line + 1} copied.`);
  } catch {
    // Browsers have a clipboard only on https and localhost; the address bar has the link.
    toast(`The address of this page is now a link to line ${line + 1}.`);
  }
}

/** Fetch the last part of a gap and put it in its place. */
async function loadEarlier(view, gap, address) {
  const from = Math.max(gap.from, gap.to - LOAD_BYTES);
  try {
    const answer = await fetch(address, {headers: {Range: `bytes=${from}-${gap.to - 1}`}});
    if (answer.status !== 206) throw new Error(`status ${answer.status}`);
    view.fill(gap, from, new Uint8Array(await answer.arrayBuffer()));
  } catch (error) {
    toast(`That part could not be loaded (${error.message}). Download has all of it.`, {isError: true});
  }
}

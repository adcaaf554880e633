// The page's frame: which screen the navigation shows, menus that close, selects that send themselves.
import {find, findAll, onContent, tabStore} from "./dom.js";

export function startShell() {
  onContent(() => {
    // A run is open on the dashboard: the same screen as the list.
    const here = find(".dashboard") ? "/" : location.pathname;
    for (const link of findAll("nav[aria-label=Main] a")) {
      const isHere = link.pathname === "/" ? here === "/" : here.startsWith(link.pathname);
      if (isHere) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  });
  document.addEventListener("click", ({target}) => {
    for (const menu of findAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
  });
  document.addEventListener("change", ({target}) => {
    if (!target.matches("[data-submit-on-change]")) return;
    // The address changes without the page being drawn again.
    const {next} = target.form.elements;
    if (next) next.value = location.pathname + location.search;
    target.form.requestSubmit();
  });
  // htmx adopts what it put in place a moment later, tens of milliseconds on a busy page, ten times a second while a
  // run is watched: a click in between would leave the page and load it anew.
  for (const kind of ["click", "submit"]) document.addEventListener(kind, adopt, true);
  document.addEventListener("submit", ({target}) => {
    if (target.matches("[data-signs-out]")) tabStore.clear();
  });
  // An error page belongs into the main region at most, never into a part of it. 422 is a form with its errors.
  document.addEventListener("htmx:response:error", ({detail: {ctx}}) => {
    if (ctx.response.status !== 422 && ctx.target !== find("#main") && ctx.target !== "#main") ctx.swap = "none";
  });
}

function adopt({target}) {
  const element = target.closest("[hx-get], [hx-post]");
  if (element && !element._htmx) htmx.process(element);
}

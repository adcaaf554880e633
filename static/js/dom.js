// The few words every module uses for finding elements and hearing about new ones.

export const find = (selector, root = document) => root.querySelector(selector);
export const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Call now, and again after every swap by htmx: pages, fragments, history and socket frames alike. */
export function onContent(callback) {
  callback(null);
  document.addEventListener("htmx:after:swap", (event) => callback(event));
}

/** Call with (element, event) when an element with this data-act is clicked, in whatever part of the page. */
export function onAct(name, callback) {
  document.addEventListener("click", (event) => {
    const element = event.target.closest(`[data-act="${name}"]`);
    if (element) callback(element, event);
  });
}

/** A click that the browser should handle: a new tab, a new window, a download. */
export const isPlainClick = (event) =>
  event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;

/** A value kept for this tab, by name; storage may be refused, and then nothing is kept. */
export const tabStore = {
  read(name) {
    try {
      return JSON.parse(sessionStorage.getItem(`muster.${name}`));
    } catch {
      return null;
    }
  },
  write(name, value) {
    try {
      if (value === null) sessionStorage.removeItem(`muster.${name}`);
      else sessionStorage.setItem(`muster.${name}`, JSON.stringify(value));
    } catch {
      // Full or refused: it lasts as long as the page.
    }
  },
  /** Forget everything kept for this tab: the next person at it must not find drafts. */
  clear() {
    try {
      sessionStorage.clear();
    } catch {
      // Refused: then nothing was kept either.
    }
  },
};

/** "1 instance", "2,050 instances". */
export const instances = (count) => `${count.toLocaleString("en")} instance${count === 1 ? "" : "s"}`;

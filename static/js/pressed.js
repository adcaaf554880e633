// What is being pressed is not drawn anew under the hand: a button replaced between press and release gets no click.

const CLICKABLE = "a, button, input, label, summary";
// Whatever becomes of the release (another window may get it), the page goes on.
const LONGEST_MS = 30000;
// The click comes after the release; with a finger, a little later.
const CLICK_MS = 50;

let released = null;
let release = null;
let timer = 0;

/** Watch what is pressed, and let no poll draw over it: it asks again soon. */
export function startPressed() {
  const isOfSpace = ({key}) => key === " ";
  on("pointerdown", ({button, isPrimary}) => button === 0 && isPrimary, hold);
  on("keydown", isOfSpace, hold);
  for (const kind of ["pointerup", "pointercancel"]) on(kind, () => true, letGo);
  on("keyup", isOfSpace, letGo);
  window.addEventListener("blur", letGo);
  document.addEventListener("htmx:before:swap", (event) => {
    const isPoll = event.detail.ctx.sourceElement?.getAttribute?.("hx-trigger")?.startsWith("every ");
    if (released && isPoll) event.preventDefault();
  });
}

/** Return a promise of the end of what is being pressed, or null. */
export const untilReleased = () => released;

function on(kind, isMeant, act) {
  document.addEventListener(kind, (event) => isMeant(event) && act(event), {capture: true});
}

function hold({target}) {
  if (!target.closest?.(CLICKABLE)) return;
  // The second of two quick presses begins before the first is let go of.
  clearTimeout(timer);
  released ??= new Promise((resolve) => {
    release = resolve;
  });
  timer = setTimeout(end, LONGEST_MS);
}

function letGo() {
  if (!released) return;
  clearTimeout(timer);
  timer = setTimeout(end, CLICK_MS);
}

function end() {
  clearTimeout(timer);
  release();
  released = null;
}

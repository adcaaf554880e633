// What the page says when its socket closes, and what helps. No DOM.

export const RECONNECTS = "reconnects";
export const SIGN_IN = "sign-in";
export const RELOAD = "reload";

// Codes of console/runs/consumers.py after which htmx does not reconnect.
const FINAL = {
  4401: ["You are signed out.", SIGN_IN],
  4403: ["You may no longer see this run.", RELOAD],
  4429: ["This page asked for too much at once.", RELOAD],
  4430: ["Too many pages are open under your name: close some.", RELOAD],
};

/** Return {text, remedy} for a close code. reconnectCodes: those after which htmx connects again by itself. */
export function closing(code, reconnectCodes) {
  if (reconnectCodes.includes(code)) return {text: "Connection lost, reconnecting…", remedy: RECONNECTS};
  const [text, remedy] = FINAL[code] ?? ["The connection was closed.", RELOAD];
  return {text, remedy};
}

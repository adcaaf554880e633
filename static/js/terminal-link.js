// A terminal's socket: opens it, opens it again after a loss, and says when that is no use.
import {makeRecord, readRecord} from "./terminal-records.js";

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
// A network that is gone closes nothing: after this long without a word the page asks, and then does not wait for long.
const LOOK_MS = 5000;
const QUIET_MS = 15_000;
const ANSWER_MS = 10_000;

export const SIGN_IN = "sign-in";
export const RELOAD = "reload";

// Codes of docs/reference/terminal-protocol.md after which connecting again is no use.
const FINAL = {
  4401: {text: "You are signed out.", remedy: SIGN_IN},
  4403: {text: "You may not use this terminal any more.", remedy: null},
  4404: {text: "This terminal is gone.", remedy: null},
  4429: {text: "This page sent too much at once.", remedy: RELOAD},
  4430: {text: "Too many pages are open under your name: close some.", remedy: RELOAD},
};

/** What to say of a close code: {text, remedy}, or null when the page connects again. */
export const finalClose = (code) => FINAL[code] ?? null;

/** How long to wait before the next attempt (counted from 0): longer each time, and no two pages at once. */
export function delayBefore(attempt, random = Math.random) {
  const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
  return longest * (0.5 + random() / 2);
}

/** Says what to do about a connection on which nothing comes: ask whether it lives, or give it up. */
export class Pulse {
  constructor(now = () => performance.now()) {
    this.now = now;
    this.heard();
  }

  /** Something came. */
  heard() {
    Object.assign(this, {last: this.now(), asked: null});
  }

  /** Return "ask", "gone" or null. */
  look() {
    const now = this.now();
    if (this.asked !== null) return now - this.asked >= ANSWER_MS ? "gone" : null;
    if (now - this.last < QUIET_MS) return null;
    this.asked = now;
    return "ask";
  }
}

export class Link {
  /** address: of the socket. handlers: {opened(), control(message), output({offset, bytes}), lost(), ended(finalClose)}. */
  constructor(address, handlers) {
    Object.assign(this, {address, handlers, attempt: 0, socket: null, timer: 0, isOver: false});
    this.leaving = new AbortController();
    // The network is back: there is nothing to wait for, and a socket from before may be dead without knowing.
    addEventListener("online", () => this.again(), {signal: this.leaving.signal});
    this.pulse = new Pulse();
    this.looking = setInterval(() => this.look(), LOOK_MS);
    this.open();
  }

  look() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const what = this.pulse.look();
    if (what === "ask") this.send({type: "ping"});
    else if (what === "gone") this.again();
  }

  open() {
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    const isOurs = () => this.socket === socket;
    socket.addEventListener("open", () => isOurs() && this.opened());
    socket.addEventListener("message", ({data}) => isOurs() && this.take(data));
    socket.addEventListener("close", ({code}) => isOurs() && this.closed(code));
  }

  opened() {
    this.pulse.heard();
    this.handlers.opened();
  }

  take(data) {
    this.pulse.heard();
    if (data instanceof ArrayBuffer) this.handlers.output(readRecord(data));
    else this.handlers.control(JSON.parse(data));
  }

  closed(code) {
    this.socket = null;
    const end = finalClose(code);
    if (end) {
      this.close();
      this.handlers.ended(end);
    } else if (!this.isOver) {
      this.timer = setTimeout(() => this.open(), delayBefore(this.attempt++));
      this.handlers.lost();
    }
  }

  /** Connect again, now. */
  again() {
    if (this.isOver) return;
    clearTimeout(this.timer);
    const former = this.socket;
    this.socket = null;
    former?.close();
    this.handlers.lost();
    this.open();
  }

  /** The other side answered: the next loss is a new one. */
  settled() {
    this.attempt = 0;
  }

  /** Send a control message; false when there is no connection. */
  send(message) {
    return this.put(JSON.stringify(message));
  }

  /** Send bytes typed, from this offset on. */
  sendRecord(offset, bytes) {
    return this.put(makeRecord(offset, bytes));
  }

  put(data) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(data);
    return true;
  }

  /** Leave for good; with this code the console knows that nobody comes back. */
  close() {
    this.isOver = true;
    this.leaving.abort();
    clearTimeout(this.timer);
    clearInterval(this.looking);
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
  }
}

// The page's one socket. htmx opens it, reconnects it and swaps its HTML frames; JSON and binary frames are ours.
import {RELOAD, SIGN_IN, closing} from "./closing.js";
import {find} from "./dom.js";
import {untilReleased} from "./pressed.js";

/** handlers: {opened() on each (re)connection, message(json), frame(buffer)}. Returns {send(message), reopen()}. */
export function connectSocket(handlers) {
  const element = find("#socket");
  let socket = null;
  let remedy = null;
  const adopt = (opened) => {
    socket = opened;
    socket.binaryType = "arraybuffer";
    remedy = null;
    say("");
    handlers.opened();
  };
  element.addEventListener("htmx:ws:after:connection", ({detail}) => adopt(detail.connection.socket));
  element.addEventListener("htmx:ws:close", ({detail}) => {
    socket = null;
    if (detail.reason === "removed") return;
    const end = closing(detail.code, detail.connection.config.reconnectCodes);
    remedy = end.remedy;
    if (remedy === SIGN_IN) sayWithLink(end.text, "Sign in", signInAddress());
    else if (remedy === RELOAD) sayWithLink(end.text, "Reload", "");
    else say(end.text);
  });
  element.addEventListener("htmx:ws:before:message:incoming", (event) => {
    const {data} = event.detail.message;
    if (data instanceof ArrayBuffer) {
      event.preventDefault();
      handlers.frame(data);
    } else if (typeof data === "string" && data.startsWith("{")) {
      event.preventDefault();
      handlers.message(JSON.parse(data));
    } else {
      // HTML: what comes after it waits with it.
      event.detail.waitUntil(untilReleased());
    }
  });
  // htmx may have connected before this module was loaded.
  const early = element._htmx?.ws?.connection?.socket;
  if (early?.readyState === WebSocket.OPEN) adopt(early);
  return {
    /** Send a message; false when there is no connection (what is looked at is asked for again on the next). */
    send(message) {
      if (socket?.readyState !== WebSocket.OPEN) return false;
      socket.send(JSON.stringify(message));
      return true;
    },
    /** Connect again after an end that was about what the page showed before; not for whoever is signed out. */
    reopen() {
      if (remedy === RELOAD) element.dispatchEvent(new Event("reopen"));
    },
  };
}

function signInAddress() {
  const address = new URL(find("#socket").dataset.signIn, location.href);
  address.searchParams.set("next", location.pathname + location.search);
  return address.href;
}

function say(text) {
  find("#connection").replaceChildren(text);
}

function sayWithLink(text, label, address) {
  const link = document.createElement("a");
  link.href = address;
  link.append(label);
  find("#connection").replaceChildren(`${text} `, link);
}

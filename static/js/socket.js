// The page's one socket. htmx opens it, reconnects it and swaps its HTML frames; JSON and binary frames are ours.
import {find} from "./dom.js";

const SIGNED_OUT = 4401;
const FINAL = {4403: "You may no longer see this run.", 4404: "This run is gone."};

/** handlers: {opened() on each (re)connection, message(json), frame(buffer)}. Returns {send(message)}. */
export function connectSocket(handlers) {
  const element = find("#socket");
  let socket = null;
  const adopt = (opened) => {
    socket = opened;
    socket.binaryType = "arraybuffer";
    say("");
    handlers.opened();
  };
  element.addEventListener("htmx:ws:after:connection", ({detail}) => adopt(detail.connection.socket));
  element.addEventListener("htmx:ws:close", ({detail}) => {
    socket = null;
    if (detail.reason === "removed") return;
    if (detail.code === SIGNED_OUT) sayWithLink("You are signed out. ", "Sign in", signInAddress());
    else say(FINAL[detail.code] ?? "Connection lost, reconnecting…");
  });
  element.addEventListener("htmx:ws:before:message:incoming", (event) => {
    const {data} = event.detail.message;
    if (data instanceof ArrayBuffer) {
      event.preventDefault();
      handlers.frame(data);
    } else if (typeof data === "string" && data.startsWith("{")) {
      event.preventDefault();
      handlers.message(JSON.parse(data));
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
  find("#connection").replaceChildren(text, link);
}

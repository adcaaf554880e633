// Short messages at the lower right. Never the only place an error is shown, except for a lost connection.
import {find} from "./dom.js";

const SHOWN_MS = 6000;

/** Show a message; errors stay until they are closed. */
export function toast(text, {isError = false} = {}) {
  const element = document.createElement("p");
  element.className = "toast";
  element.append(text);
  if (isError) {
    const close = document.createElement("button");
    Object.assign(close, {type: "button", textContent: "Close"});
    close.addEventListener("click", () => element.remove());
    element.append(close);
  } else {
    setTimeout(() => element.remove(), SHOWN_MS);
  }
  find("#toasts").append(element);
}

export function startToasts() {
  document.addEventListener("htmx:error", ({detail}) => {
    if (detail.ctx) toast("The console did not answer. Check your connection and try again.", {isError: true});
  });
  document.addEventListener("htmx:response:error", ({detail}) => {
    const {status, headers} = detail.ctx.response;
    if (headers.get("X-Refused") === "csrf") toast("Nothing was done: this page is too old. Load it again.", {isError: true});
    else if (status === 403) toast("You are not allowed to do this.", {isError: true});
    else if (status === 503) toast("The database is busy: this was not done. Try again in a moment.", {isError: true});
    else if (status >= 500) toast("Something went wrong in the console. Its log says what.", {isError: true});
  });
}

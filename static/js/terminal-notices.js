// What the terminal's page says around the screen: the connection, who types, who looks, how it ended.
import {find, findAll} from "./dom.js";
import {RELOAD, SIGN_IN} from "./terminal-link.js";

const TITLE_LENGTH = 80;
// Letters that could make a title look like something else: controls, and marks that turn the direction of writing.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A title that a host set, as one short line of harmless text. */
export function plainTitle(title) {
  const plain = title.replace(UNSEEN, "").trim();
  return plain.length > TITLE_LENGTH ? `${plain.slice(0, TITLE_LENGTH - 1)}…` : plain;
}

const bytes = (count) => (count < 1e6 ? `${Math.ceil(count / 1000)} kB` : `${(count / 1e6).toFixed(1)} MB`);
const letters = (count) => `${count.toLocaleString("en")} byte${count === 1 ? "" : "s"}`;

export class Notices {
  constructor(root) {
    this.root = root;
    this.part = (name) => find(`[data-terminal-${name}]`, root);
    this.state("connecting");
  }

  /** Show one of the states the page has words for. */
  state(name) {
    const shown = name === "connected" && this.isSilent ? "silent" : name;
    for (const element of findAll("[data-terminal-state]", this.root)) {
      element.hidden = element.dataset.terminalState !== shown;
    }
    this.root.dataset.shows = name;
  }

  /** Whether the instance answers. While it does not, nothing else on the page would tell. */
  answers(doesAnswer) {
    this.isSilent = !doesAnswer;
    this.state(this.root.dataset.shows);
    this.say(doesAnswer ? "" : "The instance does not answer. What is typed is sent when it does.");
  }

  /** Say something until something else is said. */
  say(text, link = null) {
    this.part("said").replaceChildren(text, ...(link ? [" ", link] : []));
  }

  title(title) {
    const plain = plainTitle(title);
    this.part("title").textContent = plain;
    this.part("title").closest("p").hidden = !plain;
  }

  recorded(isRecorded) {
    this.part("recorded").hidden = !isRecorded;
  }

  /** The recording broke off. */
  unrecorded(text) {
    this.recorded(false);
    this.say(text);
  }

  viewers(names) {
    this.part("viewers").textContent = names.length ? `Also looking: ${names.join(", ")}` : "";
  }

  /** What is not shown of what was printed before. */
  missing({gap = 0, skipped = 0}) {
    const parts = [];
    if (skipped) parts.push(`${bytes(skipped)} of output went by too fast to be shown here.`);
    else if (gap) parts.push(`The first ${bytes(gap)} of output are not kept.`);
    this.say(parts.join(" "));
  }

  /** Who types, and what became of what this page had typed. */
  writer({isWriter, name, mayWrite, wasWriter, lost}) {
    this.state(isWriter ? "connected" : "read-only");
    const canTakeOver = !isWriter && mayWrite !== false;
    for (const button of findAll("[data-act=terminal-take-over]", this.root)) button.hidden = !canTakeOver;
    const who = name ? `${name} is typing.` : "Nobody is typing.";
    this.part("writer").textContent = isWriter ? "" : `${who}${canTakeOver ? " Take over to type." : ""}`;
    const thrown = lost ? ` ${letters(lost)} typed here were not sent.` : "";
    if (wasWriter && !isWriter) this.say(`${name || "Somebody"} took over.${thrown}`);
    else if (thrown) this.say(`Somebody else typed meanwhile.${thrown}`);
    else if (!wasWriter && isWriter && this.hasWatched) this.say("You are typing now.");
    this.hasWatched = !isWriter;
  }

  reconnecting() {
    // It is told again if it is still so.
    this.isSilent = false;
    this.state("reconnecting");
  }

  /** end: {message} of a terminal, or {text, remedy} of a socket. */
  ended(end) {
    this.state("ended");
    for (const button of findAll("[data-act=terminal-take-over]", this.root)) button.hidden = true;
    this.part("writer").textContent = "";
    this.viewers([]);
    if ("text" in end) {
      this.say(end.text, remedyOf(end.remedy, this.root));
      return;
    }
    this.say("");
    this.part("why").textContent = end.message || "It has ended.";
    this.part("over").hidden = false;
    for (const element of findAll("[data-terminal-live]", this.root)) element.hidden = true;
  }
}

function remedyOf(remedy, root) {
  if (!remedy) return null;
  const link = document.createElement("a");
  link.textContent = remedy === SIGN_IN ? "Sign in" : "Reload";
  const address = new URL(remedy === SIGN_IN ? root.dataset.signIn : location.href, location.href);
  if (remedy === SIGN_IN) address.searchParams.set("next", location.pathname + location.search);
  link.href = remedy === RELOAD ? "" : address.href;
  return link;
}

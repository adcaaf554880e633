// An interactive terminal: what a page with [data-terminal] shows and sends. docs/reference/terminal-protocol.md.
import {find, onContent, tabStore} from "./dom.js";
import {listen} from "./terminal-answers.js";
import {Input} from "./terminal-input.js";
import {Link} from "./terminal-link.js";
import {openTerminal} from "./terminal-look.js";
import {Notices} from "./terminal-notices.js";
import {Screen} from "./terminal-screen.js";
import {connectTools} from "./terminal-tools.js";

const ACK_BYTES = 64 * 1024;
const RESIZE_AFTER_MS = 120;

const encoder = new TextEncoder();
const latin1 = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

class TerminalPage {
  constructor(root) {
    this.root = root;
    this.host = find("[data-terminal-screen]", root);
    this.notices = new Notices(root);
    this.look = openTerminal(this.host, {disableStdin: true});
    this.terminal = this.look.terminal;
    const acknowledge = (upto, isIdle) => this.acknowledge(upto, isIdle);
    this.screen = new Screen(this.terminal, acknowledge, () => document.hidden);
    this.input = new Input((offset, bytes) => this.link.sendRecord(offset, bytes));
    Object.assign(this, {isWriter: false, generation: null, acknowledged: 0, wanted: null, isOver: false});
    this.leaving = new AbortController();
    this.tab = takeTab(root.dataset.terminal, this.leaving.signal);
    this.hear();
    const address = new URL(`/ws/terminals/${root.dataset.terminal}/`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.link = new Link(address.href, {
      opened: () => this.attach(),
      control: (message) => this.handle(message),
      output: ({offset, bytes}) => this.draw(offset, bytes),
      lost: () => this.lost(),
      ended: (end) => this.ended(end),
    });
  }

  hear() {
    const {terminal} = this;
    listen(terminal, {
      onTyped: (data) => this.type(encoder.encode(data)),
      onAnswer: (data) => this.type(encoder.encode(data)),
      mayAnswer: () => this.isWriter && this.screen.isLive,
    });
    // Mouse reports in the old encoding are bytes that no text can hold.
    terminal.onBinary((data) => this.type(latin1(data)));
    terminal.onTitleChange((title) => this.notices.title(title));
    connectTools(this.root, this.look, {
      fit: () => this.fitSoon(),
      takeOver: () => this.link.send({type: "take_over"}),
    });
    this.observer = new ResizeObserver(() => this.fitSoon());
    this.observer.observe(this.host);
  }

  // ---------------------------------------------------------------- to the host

  attach() {
    const {columns, rows} = this.room();
    this.link.send({type: "attach", tab: this.tab, from: this.screen.received, columns, rows});
  }

  type(bytes) {
    if (!this.isWriter || this.isOver) return;
    if (!this.input.type(bytes)) this.notices.say("That is more than can wait to be sent: it was not taken.");
  }

  acknowledge(upto, isIdle) {
    if (!isIdle && upto - this.acknowledged < ACK_BYTES) return;
    this.acknowledged = upto;
    this.link.send({type: "ack", upto});
  }

  /** How many columns and rows there is room for. */
  room() {
    const {cols, rows} = this.look.fit.proposeDimensions() ?? {};
    return {columns: cols || 80, rows: rows || 24};
  }

  fitSoon() {
    clearTimeout(this.fitting);
    this.fitting = setTimeout(() => this.fit(), RESIZE_AFTER_MS);
  }

  /** Ask for the size there is room for; the screen changes when the host says so, in order with what it prints. */
  fit() {
    if (!this.isWriter || this.isOver) return;
    const {columns, rows} = this.room();
    const wanted = `${columns}x${rows}`;
    if (wanted !== this.wanted && this.link.send({type: "resize", columns, rows})) this.wanted = wanted;
  }

  // ---------------------------------------------------------------- from the host

  handle(message) {
    const handlers = {
      attached: () => this.attached(message),
      writer: () => this.writes(message),
      prefix: () => this.screen.prefix(latin1(atob(message.data))),
      size: () => this.screen.resize(message.columns, message.rows),
      input_ack: () => this.input.acknowledge(message.upto),
      viewers: () => this.notices.viewers(message.names),
      unrecorded: () => this.notices.unrecorded(message.message),
      answers: () => this.notices.answers(message.answers),
      ended: () => this.ended(message),
      error: () => this.notices.say(message.message),
    };
    handlers[message.type]?.();
  }

  attached(message) {
    this.link.settled();
    if (message.reset) {
      this.screen.reset(message.output_from, message.output_upto);
      this.screen.resize(message.columns, message.rows);
      this.acknowledged = message.output_from;
    }
    this.notices.recorded(message.recorded);
    this.notices.missing(message);
    this.writes(message);
  }

  draw(offset, bytes) {
    if (this.screen.write(offset, bytes)) this.notices.say("Some output did not arrive here.");
  }

  /** Take who types now. What was typed for a turn that is over is thrown away, never sent in the next. */
  writes({writer, writer_name: name, may_write: mayWrite, generation, ...offsets}) {
    const {input_upto: upto, typed_upto: typed, written_upto: written} = offsets;
    const isSame = writer && generation === this.generation;
    let lost = 0;
    if (!writer) lost = this.input.stop(typed);
    else if (isSame) lost = this.input.resume(upto, written);
    else lost = this.input.begin(upto, typed, written);
    const wasWriter = this.isWriter;
    Object.assign(this, {isWriter: writer, generation, wanted: null});
    this.terminal.options.disableStdin = !writer;
    this.notices.writer({isWriter: writer, name, mayWrite, wasWriter, lost});
    if (!writer) return;
    this.fit();
    if (document.activeElement === document.body) this.terminal.focus();
  }

  lost() {
    this.input.pause();
    this.notices.reconnecting();
  }

  /** It is over: the terminal itself, or that this page may use it. */
  ended(end) {
    this.isOver = true;
    this.input.stop();
    this.terminal.options.disableStdin = true;
    this.terminal.options.cursorBlink = false;
    this.link.close();
    this.notices.ended(end);
    // Why it ended takes room, and nobody asks for another size any more: the last lines would be below the edge.
    this.screen.between(() => this.shrink());
  }

  shrink() {
    const {rows} = this.room();
    if (rows < this.terminal.rows) this.terminal.resize(this.terminal.cols, rows);
  }

  close() {
    this.leaving.abort();
    this.link.close();
    this.observer.disconnect();
    clearTimeout(this.fitting);
    this.look.dispose();
  }
}

/**
 * The name this tab has for the host, the same after a reload. It is only in the tab's store while no page uses it: a
 * tab that is duplicated takes the store along, and two pages would fight over one name.
 */
function takeTab(id, signal) {
  const key = `terminal-${id}`;
  const name = tabStore.read(key) ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
  tabStore.write(key, null);
  addEventListener("pagehide", () => tabStore.write(key, name), {signal});
  addEventListener("pageshow", () => tabStore.write(key, null), {signal});
  return name;
}

let page = null;

onContent(() => {
  const root = find("[data-terminal]");
  if (page && page.root !== root) {
    page.close();
    page = null;
  }
  if (root && !page && root.dataset.terminal) page = new TerminalPage(root);
});

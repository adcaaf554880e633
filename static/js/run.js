// The run panel: tells the socket what is looked at, and gives the log view the bytes that come.
import {Drawn} from "./drawn.js";
import {find, findAll, isPlainClick, onAct, onContent} from "./dom.js";
import {connectTools, lineOfHash} from "./log-tools.js";
import {LogView} from "./log.js";
import {readRecords, spanOf} from "./records.js";
import {connectSocket} from "./socket.js";
import {toast} from "./toasts.js";

const ACK_BYTES = 128 * 1024;
const ACK_WITHIN_MS = 250;
const SPOKEN_EVERY_MS = 5000;

let panel = null;
let socket = null;

/** One run on the page: its element, the instance that is open, and the view of its output. */
class RunPanel {
  constructor(root) {
    this.root = root;
    this.run = Number(root.dataset.run);
    this.looked = "";
    this.drawn = new Drawn();
    this.open = null;
    this.channel = null;
    this.acknowledged = 0;
    this.view = new LogView({root: find("#log", root), canLoad: (gap) => this.canLoad(gap)});
    this.view.root.addEventListener("log:drawn", () => this.acknowledgeSoon());
    connectTools(root, this.view, () => this.details.dataset.download);
    this.line = lineOfHash();
    this.view.root.addEventListener("log:drawn", () => this.goToLine());
  }

  get details() {
    return find("#run-opened", this.root);
  }

  /** Tell the socket which rows are seen, if they are others, or what is seen may not be what it sent last. */
  watch(isDoubtful) {
    const {status = "all", page = "1"} = find("#run-rows", this.root)?.dataset ?? {};
    const looked = `${status} ${page}`;
    if (looked === this.looked && !isDoubtful) return;
    const rows = findAll("#run-rows tr[data-i]", this.root).map((row) => Number(row.dataset.i));
    // Where they are all on one page, nothing else says how many they are.
    const matching = Number(find("#rows-shown", this.root)?.dataset.matching ?? rows.length);
    const isSent = socket.send({type: "watch", run: this.run, status, page: Number(page), rows, matching});
    if (isSent) this.looked = looked;
  }

  /** Show the output of an instance from its start. */
  show(ordinal) {
    if (this.open === ordinal) return;
    const isFirst = this.open === null;
    this.open = ordinal;
    this.view.reset(0);
    // What the server drew is kept until bytes come; another instance's text is not.
    if (!isFirst) this.view.say("Waiting for output…");
    this.ask();
  }

  /** Ask for output from the next byte on: nothing twice, nothing missing. */
  ask() {
    this.channel = null;
    if (this.open !== null) socket.send({type: "open", run: this.run, i: this.open, from: this.view.next});
  }

  opened({run, i, ch, size}) {
    if (run !== this.run || i !== this.open) return;
    this.channel = ch;
    this.acknowledged = this.view.next;
    if (size === 0) this.view.say("Waiting for output…");
  }

  take(record) {
    if (record.channel === this.channel) this.view.push(record.kind, record.offset, record.bytes, spanOf(record));
  }

  ended({ch, size}) {
    if (ch !== this.channel) return;
    if (size === 0) this.view.say("No output.");
    this.view.end();
  }

  // The server counts what was drawn, not what was sent: a slow browser is not buried.
  acknowledgeSoon() {
    if (this.view.next - this.acknowledged >= ACK_BYTES) this.acknowledge();
    else if (this.view.next > this.acknowledged) this.timer ??= setTimeout(() => this.acknowledge(), ACK_WITHIN_MS);
  }

  acknowledge() {
    clearTimeout(this.timer);
    this.timer = null;
    if (this.channel === null || this.view.next <= this.acknowledged) return;
    this.acknowledged = this.view.next;
    socket.send({type: "ack", ch: this.channel, upto: this.acknowledged});
  }

  goToLine() {
    if (this.line === null || this.view.lines.first + this.view.lines.count <= this.line) return;
    const line = this.line;
    this.line = null;
    this.view.point(line);
  }

  /** Go to a line (from 0) of an instance, now or when it has come. */
  aim(ordinal, line) {
    this.show(ordinal);
    this.line = line;
    this.goToLine();
  }

  /** Where output was dropped at its limit, offsets in the kept file no longer match those of the log. */
  canLoad() {
    return Number(this.details.dataset.dropped) === 0;
  }

  /** Show which row is open; frames from the socket redraw rows without knowing it. */
  paint() {
    for (const row of findAll("#run-rows tr[data-i]", this.root)) {
      row.toggleAttribute("aria-current", false);
      if (Number(row.dataset.i) === this.open) row.setAttribute("aria-current", "true");
    }
    this.view.root.setAttribute("aria-label", `Output of ${this.details?.dataset.name ?? ""}`);
  }

  close() {
    clearTimeout(this.timer);
    this.view.close();
  }
}

/** Find the run that is on the page now, whichever way it came there. */
function look() {
  const root = find("#run");
  if (panel && panel.root !== root) {
    panel.close();
    panel = null;
    if (!root) socket.send({type: "unwatch"});
  }
  if (!root) return;
  if (!panel) {
    panel = new RunPanel(root);
    socket.reopen();
  }
  const asks = find("#run-rollout[data-asks]", root) ? "Answer? " : "";
  document.title = `${asks}${root.dataset.title} · Muster`;
  const {isDoubtful, opened} = panel.drawn.take(findAll("#run-rows, #run-summary, #run-opened", root));
  panel.watch(isDoubtful);
  if (opened?.dataset.i) panel.show(Number(opened.dataset.i));
  panel.paint();
  speak();
}

let spokenAt = 0;
let speaking = 0;

function speak() {
  const summary = find("#run-summary");
  if (!summary || speaking) return;
  speaking = setTimeout(() => {
    speaking = 0;
    spokenAt = Date.now();
    const {finished, total, summary: words} = find("#run-summary")?.dataset ?? {};
    const text = total ? `${finished} of ${total} finished, ${words.replaceAll(" · ", ", ")}` : "";
    const place = find("#progress-spoken");
    if (place.textContent !== text) place.textContent = text;
  }, Math.max(0, spokenAt + SPOKEN_EVERY_MS - Date.now()));
}

export function startRun() {
  socket = connectSocket({
    opened() {
      panel?.watch(true);
      panel?.ask();
    },
    message(message) {
      if (message.type === "opened") panel?.opened(message);
      else if (message.type === "ended") panel?.ended(message);
      else if (message.type === "error") toast(message.message, {isError: true});
    },
    frame(buffer) {
      for (const record of readRecords(buffer)) panel?.take(record);
    },
  });
  onContent(look);
  // The link does the rest: htmx fetches what became of the instance and puts the address in the history.
  onAct("open-row", (link, event) => {
    if (isPlainClick(event)) panel?.show(Number(link.closest("tr").dataset.i));
    panel?.paint();
  });
  onAct("open-line", (link, event) => {
    if (isPlainClick(event)) panel?.aim(Number(link.dataset.i), Number(link.dataset.line) - 1);
  });
  document.addEventListener("click", (event) => {
    const row = event.target.closest("#run-rows tr[data-i]");
    if (row && !event.target.closest("a, button, input")) find("a", row).click();
  });
}

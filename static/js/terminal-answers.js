// What a host may make the page send. Programs ask a terminal what it is and where the cursor stands, and full-screen
// programs need the answer; but an answer is bytes typed at a shell, so only these few kinds are given, no more often
// than programs need them, and never for output that is only replayed.

/** Answers in a row, and a second. */
export const BURST = 40;
export const PER_SECOND = 20;

const ANSWERS = [
  /^\x1b\[\?1;2c$/, // DA1: a VT100 with advanced video
  /^\x1b\[>0;276;0c$/, // DA2
  /^\x1b\[0n$/, // DSR 5: no malfunction
  /^\x1b\[\??\d{1,5};\d{1,5}R$/, // DSR 6: where the cursor is
  /^\x1b\[\??\d{1,5};[0-4]\$y$/, // DECRQM: whether a mode is set
  /^\x1b\[[IO]$/, // the page got or lost the focus, when the program asked to be told
];

/** Whether this is one of the answers that may be sent, and nothing else. */
export const isAnswer = (data) => ANSWERS.some((shape) => shape.test(data));

/** Lets answers through that have a known shape, as often as allowed. */
export class Gate {
  constructor(now = () => performance.now()) {
    Object.assign(this, {now, left: BURST, at: now()});
  }

  passes(data) {
    const now = this.now();
    this.left = Math.min(BURST, this.left + ((now - this.at) * PER_SECOND) / 1000);
    this.at = now;
    if (!isAnswer(data) || this.left < 1) return false;
    this.left--;
    return true;
  }
}

// Colours (a query is answered, and the page's theme is its own), links, the clipboard.
const OSC = [4, 8, 10, 11, 12, 52, 104, 110, 111, 112];

/** Make a terminal deaf to what would be answered with more than that, and to links. */
export function refuseRequests(parser) {
  const refuse = () => true;
  for (const number of OSC) parser.registerOscHandler(number, refuse);
  // Window operations: sizes, positions and titles would be reported.
  parser.registerCsiHandler({final: "t"}, refuse);
  // DECRQSS, and XTGETTCAP of other terminals.
  for (const intermediates of ["$", "+"]) parser.registerDcsHandler({intermediates, final: "q"}, refuse);
}

/**
 * Tell apart what a person typed (onTyped) and what xterm.js answers (through a gate, when mayAnswer()). xterm.js gives
 * both to onData; it says just before which it is, by an event that is no part of its public interface.
 */
export function listen(terminal, {onTyped, onAnswer, mayAnswer}) {
  const gate = new Gate();
  let isTyped = false;
  terminal._core.coreService.onUserInput(() => (isTyped = true));
  terminal.onData((data) => {
    const wasTyped = isTyped;
    isTyped = false;
    if (wasTyped) onTyped(data);
    else if (mayAnswer() && gate.passes(data)) onAnswer(data);
  });
}

// What a host may make a page send: a few answers, of a strict shape, not too often.
import assert from "node:assert/strict";
import {test} from "node:test";
import {BURST, Gate, PER_SECOND, isAnswer, listen, refuseRequests} from "../../static/js/terminal-answers.js";

const PASS = ["\x1b[?1;2c", "\x1b[>0;276;0c", "\x1b[0n", "\x1b[24;80R", "\x1b[?1;1R", "\x1b[?2026;2$y", "\x1b[4;0$y", "\x1b[I", "\x1b[O"];
const REFUSED = [
  "", "x", "\r", "\x1b", "\x1b[A", "\x1b[24;80R\r", "rm\x1b[0n", "\x1b[0n\x1b[0n", "\x1b[999999;1R", "\x1b[?1;2c\n",
  "\x1b]11;rgb:0000/0000/0000\x1b\\", "\x1b]4;1;rgb:ffff/0000/0000\x1b\\", "\x1b]52;c;bHM=\x07", "\x1b]lls\x1b\\", "\x1bP1$r0m\x1b\\",
  "\x1b[8;24;80t", "\x1b[4;600;800t", "\x1b[200~", "\x1b[<0;1;1M",
];

test("only the answers programs need have a known shape", () => {
  for (const data of PASS) assert.ok(isAnswer(data), JSON.stringify(data));
  for (const data of REFUSED) assert.ok(!isAnswer(data), JSON.stringify(data));
});

test("a flood of questions gets few answers", () => {
  let now = 0;
  const gate = new Gate(() => now);
  const passed = () => Array.from({length: 1000}, () => gate.passes("\x1b[0n")).filter(Boolean).length;
  assert.equal(passed(), BURST);
  now += 1000;
  assert.equal(passed(), PER_SECOND);
  now += 3_600_000;
  assert.equal(passed(), BURST);
});

/** What `listen` uses of xterm.js. */
function terminal() {
  const fake = {
    onData: (callback) => (fake.data = callback),
    _core: {coreService: {onUserInput: (callback) => (fake.typed = callback)}},
  };
  return fake;
}

test("what is typed passes as it is, what a host asks for only as an answer and only when one may be given", () => {
  const fake = terminal();
  const [typed, answered] = [[], []];
  let mayAnswer = true;
  listen(fake, {onTyped: (data) => typed.push(data), onAnswer: (data) => answered.push(data), mayAnswer: () => mayAnswer});
  fake.typed();
  fake.data("\x1b]52;c;typed\x07");
  fake.data("\x1b]52;c;asked\x07");
  fake.data("\x1b[0n");
  mayAnswer = false;
  fake.data("\x1b[0n");
  assert.deepEqual(typed, ["\x1b]52;c;typed\x07"]);
  assert.deepEqual(answered, ["\x1b[0n"]);
});

test("requests for colours, sizes, titles, settings and the clipboard end at the parser", () => {
  const refused = [];
  const note = (kind) => (id, handler) => handler() === true && refused.push(`${kind} ${typeof id === "object" ? (id.intermediates ?? "") + id.final : id}`);
  refuseRequests({registerOscHandler: note("OSC"), registerCsiHandler: note("CSI"), registerDcsHandler: note("DCS")});
  for (const one of ["OSC 4", "OSC 8", "OSC 10", "OSC 11", "OSC 12", "OSC 52", "CSI t", "DCS $q", "DCS +q"]) {
    assert.ok(refused.includes(one), one);
  }
});

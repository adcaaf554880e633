// Whatever a host prints, the real xterm.js behind our gate sends nothing but the few answers programs need.
import assert from "node:assert/strict";
import {test} from "node:test";
import {BURST, isAnswer, listen, refuseRequests} from "../../static/js/terminal-answers.js";
import {limitCounts, limitMarks, MARKS} from "../../static/js/terminal-counts.js";
import {Terminal} from "../../static/vendor/xterm.js";

function start({mayAnswer = true} = {}) {
  const terminal = new Terminal({allowProposedApi: true, cols: 80, rows: 24, logLevel: "off"});
  const [raw, typed, answers] = [[], [], []];
  refuseRequests(terminal.parser);
  limitCounts(terminal);
  limitMarks(terminal);
  terminal.onData((data) => raw.push(data));
  terminal.onBinary((data) => typed.push(data));
  listen(terminal, {onTyped: (data) => typed.push(data), onAnswer: (data) => answers.push(data), mayAnswer: () => mayAnswer});
  const print = (bytes) => new Promise((done) => terminal.write(bytes, done));
  return {terminal, raw, typed, answers, print};
}

const QUESTIONS = {
  "\x1b[c": "\x1b[?1;2c",
  "\x1b[>c": "\x1b[>0;276;0c",
  "\x1b[5n": "\x1b[0n",
  "\x1b[6n": "\x1b[1;1R",
  "\x1b[?6n": "\x1b[?1;1R",
  "\x1b[?2004$p": "\x1b[?2004;2$y",
  "\x1b[?1004h": null,
};
const NOTHING = [
  "\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07", "\x1b]52;c;bHM=\x07", "\x1b]52;c;?\x07", "\x1bP$qm\x1b\\", "\x1bP$q\"p\x1b\\",
  "\x1bP+q544e\x1b\\", "\x1b[11t", "\x1b[14t", "\x1b[18t", "\x1b[19t", "\x1b[20t", "\x1b[21t", "\x1b[22;0t\x1b[23;0t", "\x1b[8;10;10t",
  "\x1b]0;rm -rf /\r\x07\x1b[21t", "\x1b]4;1;?\x07", "\x1b]10;?\x07", "\x1b]11;?\x07", "\x1b]12;?\x07", "\x1b]4;0;?;1;?;2;?\x07",
  "\x1b]104;?\x07", "\x1b[>q", "\x1b[=c", "\x1b[x", "\x1b[?15n", "\x1b[?25n", "\x1b[?26n", "\x1b[1;1;1;1;1;1*y", "\x05", "\x1b[?u",
  "\x1b]1337;ReportCellSize\x07", "\x1b]50;?\x07", "\x1b]777;notify;a;b\x07", "\x1b_Gi=1,a=q;AAAA\x1b\\", "\x1bZ",
];

for (const [question, answer] of Object.entries(QUESTIONS)) {
  test(`${JSON.stringify(question)} is answered with ${JSON.stringify(answer)}`, async () => {
    const {answers, typed, print} = start();
    await print(question);
    if (answer === null) assert.ok(answers.every((one) => /^\x1b\[[IO]$/.test(one)));
    else assert.deepEqual(answers, [answer]);
    assert.deepEqual(typed, []);
  });
}

test("nothing else is answered, in any of its spellings", async () => {
  const {raw, typed, print} = start();
  for (const sequence of NOTHING) {
    await print(sequence);
    await print(sequence.replaceAll("\x07", "\x1b\\"));
    // C1: the same as single letters.
    await print(sequence.replaceAll("\x1b[", "\x9b").replaceAll("\x1b]", "\x9d").replaceAll("\x1bP", "\x90").replaceAll("\x1b\\", "\x9c"));
    for (const letter of sequence) await print(letter);
  }
  assert.deepEqual([raw, typed], [[], []]);
});

const linesOf = ({buffer: {active}}) =>
  Array.from({length: active.length}, (_, at) => active.getLine(at).translateToString(true)).join("\n").trimEnd();

test("a count that would freeze the page does what one as large as the screen does", async () => {
  const fill = Array.from({length: 30}, (_, at) => `line ${at}`).join("\r\n");
  for (const [final, most] of Object.entries({L: 24, M: 24, S: 24, T: 24, I: 80, Z: 80, b: 1920})) {
    const [huge, whole] = [start(), start()];
    for (const [{print}, count] of [[huge, 2_147_483_647], [whole, most]]) await print(`${fill}\x1b[5;5Habc\x1b[${count}${final}end`);
    assert.equal(linesOf(huge.terminal), linesOf(whole.terminal), final);
  }
});

test("a letter with more marks than any writing has does not grow", async () => {
  const {terminal, print} = start();
  await print("e\u0301漢\u0301👩\u200d💻|");
  for (let times = 0; times < 5; times++) await print("\u0301".repeat(1000));
  const [first] = linesOf(terminal).split("\n");
  assert.ok(first.startsWith(`e\u0301漢\u0301👩\u200d💻|${"\u0301".repeat(MARKS)}`));
  const {active} = terminal.buffer;
  const line = active.getLine(active.baseY);
  const longest = Math.max(...Array.from({length: terminal.cols}, (_, at) => line.getCell(at).getChars().length));
  assert.ok(longest <= MARKS + 1, `${longest}`);
  assert.deepEqual([0, 1, 3].map((at) => active.getLine(0).getCell(at).getWidth()), [1, 2, 2]);
});

test("links are no links", async () => {
  const {terminal, print} = start();
  await print("\x1b]8;;https://example.com\x07link\x1b]8;;\x07");
  assert.equal(terminal._core._inputHandler._curAttrData.extended.urlId, 0);
  assert.equal(terminal._core._oscLinkService._dataByLinkId.size, 0);
});

/** Escape sequences as no program makes them, the same on every run. */
function soup(length, seed) {
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const known = [...Object.keys(QUESTIONS), ...NOTHING];
  const pick = (list) => list[random(list.length)];
  const number = () => String(pick([0, 1, 2, 4, 6, 8, 11, 18, 21, 52, 1000, 1004, 1006, 1049, 2004, 99999999]));
  const kinds = [
    () => pick(known),
    () => `\x1b[${pick(["", "?", ">", "=", "<"])}${number()};${number()}${pick(["", "$", " ", "!", '"', "'", "*"])}${String.fromCharCode(64 + random(63))}`,
    () => `\x1b]${number()};${pick(["?", "c;?", "1;?", "javascript:x", "ls\r"])}${pick(["\x07", "\x1b\\", ""])}`,
    () => `\x1b${pick(["P", "_", "^", "X"])}${pick(["$q", "+q", "1$r", ">|"])}${pick(["m", "r", "q", "544e"])}${pick(["\x1b\\", "\x9c", "\x18"])}`,
    () => String.fromCharCode(random(256)),
    () => "text\r\n",
  ];
  let text = "";
  while (text.length < length) text += pick(kinds)();
  return text;
}

test("a soup of sequences brings out only known answers, and not many", async () => {
  const {raw, typed, answers, print} = start();
  const text = soup(400_000, 5);
  const began = performance.now();
  for (let at = 0; at < text.length; at += 7919) await print(text.slice(at, at + 7919));
  const seconds = (performance.now() - began) / 1000;
  assert.ok(raw.length > BURST, "the soup asks for more than is answered");
  assert.deepEqual(raw.filter((one) => !isAnswer(one)).map((one) => JSON.stringify(one)), []);
  assert.deepEqual(typed, []);
  assert.ok(answers.length <= BURST + 20 * seconds + 1);
});

test("what is replayed, or read by somebody who does not type, is answered with nothing", async () => {
  const {typed, answers, print} = start({mayAnswer: false});
  await print(Object.keys(QUESTIONS).join(""));
  await print(soup(100_000, 11));
  assert.deepEqual([typed, answers], [[], []]);
});

import assert from "node:assert/strict";
import {test} from "node:test";
import {PLAIN, apply, carry, lastState, paint, visible} from "../../static/js/ansi.js";

const shown = (line, look = PLAIN) => paint(line, look).runs.map(({text, classes}) => [text, classes]);

test("colours and flags become classes", () => {
  assert.deepEqual(shown("a\x1b[1;31mb\x1b[0mc"), [["a", ""], ["b", "a-bold fg-1"], ["c", ""]]);
  assert.deepEqual(shown("\x1b[92;44mx"), [["x", "fg-10 bg-4"]]);
});

test("an empty colour sequence resets", () => {
  assert.deepEqual(shown("\x1b[31ma\x1b[mb"), [["a", "fg-1"], ["b", ""]]);
});

test("single attributes end by themselves", () => {
  assert.deepEqual(shown("\x1b[1;4;32mx\x1b[22my\x1b[39mz"), [
    ["x", "a-bold a-underline fg-2"],
    ["y", "a-underline fg-2"],
    ["z", "a-underline"],
  ]);
});

test("256 colours and true colour become the nearest of the 16", () => {
  assert.equal(apply(PLAIN, "38;5;9").fg, 9);
  assert.equal(apply(PLAIN, "38;5;196").fg, 9);
  assert.equal(apply(PLAIN, "38;2;0;0;0;1").fg, 0);
  assert.equal(apply(PLAIN, "38;2;0;0;0;1").flags, "bold");
  assert.equal(apply(PLAIN, "48;5;255").bg, 7);
});

test("cursor movements, titles and control characters are dropped", () => {
  assert.deepEqual(shown("\x1b[2K\x1b]0;title\x07a\x1b(B\x07b\x1b[?25l"), [["a", ""], ["b", ""]]);
});

test("an escape cut off at the end of the line shows no garbage class", () => {
  assert.deepEqual(shown("a\x1b["), [["a", ""]]);
});

test("markup stays text", () => {
  assert.deepEqual(shown("<img src=x onerror=alert(1)>"), [["<img src=x onerror=alert(1)>", ""]]);
});

test("a look carries over any amount of text", () => {
  assert.equal(carry("x\n\x1b[31my\nz", PLAIN).fg, 1);
  assert.equal(carry("\x1b[31mx\x1b[0my", PLAIN).fg, null);
  assert.equal(carry("no colour", apply(PLAIN, "35")).fg, 5);
});

test("carrying a look in pieces gives the same as in one", () => {
  const text = "a\x1b[1mb\n\x1b[31;4mc\x1b[22md\x1b[0me\x1b[7mf\n".repeat(20);
  let look = PLAIN;
  for (const line of text.split("\n")) look = paint(line, look).state;
  assert.deepEqual(look, carry(text, PLAIN));
});

test("a bare carriage return starts the line over", () => {
  assert.equal(lastState("10%\r50%\r100%"), "100%");
  assert.equal(lastState("10%\r100%\r"), "100%");
  assert.equal(lastState("windows\r"), "windows");
  assert.equal(lastState("\r"), "");
  assert.equal(lastState(""), "");
});

test("searching sees what is shown", () => {
  assert.equal(visible("\x1b[31mer\x1b[0mror\n10%\rdone\n"), "error\ndone\n");
});

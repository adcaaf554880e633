import assert from "node:assert/strict";
import {test} from "node:test";
import {Lines} from "../../static/js/lines.js";
import {STDERR, STDOUT} from "../../static/js/records.js";

const bytes = (text) => new TextEncoder().encode(text);
const all = (lines) => Array.from({length: lines.count}, (_, place) => lines.at(place));
const texts = (lines) => all(lines).map((line) => (line.gap ? `gap ${line.gap.from}-${line.gap.to}` : line.text));
const of = (...pieces) => pieces.reduce((lines, [stream, text]) => (lines.append(stream, bytes(text)), lines), new Lines());

test("lines come out as they went in, the unfinished one last", () => {
  assert.deepEqual(texts(of([STDOUT, "a\nb\nc"])), ["a", "b", "c"]);
  assert.deepEqual(texts(of([STDOUT, "a\n\nb\n"])), ["a", "", "b"]);
  assert.equal(of([STDOUT, "a\nb"]).complete, 1);
});

test("characters may be cut anywhere, in each stream by itself", () => {
  const lines = new Lines();
  const [out, err] = [bytes("é✓\n"), bytes("ü\n")];
  lines.append(STDOUT, out.slice(0, 1));
  lines.append(STDERR, err.slice(0, 1));
  lines.append(STDOUT, out.slice(1, 4));
  lines.append(STDERR, err.slice(1));
  lines.append(STDOUT, out.slice(4));
  assert.deepEqual(all(lines).map(({text, stream}) => [text, stream]), [["ü", STDERR], ["é✓", STDOUT]]);
});

test("any cutting gives the same lines", () => {
  const text = "plain\n\x1b[31mred é✓ 😀\nstill red\x1b[0m\n10%\r50%\r100%\nlast";
  const whole = all(of([STDOUT, text])).map(({text, look}) => [text, look.fg]);
  for (let size = 1; size < 12; size++) {
    const lines = new Lines();
    const source = bytes(text);
    for (let at = 0; at < source.length; at += size) lines.append(STDOUT, source.slice(at, at + size));
    assert.deepEqual(all(lines).map(({text, look}) => [text, look.fg]), whole, `pieces of ${size}`);
  }
});

test("a colour carries over lines and blocks, asked for in any order", () => {
  const lines = new Lines();
  lines.append(STDOUT, bytes("\x1b[32m"));
  for (let i = 0; i < 30; i++) lines.append(STDOUT, bytes(`${"x".repeat(9000)}${i}\n`));
  assert.ok(lines.blocks.length > 2);
  for (const place of [29, 1, 15, 16, 3]) assert.equal(lines.at(place).look.fg, 2, `line ${place}`);
});

test("a line that never ends is cut, and a progress bar keeps its last state", () => {
  const lines = new Lines();
  for (let i = 0; i < 50; i++) lines.append(STDOUT, bytes("y".repeat(10_000)));
  assert.ok(lines.count > 5);
  const bar = new Lines();
  for (let i = 0; i < 20_000; i++) bar.append(STDERR, bytes(`\r\x1b[33m${i} of 20000`));
  assert.equal(bar.count, 1);
  assert.ok(bar.unfinished()[0].text.length < 200_000);
  assert.match(bar.at(0).text, /19999 of 20000$/);
});

test("a gap is a line and ends what was unfinished", () => {
  const lines = of([STDOUT, "half"]);
  lines.addGap(4, 1000);
  lines.append(STDOUT, bytes("rest\n"));
  assert.deepEqual(texts(lines), ["half", "gap 4-1000", "rest"]);
});

test("a gap can be filled from its end", () => {
  const lines = new Lines();
  lines.addGap(0, 20);
  lines.append(STDOUT, bytes("tail\n"));
  const {gap} = lines.at(0);
  lines.fillGap(gap, 10, bytes("cut\nwhole\n"));
  assert.deepEqual(texts(lines), ["gap 0-14", "whole", "tail"]);
  lines.fillGap(lines.at(0).gap, 0, bytes("first\nsecond c"));
  assert.deepEqual(texts(lines), ["first", "second cwhole", "tail"]);
  assert.deepEqual(all(lines).map(({number}) => number), [0, 1, 2]);
});

test("beyond the cap the oldest text goes and numbers stay", () => {
  const lines = new Lines({capCharacters: 200_000});
  for (let i = 0; i < 100; i++) lines.append(STDOUT, bytes(`${String(i).padStart(9999, "x")}\n`));
  assert.ok(lines.characters <= 200_000);
  assert.ok(lines.first > 0);
  assert.match(lines.at(0).text, new RegExp(`x${lines.first}$`));
  assert.equal(lines.at(lines.count - 1).number, 99);
});

test("searching finds every line once, in shown text, in what is unfinished too", () => {
  const lines = of([STDOUT, "Error one error\nfine\n\x1b[31mer\x1b[0mror two\n"], [STDERR, "last ERROR"]);
  assert.deepEqual(lines.search("error"), [0, 2, 3]);
  assert.deepEqual(lines.search(""), []);
  assert.equal(new Lines({maxHits: 2}).search("x").length, 0);
});

test("searching many blocks names the right lines", () => {
  const lines = new Lines();
  for (let i = 0; i < 2000; i++) lines.append(STDOUT, bytes(`${"-".repeat(100)} ${i % 500 === 7 ? "needle" : ""}\n`));
  assert.deepEqual(lines.search("needle"), [7, 507, 1007, 1507]);
});

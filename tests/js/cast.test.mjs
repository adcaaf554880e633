// A recording is read in parts and played at its times; seeking gives the same screen as playing up to there.
import assert from "node:assert/strict";
import {test} from "node:test";
import {Cast, readEvent, readSize} from "../../static/js/cast.js";
import {IDLE_S, Playback} from "../../static/js/playback.js";

const HEADER = {version: 2, width: 80, height: 24};
const MIB = 1024 * 1024;

const textOf = (events, header = HEADER) => [header, ...events].map((line) => `${JSON.stringify(line)}\n`).join("");

/** Answers as the console does: ranges of the bytes; `asked` are the ranges. */
function server(text, {knowsRanges = true} = {}) {
  const bytes = Buffer.from(text);
  const asked = [];
  const request = async (address, {headers}) => {
    const [from, to] = /bytes=(\d+)-(\d+)/.exec(headers.Range).slice(1).map(Number);
    asked.push([from, to]);
    if (!knowsRanges) return new Response(bytes, {status: 200});
    if (from >= bytes.length) return new Response(null, {status: 416});
    const part = bytes.subarray(from, to + 1);
    return new Response(part, {status: 206, headers: {"Content-Range": `bytes ${from}-${from + part.length - 1}/${bytes.length}`}});
  };
  return {request, asked};
}

async function allOf(cast) {
  const events = [];
  for (let event; (event = await cast.peek()); cast.take()) events.push([event.time, event.kind, event.data]);
  return events;
}

test("lines are events; what is none is passed over", () => {
  assert.deepEqual(readEvent('[1.5,"o","x\\u001b[m"]'), {time: 1.5, kind: "o", data: "x\x1b[m"});
  for (const line of ['[1,"i","typed"]', '[1,"m","mark"]', '["1","o","x"]', '[1,"o",2]', '{"a":1}', '[1,"o","cu', "null", ""]) {
    assert.equal(readEvent(line), null, line);
  }
  assert.deepEqual(readSize("120x40"), {columns: 120, rows: 40});
  assert.equal(readSize("120x40000"), null);
});

test("events come out as they went in, however parts cut lines and letters", async () => {
  const events = Array.from({length: 30_000}, (_, at) => [at / 100, "o", `${at} 漢字 😀 äöü ${"x".repeat(at % 97)}\r\n`]);
  const {request, asked} = server(textOf(events));
  assert.deepEqual(await allOf(new Cast("/cast/", request)), events);
  assert.ok(asked.length >= 3);
  assert.ok(asked.every(([from, to]) => to - from < MIB));
});

test("a line longer than a part, a last line without an end, and one that was cut off", async () => {
  const long = [0, "o", "y".repeat(3 * MIB)];
  const {request} = server(`${textOf([long])}[1,"o","last"]`);
  assert.deepEqual(await allOf(new Cast("/cast/", request)), [long, [1, "o", "last"]]);
  const cut = server(`${textOf([[0, "o", "a"]])}[1,"o","la`);
  assert.deepEqual(await allOf(new Cast("/cast/", cut.request)), [[0, "o", "a"]]);
});

test("a server that sends the whole is understood too", async () => {
  const events = [[0, "o", "a"], [1, "o", "b"]];
  assert.deepEqual(await allOf(new Cast("/cast/", server(textOf(events), {knowsRanges: false}).request)), events);
});

test("what is no recording, and a console that refuses, are errors", async () => {
  await assert.rejects(new Cast("/cast/", server("<html>").request).peek(), /not a recording/);
  const refuses = async () => new Response("", {status: 403});
  await assert.rejects(new Cast("/cast/", refuses).peek(), /status 403/);
});

/** A screen that keeps what was drawn, and a clock that only moves while the player waits. */
function play(events, {tick = 100} = {}) {
  const log = [];
  let clock = 0;
  const ticks = [];
  const screen = {
    reset: () => log.splice(0),
    resize: (columns, rows) => log.push(`${columns}x${rows}`),
    write: async (text) => void log.push(text),
  };
  const wait = async () => {
    clock += tick;
    ticks.push(clock);
    await ticks.hook?.(clock);
  };
  const cast = new Cast("/cast/", server(textOf(events)).request);
  const playback = new Playback(cast, screen, {now: () => clock, wait});
  return {playback, log, ticks, done: async () => playback.work};
}

const STEPS = [[0, "o", "a"], [1, "o", "b"], [1.5, "r", "100x30"], [2, "o", "c"], [60, "o", "d"]];

test("output and sizes come at their times, then it is at the end", async () => {
  const {playback, log, ticks, done} = play(STEPS);
  ticks.hook = (clock) => clock === 1900 && assert.deepEqual(log, ["80x24", "a", "b", "100x30"]);
  await playback.start();
  playback.play();
  await done();
  assert.deepEqual(log, ["80x24", "a", "b", "100x30", "c", "d"]);
  assert.ok(playback.isEnded && !playback.isPlaying);
  assert.ok(Math.abs(ticks.at(-1) - 60_000) <= 200);
});

test("twice the speed takes half the time, and idle time can be skipped", async () => {
  const fast = play(STEPS);
  fast.playback.speed = 2;
  await fast.playback.start();
  fast.playback.play();
  await fast.done();
  assert.ok(Math.abs(fast.ticks.at(-1) - 30_000) <= 200);
  const skipping = play(STEPS);
  skipping.playback.skipsIdle = true;
  await skipping.playback.start();
  skipping.playback.play();
  await skipping.done();
  assert.ok(Math.abs(skipping.ticks.at(-1) - (2 + IDLE_S) * 1000) <= 300);
});

test("seeking forward and back shows what playing up to there shows", async () => {
  const {playback, log} = play(STEPS);
  await playback.start(1.7);
  assert.deepEqual(log.join("|"), "80x24|ab|100x30");
  await playback.seek(59);
  assert.deepEqual(log.join("|"), "80x24|ab|100x30|c");
  await playback.seek(0.5);
  assert.deepEqual(log.join("|"), "80x24|a");
  assert.equal(playback.position, 0.5);
  assert.ok(!playback.isPlaying && !playback.isSeeking);
});

test("seeking says how far it is", async () => {
  const events = Array.from({length: 40}, (_, at) => [at, "o", "x".repeat(100_000)]);
  const {playback} = play(events);
  const seen = [];
  playback.onChange = () => playback.isSeeking && seen.push(playback.progress);
  await playback.start(39);
  assert.deepEqual(seen, [0, 1, 3, 4, 6, 7, 9, 10]);
  assert.ok(!playback.isSeeking);
});

test("a seek while it plays goes on from there, and a later seek wins", async () => {
  const {playback, log, ticks, done} = play(STEPS);
  await playback.start();
  playback.play();
  ticks.hook = (clock) => {
    if (clock !== 300) return;
    playback.seek(1.2);
    playback.seek(59.5);
  };
  await done();
  await done();
  assert.equal(log.join(""), "80x24ab100x30cd");
  assert.ok(ticks.at(-1) < 1500);
});

test("pausing stops, playing goes on, and playing at the end begins again", async () => {
  const {playback, log, ticks, done} = play([[0, "o", "a"], [1, "o", "b"], [2, "o", "c"]]);
  await playback.start();
  playback.play();
  ticks.hook = (clock) => clock === 1200 && playback.pause();
  await done();
  assert.equal(log.join(""), "80x24ab");
  playback.play();
  await done();
  assert.equal(log.join(""), "80x24abc");
  playback.play();
  await done();
  assert.equal(log.join(""), "80x24abc");
  assert.ok(playback.isEnded);
});

test("an error is said, and nothing plays on", async () => {
  const playback = new Playback(new Cast("/cast/", server("{}").request), {});
  await playback.start();
  assert.match(playback.error.message, /not a recording/);
  assert.ok(!playback.isPlaying && !playback.isSeeking);
});

// What is typed arrives in order and exactly once, whatever happens to the connection.
import assert from "node:assert/strict";
import {test} from "node:test";
import {IN_FLIGHT, Input, RECORD, WAITING} from "../../static/js/terminal-input.js";
import {makeRecord, readRecord} from "../../static/js/terminal-records.js";

const bytes = (text) => new TextEncoder().encode(text);

/** A host that takes what follows on what it has, as console/sessions/host.py does. */
class Host {
  constructor(taken = 0) {
    Object.assign(this, {taken, start: taken, got: [], sent: []});
    this.input = new Input((offset, part) => this.sent.push([offset, part]));
    this.input.begin(taken);
  }

  /** Take what is on its way, or lose all of it. */
  take({lose = false} = {}) {
    for (const [offset, part] of this.sent.splice(0)) {
      if (lose) continue;
      assert.ok(offset <= this.taken, "a hole");
      const fresh = part.slice(this.taken - offset);
      this.got.push(...fresh);
      this.taken += fresh.length;
    }
  }

  get text() {
    return Buffer.from(this.got).toString();
  }
}

test("typed bytes are sent at once, with their offsets", () => {
  const host = new Host(100);
  host.input.type(bytes("ls"));
  host.input.type(bytes("\r"));
  assert.deepEqual(host.sent.map(([offset, part]) => [offset, Buffer.from(part).toString()]), [[100, "ls"], [102, "\r"]]);
});

test("a paste is cut into records, and no more than allowed is on its way", () => {
  const host = new Host();
  const paste = new Uint8Array(100_000).map((_, at) => at);
  host.input.type(paste);
  assert.equal(host.sent.length, IN_FLIGHT / RECORD);
  assert.ok(host.sent.every(([, part]) => part.length <= RECORD));
  while (host.sent.length) {
    host.take();
    host.input.acknowledge(host.taken);
  }
  assert.deepEqual(Uint8Array.from(host.got), paste);
  assert.equal(host.input.waiting, 0);
});

test("after a loss the host's rest is sent again, and what was typed meanwhile", () => {
  const host = new Host();
  host.input.type(bytes("one "));
  host.take();
  host.input.type(bytes("two "));
  host.take({lose: true});
  host.input.pause();
  host.input.type(bytes("three"));
  assert.deepEqual(host.sent, []);
  host.input.resume(host.taken);
  host.take();
  assert.equal(host.text, "one two three");
});

test("a record of which the host has the beginning is sent from there on", () => {
  const host = new Host();
  host.input.type(bytes("abcdef"));
  host.sent = [];
  host.taken = 3;
  host.input.pause();
  host.input.resume(3);
  host.take();
  assert.equal(host.text, "def");
});

test("bytes the host took whose acknowledgement was lost are not typed twice", () => {
  const host = new Host();
  host.input.type(bytes("rm x\r"));
  host.take();
  host.input.pause();
  host.input.resume(host.taken);
  assert.deepEqual(host.sent, []);
  host.input.type(bytes("y"));
  host.take();
  assert.equal(host.text, "rm x\ry");
});

test("what the host has not handed on counts as on its way, however often the connection breaks", () => {
  const host = new Host();
  host.input.type(new Uint8Array(5 * IN_FLIGHT));
  for (let times = 0; times < 4; times++) {
    host.take();
    host.input.pause();
    host.input.resume(host.taken, 1000);
  }
  assert.ok(host.taken <= 1000 + IN_FLIGHT);
  host.input.acknowledge(host.taken);
  host.take();
  assert.ok(host.taken > IN_FLIGHT + 1000);
  // Nor may another who takes over fill the host's hands.
  host.input.begin(host.taken, 0, host.taken - IN_FLIGHT);
  host.sent = [];
  host.input.type(new Uint8Array(RECORD));
  assert.deepEqual(host.sent, []);
});

test("losses at any moment lose and double nothing", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const host = new Host(5);
  const typed = [];
  for (let step = 0; step < 3000; step++) {
    const part = Uint8Array.from({length: 1 + random(step % 50 ? 9 : 40_000)}, () => random(256));
    const what = random(5);
    if (what < 2 && host.input.type(part)) typed.push(...part);
    if (what === 2) host.take();
    if (what === 3) host.input.acknowledge(host.start + random(host.taken - host.start + 1));
    if (what === 4) {
      host.take({lose: random(2) === 0});
      host.input.pause();
      host.input.resume(host.taken);
    }
  }
  while (host.input.waiting) {
    host.take();
    host.input.acknowledge(host.taken);
  }
  assert.ok(host.got.length > 100_000);
  assert.deepEqual(Buffer.compare(Buffer.from(host.got), Buffer.from(typed)), 0);
});

test("a turn that is over takes what waits with it, and says how much that was", () => {
  const host = new Host();
  host.input.type(bytes("secret"));
  assert.equal(host.input.stop(), 6);
  assert.equal(host.input.begin(40), 0);
  host.sent = [];
  host.input.type(bytes("x"));
  assert.deepEqual(host.sent.map(([offset]) => offset), [40]);
});

test("what the host took without saying so is not called lost", () => {
  const host = new Host();
  host.input.type(bytes("uptime\r"));
  host.take();
  host.input.type(bytes("ls"));
  assert.equal(host.input.stop(host.taken), 2);
  assert.equal(host.input.begin(40, 7), 0);
});

test("offsets that cannot be are a new beginning, not a hole", () => {
  const host = new Host();
  host.input.type(bytes("abc"));
  assert.equal(host.input.resume(50), 3);
  host.sent = [];
  host.input.type(bytes("x"));
  assert.deepEqual(host.sent.map(([offset]) => offset), [50]);
});

test("what cannot wait is refused whole", () => {
  const host = new Host();
  host.input.pause();
  assert.ok(host.input.type(new Uint8Array(WAITING)));
  assert.ok(!host.input.type(bytes("x")));
  assert.equal(host.input.waiting, WAITING);
});

test("records travel as the worker reads them", () => {
  const frame = makeRecord(2 ** 40 + 1, bytes("hé"));
  assert.equal(Buffer.from(frame).toString("hex"), "01000001000000000168c3a9");
  assert.deepEqual(readRecord(frame.buffer), {kind: 1, offset: 2 ** 40 + 1, bytes: bytes("hé")});
  assert.throws(() => readRecord(frame.buffer.slice(0, 8)), RangeError);
});

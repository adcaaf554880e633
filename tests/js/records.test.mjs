import assert from "node:assert/strict";
import {test} from "node:test";
import {GAP, STDERR, STDOUT, readRecords, spanOf} from "../../static/js/records.js";

function frame(...records) {
  const parts = records.map(([kind, channel, offset, bytes]) => {
    const head = new DataView(new ArrayBuffer(17));
    head.setUint8(0, kind);
    head.setUint32(1, channel);
    head.setBigUint64(5, BigInt(offset));
    head.setUint32(13, bytes.length);
    return Buffer.concat([new Uint8Array(head.buffer), bytes]);
  });
  const whole = Buffer.concat(parts);
  return whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.length);
}

test("many records in one frame", () => {
  const records = readRecords(frame([STDOUT, 7, 0, Buffer.from("abc")], [STDERR, 7, 3, Buffer.from("de")]));
  assert.deepEqual(records.map(({kind, channel, offset}) => [kind, channel, offset]), [[1, 7, 0], [2, 7, 3]]);
  assert.equal(Buffer.from(records[1].bytes).toString(), "de");
  assert.equal(spanOf(records[0]), 3);
});

test("a gap says how many bytes it stands for", () => {
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(5_000_000_000n);
  const [gap] = readRecords(frame([GAP, 1, 10, count]));
  assert.equal(spanOf(gap), 5_000_000_000);
});

test("offsets beyond 32 bits", () => {
  assert.equal(readRecords(frame([STDOUT, 1, 2 ** 40, Buffer.from("x")]))[0].offset, 2 ** 40);
});

test("an empty frame holds nothing, a cut one is an error", () => {
  assert.deepEqual(readRecords(new ArrayBuffer(0)), []);
  assert.throws(() => readRecords(frame([STDOUT, 1, 0, Buffer.from("abc")]).slice(0, 18)), RangeError);
});

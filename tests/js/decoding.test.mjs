import assert from "node:assert/strict";
import {test} from "node:test";
import {LogDecoder} from "../../static/js/decoding.js";

const bytes = (text) => new TextEncoder().encode(text);
// cp850, as far as it is needed here.
const LETTERS = [..."Çüéâäàåçêëèïîì"].join("").padEnd(128, "?");
const decoder = (page) => new LogDecoder(() => page);

function inPieces(all, size, page) {
  const one = decoder(page);
  let text = "";
  for (let at = 0; at < all.length; at += size) text += one.decode(all.slice(at, at + size), {stream: true});
  return text + one.decode();
}

test("UTF-8 is UTF-8 in any pieces, whatever the code page", () => {
  const text = "é✓ 😀\nplain\r\nü\ufeff";
  for (const size of [1, 2, 3, 5, 100]) {
    for (const page of [{}, {letters: LETTERS}, {encoding: "shift_jis"}]) assert.equal(inPieces(bytes(text), size, page), text);
  }
});

test("a line that is none is of the code page, and its neighbours are not touched", () => {
  const all = new Uint8Array([...bytes("grün\n"), 0x67, 0x72, 0x81, 0x6e, 10, ...bytes("é")]);
  assert.equal(decoder({letters: LETTERS}).decode(all), "grün\ngrün\né");
  assert.equal(decoder({}).decode(all), "grün\ngr\ufffdn\né");
  assert.equal(decoder(undefined).decode(new Uint8Array([0xff])), "\ufffd");
});

test("code pages of many letters go by the browser's names", () => {
  assert.equal(decoder({encoding: "shift_jis"}).decode(new Uint8Array([0x93, 0xfa, 0x96, 0x7b, 10])), "日本\n");
});

test("what looked like the beginning of a letter comes out at the end", () => {
  assert.equal(inPieces(new Uint8Array([0x61, 0xc3]), 1, {letters: "x".repeat(67) + "├".padEnd(61, "x")}), "a├");
});

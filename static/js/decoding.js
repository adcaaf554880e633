// Makes text of a log's bytes: UTF-8, and lines that are none in the OEM code page of the (Windows) machine.
// instances/engine/text.py does the same for pages without JavaScript.
import {find} from "./dom.js";

const STRICT = {fatal: true, ignoreBOM: true};

/** What the open instance says of its code page: {letters} of the bytes from 128 on, or {encoding} as browsers call it. */
const codePage = () => globalThis.document && find("#run-opened")?.dataset;

/** Decodes a stream piece by piece, as TextDecoder does; `page` tells the code page when it is needed. */
export class LogDecoder {
  constructor(page = codePage) {
    this.page = page;
    this.waiting = new Uint8Array();
  }

  decode(bytes = new Uint8Array(), {stream = false} = {}) {
    const all = new Uint8Array(this.waiting.length + bytes.length);
    all.set(this.waiting);
    all.set(bytes, this.waiting.length);
    const end = all.length - (stream ? unfinished(all) : 0);
    this.waiting = all.slice(end);
    return this.textOf(all.subarray(0, end));
  }

  textOf(bytes) {
    try {
      return new TextDecoder("utf-8", STRICT).decode(bytes);
    } catch {
      return linesOf(bytes).map((line) => this.lineOf(line)).join("");
    }
  }

  lineOf(bytes) {
    const {letters = "", encoding = ""} = this.page() ?? {};
    try {
      return new TextDecoder("utf-8", STRICT).decode(bytes);
    } catch {
      if (!letters) return new TextDecoder(encoding || "utf-8").decode(bytes);
      return Array.from(bytes, (byte) => (byte < 128 ? String.fromCharCode(byte) : letters[byte - 128])).join("");
    }
  }
}

/** How many bytes at the end are the beginning of a letter that needs more. */
function unfinished(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0;
  }
  return 0;
}

function linesOf(bytes) {
  const lines = [];
  for (let begin = 0; begin < bytes.length; ) {
    const end = bytes.indexOf(10, begin) + 1 || bytes.length;
    lines.push(bytes.subarray(begin, end));
    begin = end;
  }
  return lines;
}

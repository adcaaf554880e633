// Holds a log as lines: bytes in, numbered lines out. No DOM.
//
// Text is kept in blocks of one stream (arrays of a million strings would cost several times the memory); a line is
// cut out of its block when it is asked for. Each stream decodes by itself and keeps its own unfinished line, for
// the two streams can each stop in the middle of a character or a line.
import {PLAIN, carry, lastState, lookAtLastState} from "./ansi.js";
import {LogDecoder} from "./decoding.js";
import {countLines, searchLines} from "./line-search.js";
import {STDERR, STDOUT} from "./records.js";

const BLOCK_CHARACTERS = 64 * 1024;
// A line without an end is cut here, or a progress bar that is drawn over for an hour would be kept whole.
const LINE_CHARACTERS = 64 * 1024;

export class Lines {
  /** capCharacters: how much text is held; beyond it the oldest blocks go. */
  constructor({capCharacters = 64e6, maxHits = 10_000} = {}) {
    Object.assign(this, {capCharacters, maxHits});
    this.blocks = [];
    this.characters = 0;
    this.dropped = 0;
    // Rises when lines already given out change; rows drawn from them are stale.
    this.version = 0;
    this.memo = null;
    this.streams = new Map([STDOUT, STDERR].map((stream) => [stream, {decoder: new LogDecoder(), text: "", look: PLAIN}]));
  }

  /** Number of the first line held, from 0. */
  get first() {
    return this.blocks.length ? this.blocks[0].start : 0;
  }

  /** Lines held that will not change any more. */
  get complete() {
    const last = this.blocks.at(-1);
    return last ? last.start + last.count - this.first : 0;
  }

  /** Lines held, with the unfinished ones at the end. */
  get count() {
    return this.complete + this.unfinished().length;
  }

  unfinished() {
    return [...this.streams].filter(([, {text}]) => text).map(([stream, {text, look}]) => ({stream, text, look}));
  }

  append(stream, bytes) {
    const one = this.streams.get(stream);
    this.take(stream, one.decoder.decode(bytes, {stream: true}));
  }

  take(stream, text) {
    const one = this.streams.get(stream);
    const end = text.lastIndexOf("\n");
    if (end >= 0) {
      this.add(stream, one.text + text.slice(0, end + 1), one);
      one.text = text.slice(end + 1);
    } else {
      one.text += text;
    }
    if (one.text.length > LINE_CHARACTERS) this.shorten(stream, one);
  }

  shorten(stream, one) {
    const start = one.text.lastIndexOf("\r", one.text.length - 2);
    if (start >= 0) {
      one.look = carry(one.text.slice(0, start), one.look);
      one.text = one.text.slice(start + 1);
    } else {
      const text = one.text;
      one.text = "";
      this.add(stream, `${text}\n`, one);
    }
  }

  add(stream, text, one) {
    const count = countLines(text);
    const last = this.blocks.at(-1);
    if (last && !last.gap && last.stream === stream && last.text.length + text.length <= BLOCK_CHARACTERS) {
      last.text += text;
      last.count += count;
      if (this.memo?.block === last) this.memo = null;
    } else {
      this.blocks.push({start: this.first + this.complete, count, stream, text, look: one.look});
    }
    one.look = carry(text, one.look);
    this.characters += text.length;
    this.drop();
  }

  drop() {
    while (this.characters > this.capCharacters && this.blocks.length > 1) {
      const block = this.blocks.shift();
      this.characters -= block.text?.length ?? 0;
      this.dropped += block.count;
    }
  }

  /** Note bytes that are not here; what was unfinished before them stays as it is. */
  addGap(from, to) {
    this.finish();
    this.blocks.push({start: this.first + this.complete, count: 1, gap: {from, to}});
  }

  /** No more will come (here): what is unfinished becomes lines. */
  finish() {
    for (const [stream, one] of this.streams) {
      const text = one.text + one.decoder.decode();
      one.text = "";
      if (text) this.add(stream, `${text}\n`, one);
    }
  }

  /** Put bytes where a gap is, ending at its end. The rest of the gap, if any, stays before them. */
  fillGap(gap, from, bytes) {
    const at = this.blocks.findIndex((block) => block.gap === gap);
    if (at < 0) return;
    // Not the start of the gap is likely not the start of a line: leave the cut one to the next loading.
    const cut = from > gap.from ? bytes.indexOf(10) + 1 : 0;
    from += cut;
    let text = new LogDecoder().decode(bytes.subarray(cut));
    const first = this.first;
    const rest = from > gap.from ? [{...this.blocks[at], gap: {from: gap.from, to: from}}] : [];
    const next = this.blocks[at + 1];
    this.characters += text.length;
    if (next && !next.gap && next.stream === STDOUT) {
      next.text = text + next.text;
      next.look = PLAIN;
      this.blocks.splice(at, 1, ...rest);
    } else {
      if (!text.endsWith("\n")) text += "\n";
      this.blocks.splice(at, 1, ...rest, {stream: STDOUT, text, look: PLAIN});
    }
    this.renumber(first);
  }

  renumber(start) {
    for (const block of this.blocks) {
      block.start = start;
      block.count = block.gap ? 1 : countLines(block.text);
      start += block.count;
    }
    this.memo = null;
    this.version++;
  }

  /** Return the line at a place from 0 among those held: {number, text, look, stream} or {number, gap}. */
  at(place) {
    const number = this.first + place;
    if (place >= this.complete) {
      const open = this.unfinished()[place - this.complete];
      return open && {...open, number, text: lastState(open.text), look: lookAtLastState(open)};
    }
    const block = this.blockOf(number);
    if (block.gap) return {number, gap: block.gap};
    const {offsets} = this.indexOf(block);
    const line = number - block.start;
    const whole = block.text.slice(offsets[line], offsets[line + 1] - 1);
    const look = this.lookAt(block, line, offsets[line], whole);
    return {number, stream: block.stream, text: lastState(whole), look: lookAtLastState({text: whole, look})};
  }

  blockOf(number) {
    let low = 0;
    let high = this.blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.blocks[middle].start <= number) low = middle;
      else high = middle - 1;
    }
    return this.blocks[low];
  }

  indexOf(block) {
    if (this.memo?.block !== block) {
      const offsets = new Uint32Array(block.count + 1);
      for (let line = 1, from = 0; line <= block.count; line++) offsets[line] = from = block.text.indexOf("\n", from) + 1;
      this.memo = {block, offsets, line: -2, look: PLAIN};
    }
    return this.memo;
  }

  // Lines are mostly asked for in order: then the look at the end of the last one is at hand.
  lookAt(block, line, offset, text) {
    const look = this.memo.line === line - 1 ? this.memo.look : carry(block.text.slice(0, offset), block.look);
    [this.memo.line, this.memo.look] = [line, carry(text, look)];
    return look;
  }

  /** Return the numbers of the lines that hold a text, ignoring case, in order; at most maxHits of them. */
  search(needle) {
    return needle ? searchLines(this, needle.toLowerCase()) : [];
  }
}

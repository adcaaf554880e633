// Output is drawn in order with changes of size, and what is only replayed is known as such while it is drawn.
import assert from "node:assert/strict";
import {test} from "node:test";
import {Screen} from "../../static/js/terminal-screen.js";
import {Terminal as Xterm} from "../../static/vendor/xterm.js";

const bytes = (text) => new TextEncoder().encode(text);

/** Does what xterm.js does: it draws a little later, in order, and calls back after each part. */
class Terminal {
  constructor() {
    Object.assign(this, {log: [], waiting: [], screen: null});
  }

  write(part, done) {
    this.waiting.push([part, done]);
  }

  resize(columns, rows) {
    this.log.push(`${columns}x${rows}`);
  }

  reset() {
    this.log.push("reset");
  }

  async draw(many = Infinity) {
    for (; many-- && this.waiting.length; ) {
      const [part, done] = this.waiting.shift();
      this.log.push(`${Buffer.from(part)}${this.screen.isLive ? "!" : ""}`);
      done();
      await null;
    }
  }
}

function start() {
  const terminal = new Terminal();
  const drawn = [];
  const screen = new Screen(terminal, (upto, isIdle) => drawn.push([upto, isIdle]));
  terminal.screen = screen;
  return {terminal, screen, drawn};
}

test("a size is taken between what was printed before and after it", async () => {
  const {terminal, screen, drawn} = start();
  screen.reset(0, 0);
  screen.write(0, bytes("ab"));
  screen.resize(100, 30);
  screen.write(2, bytes("cd"));
  await terminal.draw();
  assert.deepEqual(terminal.log, ["reset", "ab!", "100x30", "cd!"]);
  assert.deepEqual(drawn, [[2, false], [4, true]]);
});

test("what was printed before this page attached is not live; a part that is both is cut", async () => {
  const {terminal, screen} = start();
  screen.reset(10, 16);
  screen.prefix(bytes("modes"));
  screen.write(10, bytes("abc"));
  screen.write(13, bytes("defGHI"));
  await terminal.draw();
  assert.deepEqual(terminal.log, ["reset", "modes", "abc", "def", "GHI!"]);
});

test("modes are set in silence even where nothing is replayed", async () => {
  const {terminal, screen} = start();
  screen.reset(10, 10);
  screen.prefix(bytes("modes"));
  screen.write(10, bytes("new"));
  await terminal.draw();
  assert.deepEqual(terminal.log, ["reset", "modes", "new!"]);
});

test("a new start while something is still to be drawn is not answered for either", async () => {
  const {terminal, screen} = start();
  screen.reset(0, 0);
  screen.write(0, bytes("old"));
  screen.reset(50, 53);
  screen.write(50, bytes("abcD"));
  await terminal.draw();
  assert.deepEqual(terminal.log, ["reset", "old", "reset", "abc", "D!"]);
});

test("bytes that are there already are passed over, missing ones are counted", async () => {
  const {terminal, screen} = start();
  screen.reset(0, 0);
  assert.equal(screen.write(0, bytes("abcd")), 0);
  assert.equal(screen.write(2, bytes("cdef")), 0);
  assert.equal(screen.write(0, bytes("abc")), 0);
  assert.equal(screen.write(9, bytes("x")), 3);
  await terminal.draw();
  assert.deepEqual(terminal.log, ["reset", "abcd!", "ef!", "x!"]);
  assert.equal(screen.received, 10);
});

test("a hidden page, whose timers hardly run, has drawn output when it has taken it", () => {
  const drawn = [];
  const screen = new Screen(new Xterm(), (upto) => drawn.push(upto), () => true);
  screen.reset(0, 0);
  for (const offset of [0, 3, 6]) screen.write(offset, bytes("abc"));
  assert.deepEqual(drawn, [3, 6, 9]);
});

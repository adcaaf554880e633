import assert from "node:assert/strict";
import {test} from "node:test";
import {LogScroll} from "../../static/js/log-scroll.js";

const ROW_PX = 20;
globalThis.getComputedStyle = () => ({lineHeight: `${ROW_PX}px`});

/** A following log of 1,000 rows of which 10 fit. */
function log() {
  const root = new EventTarget();
  Object.assign(root, {scrollTop: 0, clientHeight: 10 * ROW_PX, scrollHeight: 1000 * ROW_PX});
  root.classList = {contains: () => false};
  const spacer = {style: {}};
  const moves = [];
  const scroll = new LogScroll({root, spacer, rows: {}, onMove: () => moves.push(root.scrollTop), onFollow() {}});
  const scrolled = () => root.dispatchEvent(new Event("scroll"));
  return {root, scroll, moves, scrolled};
}

test("following goes to the end and does not take that for a person's scrolling", () => {
  const {root, scroll, moves, scrolled} = log();
  scroll.window(1000, false);
  assert.equal(root.scrollTop, 990 * ROW_PX);
  scrolled();
  assert.equal(scroll.isFollowing, true);
  assert.deepEqual(moves, []);
});

test("a person who scrolls in the same frame as the log is heard", () => {
  const {root, scroll, scrolled} = log();
  scroll.window(1000, false);
  root.scrollTop -= 400;
  scrolled();
  assert.equal(scroll.isFollowing, false);
});

test("a scroll of one's own that came without an event swallows nobody's", () => {
  const {root, scroll, scrolled} = log();
  scroll.window(1000, false);
  scrolled();
  scroll.window(1000, false);
  root.scrollTop -= 400;
  scrolled();
  assert.equal(scroll.isFollowing, false);
  root.scrollTop = 990 * ROW_PX;
  scrolled();
  assert.equal(scroll.isFollowing, true);
});

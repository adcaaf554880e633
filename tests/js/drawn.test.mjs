// The answer to a request can be late: what the socket drew before it must not be lost, nor what was clicked since.
import assert from "node:assert/strict";
import {test} from "node:test";
import {Drawn} from "../../static/js/drawn.js";

const part = (id, drawn, more = {}) => ({id, dataset: {drawn: String(drawn), ...more}});
const live = (id, drawn) => part(id, drawn, {live: ""});
const page = (drawn) => ["run-rows", "run-summary", "run-opened"].map((id) => part(id, drawn));

test("what an answer drew is compared anew when a later frame was drawn before it", () => {
  const drawn = new Drawn();
  const [rows] = page(5);
  drawn.take([rows, live("run-summary", 6), part("run-opened", 5)]);
  const late = part("run-opened", 5);
  assert.equal(drawn.take([rows, live("run-summary", 6), late]).isDoubtful, true);
});

test("what is as new as the frames is not asked for again, and nothing is asked twice", () => {
  const drawn = new Drawn();
  const [rows, , opened] = page(5);
  assert.equal(drawn.take([rows, opened]).isDoubtful, true);
  assert.equal(drawn.take([rows, opened]).isDoubtful, false);
  assert.equal(drawn.take([rows, live("run-summary", 6), opened]).isDoubtful, false);
  assert.equal(drawn.take([rows, live("run-summary", 6), part("run-opened", 6)]).isDoubtful, false);
  assert.equal(drawn.take([live("run-rows", 7), live("run-summary", 7), live("run-opened", 7)]).isDoubtful, false);
});

test("rows of an answer are always compared: others can belong to the same revision", () => {
  const drawn = new Drawn();
  drawn.take([live("run-rows", 6), live("run-summary", 6)]);
  assert.equal(drawn.take([part("run-rows", 6), live("run-summary", 6)]).isDoubtful, true);
});

test("what is open is said by an answer that has just come, by no frame and by nothing that was there before", () => {
  const drawn = new Drawn();
  const [rows, summary, opened] = page(5);
  assert.equal(drawn.take([rows, summary, opened]).opened, opened);
  assert.equal(drawn.take([rows, summary, opened]).opened, null);
  assert.equal(drawn.take([rows, summary, live("run-opened", 6)]).opened, null);
});

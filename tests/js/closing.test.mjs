// What the page says when the socket closes fits what the server closes it with, and what htmx then does.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {test} from "node:test";
import {RECONNECTS, RELOAD, SIGN_IN, closing} from "../../static/js/closing.js";

const root = new URL("../../", import.meta.url);
const base = readFileSync(new URL("templates/base.html", root), "utf8");
const consumer = readFileSync(new URL("console/runs/consumers.py", root), "utf8");
const {reconnectCodes} = JSON.parse(/name="htmx-config" content='([^']+)'/.exec(base)[1]).ws;
const [, names, numbers] = /^(SIGNED_OUT[A-Z_, ]+) = ([\d, ]+)$/m.exec(consumer);
const CODES = Object.fromEntries(names.split(", ").map((name, at) => [name, Number(numbers.split(", ")[at])]));

test("the end of the session or of a right is said, and is the end", () => {
  assert.deepEqual(closing(CODES.SIGNED_OUT, reconnectCodes), {text: "You are signed out.", remedy: SIGN_IN});
  assert.deepEqual(closing(CODES.NOT_ALLOWED, reconnectCodes), {
    text: "You may no longer see this run.",
    remedy: RELOAD,
  });
});

test("a page that was too slow, and a console that restarts, connect again", () => {
  for (const code of [CODES.TOO_SLOW, 1006, 1011, 1012]) {
    assert.equal(closing(code, reconnectCodes).remedy, RECONNECTS, code);
  }
});

test("every code of the server has an answer of its own", () => {
  const unknown = closing(4999, reconnectCodes);
  assert.equal(unknown.remedy, RELOAD);
  assert.deepEqual(Object.keys(CODES).sort(), ["NOT_ALLOWED", "SIGNED_OUT", "TOO_MANY", "TOO_MUCH", "TOO_SLOW"]);
  for (const code of Object.values(CODES)) assert.notEqual(closing(code, reconnectCodes).text, unknown.text);
});

test("reconnecting is promised only where htmx does it", () => {
  for (const code of [1002, 1003, 1007, 1008, 1009, 4400]) {
    assert.doesNotMatch(closing(code, reconnectCodes).text, /reconnecting/);
  }
});

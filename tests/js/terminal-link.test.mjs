// When the page of a terminal connects again, and what it says when that is no use.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {test} from "node:test";
import {Pulse, RELOAD, SIGN_IN, delayBefore, finalClose} from "../../static/js/terminal-link.js";
import {plainTitle} from "../../static/js/terminal-notices.js";
import {plainPaste} from "../../static/js/terminal-paste.js";

test("a restart, a loss and a page that was too slow connect again; the end of a right does not", () => {
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4408]) assert.equal(finalClose(code), null, code);
  assert.equal(finalClose(4401).remedy, SIGN_IN);
  assert.equal(finalClose(4403).remedy, null);
  assert.equal(finalClose(4404).remedy, null);
  assert.equal(finalClose(4429).remedy, RELOAD);
  assert.equal(finalClose(4430).remedy, RELOAD);
});

test("every code of the documents is known here", () => {
  const page = readFileSync(new URL("../../docs/reference/terminal-protocol.md", import.meta.url), "utf8");
  const codes = [...page.matchAll(/^\| (44\d\d) \|/gm)].map(([, code]) => Number(code));
  assert.ok(codes.length > 3);
  for (const code of codes) assert.ok(code === 4408 || finalClose(code), code);
});

test("attempts become rarer, up to ten seconds, and differ from page to page", () => {
  assert.deepEqual([0, 1, 2, 9].map((attempt) => delayBefore(attempt, () => 1)), [500, 1000, 2000, 10_000]);
  assert.equal(delayBefore(0, () => 0), 250);
});

test("a title is short, harmless text", () => {
  assert.equal(plainTitle("root@web-01: ~"), "root@web-01: ~");
  assert.equal(plainTitle("a\u202egnp.exe\u0007\u200b\u2028b\n"), "agnp.exeb");
  assert.equal(plainTitle("x".repeat(5000)).length, 80);
});

test("a paste cannot end its own brackets, nor type control keys", () => {
  assert.equal(plainPaste("a\x1b[201~\rrm -rf ~\x03\x9b201~b\x7f"), "a[201~\rrm -rf ~201~b");
  assert.equal(plainPaste("tab\tline\r\nend\n✓ 漢字 😀"), "tab\tline\r\nend\n✓ 漢字 😀");
});

test("a connection on which nothing comes is asked, and given up when it does not answer", () => {
  let now = 0;
  const pulse = new Pulse(() => now);
  const looks = (seconds) => Array.from({length: seconds / 5}, () => ((now += 5000), pulse.look()));
  assert.deepEqual(looks(25), [null, null, "ask", null, "gone"]);
  pulse.heard();
  assert.deepEqual(looks(20), [null, null, "ask", null]);
  pulse.heard();
  assert.deepEqual(looks(10), [null, null]);
  pulse.heard();
  assert.deepEqual(looks(10), [null, null]);
});

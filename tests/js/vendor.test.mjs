// The committed browser libraries are the ones that were built, in the versions that were chosen.
import assert from "node:assert/strict";
import {createHash} from "node:crypto";
import {readFileSync} from "node:fs";
import {test} from "node:test";

const root = new URL("../../", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");

test("every file has its checksum", () => {
  const sums = read("static/vendor/SHA256SUMS").trim().split("\n");
  assert.equal(sums.length, 5);
  for (const [sum, name] of sums.map((line) => line.split(/\s+/))) {
    assert.equal(createHash("sha256").update(read(`static/vendor/${name}`)).digest("hex"), sum, name);
  }
});

test("htmx is the pinned version, with its socket extension in the same file", () => {
  const {devDependencies} = JSON.parse(read("tools/vendor/package.json"));
  const htmx = read("static/vendor/htmx-ws.js");
  assert.ok(htmx.includes(`"${devDependencies["htmx.org"]}"`));
  assert.ok(htmx.includes("htmx:ws:before:message:incoming"));
});

test("xterm.js writes no style attribute, and has no way to the clipboard or to links", () => {
  const xterm = read("static/vendor/xterm.js");
  assert.ok(!xterm.includes('setAttribute("style"'));
  assert.ok(!/\bClipboardAddon\b|\bWebLinksAddon\b|navigator\.clipboard/.test(xterm));
});

test("versions are exact and the lock file names no registry", () => {
  const {devDependencies} = JSON.parse(read("tools/vendor/package.json"));
  for (const version of Object.values(devDependencies)) assert.match(version, /^\d+\.\d+\.\d+$/);
  assert.ok(!read("tools/vendor/package-lock.json").includes('"resolved"'));
});

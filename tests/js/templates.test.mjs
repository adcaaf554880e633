// What a strict Content-Security-Policy forbids is not in the templates, and every icon used exists.
import assert from "node:assert/strict";
import {readFileSync, readdirSync} from "node:fs";
import {test} from "node:test";

const root = new URL("../../", import.meta.url);
const templates = readdirSync(new URL("templates", root), {recursive: true})
  .filter((name) => name.endsWith(".html"))
  .map((name) => [name, readFileSync(new URL(`templates/${name}`, root), "utf8")]);

const FORBIDDEN = {
  "hx-on": /\bhx-on[:=]/,
  "a js: value": /["']\s*(?:js|javascript):/,
  "a trigger filter": /hx-trigger="[^"]*\[/,
  "an event attribute": /\son[a-z]+\s*=/,
  "an inline style": /\sstyle=|<style/,
  "an inline script": /<script(?![^>]*\ssrc=)/,
  "an address elsewhere": /(?:src|href)="https?:/,
};

for (const [what, pattern] of Object.entries(FORBIDDEN)) {
  test(`no template has ${what}`, () => {
    assert.deepEqual(templates.filter(([, text]) => pattern.test(text)).map(([name]) => name), []);
  });
}

test("no script makes HTML or code out of text", () => {
  const scripts = readdirSync(new URL("static/js", root)).filter((name) => name.endsWith(".js"));
  const makes = /\b(?:innerHTML|outerHTML|insertAdjacentHTML|srcdoc|eval|Function)\b\s*[=(]|document\.write/;
  const read = (name) => readFileSync(new URL(`static/js/${name}`, root), "utf8");
  assert.ok(scripts.length > 10);
  assert.deepEqual(scripts.filter((name) => makes.test(read(name))), []);
});

test("what draws itself anew is a poll that waits for what is being pressed", () => {
  const parts = templates.flatMap(([name, text]) => [...text.matchAll(/<[^>]*hx-select="[^>]*>/g)].map(([tag]) => [name, tag]));
  const again = parts.filter(([, tag]) => tag.includes('hx-target="this"'));
  assert.ok(again.length > 5);
  assert.deepEqual(again.filter(([, tag]) => !/hx-trigger="every \d+s"/.test(tag)), []);
});

test("every icon is in the sprite", () => {
  const sprite = readFileSync(new URL("static/vendor/icons.svg", root), "utf8");
  const python = readFileSync(new URL("console/templatetags/muster.py", root), "utf8");
  const inTemplates = templates.flatMap(([, text]) => [...text.matchAll(/{% icon "([\w-]+)" %}/g)]);
  const inLooks = [...python.matchAll(/Look\("[^"]+", "([\w-]+)"\)/g)];
  const missing = [...inTemplates, ...inLooks].map(([, name]) => name).filter((name) => !sprite.includes(`id="${name}"`));
  assert.deepEqual([...new Set(missing)], []);
});

test("xterm.js is loaded where there is a terminal, and nowhere else", () => {
  const loading = templates.filter(([, text]) => /vendor\/xterm|js\/terminal|js\/player/.test(text)).map(([name]) => name);
  assert.deepEqual(loading.sort(), ["recordings/_player.html", "sessions/terminal.html"]);
  const main = readFileSync(new URL("static/js/main.js", root), "utf8");
  assert.ok(!/terminal|player|xterm/.test(main));
});

// Every colour people read has enough contrast on every surface it is put on, in both themes (WCAG 1.4.3).
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {test} from "node:test";

const css = readFileSync(new URL("../../static/css/tokens.css", import.meta.url), "utf8");
const tokens = Object.fromEntries(
  [...css.matchAll(/--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)/g)].map(([, name, ...pair]) => [name, pair]),
);
const SURFACES = ["bg", "subtle", "raised", "hover", "selected"];
const TEXT = ["text", "text-2", "accent"];
const STATUSES = [
  "queued", "running", "disconnected", "stopping", "succeeded", "failed", "timed-out", "stopped", "cancelled",
  "unreachable", "skipped", "lost",
];

function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

function check(names, surfaces, least) {
  for (const name of names) {
    for (const surface of surfaces) {
      [0, 1].forEach((theme) => {
        const ratio = contrast(tokens[name][theme], tokens[surface][theme]);
        assert.ok(ratio >= least, `${name} on ${surface}, ${theme ? "dark" : "light"}: ${ratio.toFixed(2)} < ${least}`);
      });
    }
  }
}

test("text and statuses on every surface", () => check([...TEXT, ...STATUSES], SURFACES, 4.5));
test("the colours programs print in, on the log's surfaces", () => {
  check([...Array(16).keys()].map((number) => `ansi-${number}`), ["log-bg", "log-stderr"], 4.5);
});
test("text on what is marked, warned about or wrong", () => {
  check(["text"], ["mark", "mark-current", "warn-surface", "error-surface", "log-bg", "log-stderr"], 4.5);
  check(["failed"], ["error-surface"], 4.5);
  check(["on-accent"], ["accent", "accent-strong"], 4.5);
});
test("edges of inputs", () => check(["edge"], ["bg", "subtle", "raised"], 3));

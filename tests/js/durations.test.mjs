import assert from "node:assert/strict";
import {test} from "node:test";

import {clock, duration} from "../../static/js/durations.js";

// The same as in tests/console/templatetags/test_muster.py: a frame of the server must not change how a time looks.
for (const [seconds, text] of [
  [0, "0 s"], [7, "7 s"], [59, "59 s"], [60, "1 min 00 s"], [184, "3 min 04 s"], [3599, "59 min 59 s"],
  [7800, "2 h 10 min"], [86399, "23 h 59 min"], [97200, "1 d 3 h"],
]) {
  test(`${seconds} seconds are ${text}`, () => assert.equal(duration(seconds), text));
}

test("times in a recording look as on a clock", () => {
  assert.deepEqual([0, 7.9, 60, 3599, 3723.5, 90_000].map(clock), ["0:00", "0:07", "1:00", "59:59", "1:02:03", "25:00:00"]);
});

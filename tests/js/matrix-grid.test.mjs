import assert from "node:assert/strict";
import {test} from "node:test";
import {gridOf, moved, placeAt} from "../../static/js/matrix-grid.js";

test("few cells are large, many are small, and all of them have a place", () => {
  assert.deepEqual(gridOf(60, 440, 300), {columns: 20, rows: 3, cell: 22});
  for (const count of [1, 61, 500, 5000, 50_000]) {
    const {columns, rows, cell} = gridOf(count, 600, 400);
    assert.ok(columns * cell <= 600);
    assert.ok(columns * rows >= count && columns * (rows - 1) < count);
  }
});

test("5,000 fit without scrolling", () => {
  const {rows, cell} = gridOf(5000, 800, 405);
  assert.ok(rows * cell <= 405);
});

test("a point is in one cell or in none", () => {
  const grid = {columns: 10, rows: 2, cell: 10};
  assert.equal(placeAt(grid, 15, 0, 0), 0);
  assert.equal(placeAt(grid, 15, 49, 19), 14);
  assert.equal(placeAt(grid, 15, 50, 19), -1);
  assert.equal(placeAt(grid, 15, 101, 5), -1);
  assert.equal(placeAt(grid, 15, -1, 5), -1);
});

test("arrows stay inside, other keys are not about moving", () => {
  assert.equal(moved("ArrowRight", 3, 15, 10), 4);
  assert.equal(moved("ArrowDown", 3, 15, 10), 13);
  assert.equal(moved("ArrowDown", 7, 15, 10), 7);
  assert.equal(moved("ArrowUp", 3, 15, 10), 3);
  assert.equal(moved("End", 3, 15, 10), 14);
  assert.equal(moved("Home", 3, 15, 10), 0);
  assert.equal(moved("j", 3, 15, 10), null);
});

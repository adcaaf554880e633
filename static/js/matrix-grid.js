// Where the cells of a matrix are. No DOM.

const SIZES = [22, 18, 14, 11, 9, 7];
const MIN_HEIGHT_PX = 120;

/** Return {columns, rows, cell}: the largest cells with which `count` of them fit into a width and, if possible, a height. */
export function gridOf(count, width, height) {
  for (const cell of SIZES) {
    const columns = Math.max(1, Math.floor(width / cell));
    const rows = Math.ceil(count / columns);
    if (rows * cell <= Math.max(height, MIN_HEIGHT_PX) || cell === SIZES.at(-1)) return {columns, rows, cell};
  }
}

/** Return the place of the cell at a point, or -1. */
export function placeAt({columns, cell}, count, x, y) {
  const column = Math.floor(x / cell);
  const place = Math.floor(y / cell) * columns + column;
  return column >= 0 && column < columns && place >= 0 && place < count ? place : -1;
}

/** Return where a key leads from a place, or null when it is not about moving. */
export function moved(key, place, count, columns) {
  const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns};
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (!(key in steps)) return null;
  const next = place + steps[key];
  return next >= 0 && next < count ? next : place;
}

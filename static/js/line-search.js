// Finds text in a log, and counts lines. No DOM.
import {visible} from "./ansi.js";

/** Return the numbers of the lines that hold a lower-case text as it is shown, each once, in order. */
export function searchLines(lines, wanted) {
  const hits = [];
  for (const block of lines.blocks) if (!block.gap) searchBlock(block, wanted, hits, lines.maxHits);
  const end = lines.first + lines.complete;
  lines.unfinished().forEach(({text}, place) => {
    if (hits.length < lines.maxHits && visible(text).toLowerCase().includes(wanted)) hits.push(end + place);
  });
  return hits;
}

function searchBlock(block, wanted, hits, maxHits) {
  const text = visible(block.text).toLowerCase();
  let line = block.start;
  let counted = 0;
  for (let at = text.indexOf(wanted); at >= 0 && hits.length < maxHits; ) {
    for (let end = text.indexOf("\n", counted); end >= 0 && end < at; end = text.indexOf("\n", counted)) {
      line++;
      counted = end + 1;
    }
    hits.push(line);
    const next = text.indexOf("\n", at);
    at = next < 0 ? -1 : text.indexOf(wanted, next + 1);
  }
}

/** Return how many line feeds a text has. */
export function countLines(text) {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

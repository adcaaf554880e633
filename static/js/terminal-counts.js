// Keeps a host from freezing the page: xterm.js obeys "scroll by 2,000,000,000 lines" one line after the other, and a
// browser lays out a letter with a million accents for minutes.
import {Unicode11Addon} from "../vendor/xterm.js";

const COUNTED = {
  L: ["insertLines", "rows"],
  M: ["deleteLines", "rows"],
  S: ["scrollUp", "rows"],
  T: ["scrollDown", "rows"],
  I: ["cursorForwardTab", "cols"],
  Z: ["cursorBackwardTab", "cols"],
  b: ["repeatPrecedingCharacter", "cells"],
};
/** Marks on one letter; no writing has as many. */
export const MARKS = 16;
// What xterm.js is told of a character: whether it joins the one before, its width, and a number of the provider's own.
const JOINS = 1;
const OWN = 3;
// Joins nothing and has no width, like the second half of a wide letter: it is not drawn. Beside a letter it would be.
const UNDRAWN = 0;

/** Let a terminal do nothing more often than there are rows, columns or cells: after that nothing changes any more. */
export function limitCounts(terminal) {
  for (const [final, [method, unit]] of Object.entries(COUNTED)) {
    terminal.parser.registerCsiHandler({final}, ([count]) => {
      const {rows, cols} = terminal;
      const most = {rows, cols, cells: rows * cols}[unit];
      if (!(count > most)) return false;
      // No part of the public interface, which has no way to change what a sequence says.
      terminal._core._inputHandler[method]({params: [most]});
      return true;
    });
  }
}

/** Have letters as wide as Unicode 11 says, with few marks on each: what is more is not drawn. */
export function limitMarks(terminal) {
  const register = (provider) => {
    const charProperties = (letter, before) => {
      const properties = provider.charProperties(letter, before);
      if (!(properties & JOINS)) return properties;
      const marks = (before >> OWN) + 1;
      return marks > MARKS ? UNDRAWN : properties | (marks << OWN);
    };
    const wcwidth = (letter) => provider.wcwidth(letter);
    terminal.unicode.register({version: "limited", wcwidth, charProperties});
  };
  new Unicode11Addon().activate({unicode: {register}});
  terminal.unicode.activeVersion = "limited";
}

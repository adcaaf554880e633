"""Owns where in a Shell script placeholders stand: bare, between quotes, in a here-document, in arithmetic, …

It reads a script as sh, dash, bash, ksh and zsh agree to read it, just far enough to know what is quoted. Where they
would not agree, or where a shell would read a value as code, a placeholder is refused rather than guessed about. A
wrong guess could split a value into words; it could not make code of it, for what the text gets is a variable.

Source: POSIX.1-2024, Shell Command Language, 2.2, 2.3, 2.6, 2.7.4.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from console.saved_commands.places import Misplaced, Place, Slots
from console.saved_commands.shell_words import Words, reads_code

MOST_NESTED = 60
_PLAIN = re.compile(r"[A-Za-z0-9_./:,+%@^~*?!\[\]-]+")
_HERE = re.compile(r"<<(-?)[ \t]*")
_QUOTED = "stands in a here-document whose word is quoted, where nothing is put in: take the quotes off its word."
_IN_BRACES = "stands inside ${…}: put it into a variable of the script first."
_IN_BACKTICKS = "stands between backticks: write $(…) instead."
_NO_END = "cannot be the word that ends a here-document."
_NO_NUMBER = "stands in arithmetic, where the shell would evaluate its value again: declare it as a number."


def find_places(slots: Slots) -> None:
    """Find the place of every placeholder. Raises: Misplaced for one without, or where quotes do not end."""
    scan = _Scan(slots, 0, len(slots.text))
    scan.code("")


@dataclass(frozen=True)
class _Document:
    """A here-document that begins after this line."""

    end: str
    is_quoted: bool
    strips_tabs: bool


class _Scan:
    """Reads a part of the text from ``at``; each method leaves it behind what it has read."""

    def __init__(self, slots: Slots, at: int, stop: int, depth: int = 0) -> None:
        self._slots, self._text = slots, slots.text
        self._at, self._stop, self._depth = at, stop, depth
        self._documents: list[_Document] = []
        self._arithmetic: dict[int, bool] = {}
        # What makes everything behind it uncertain.
        self._doubt = ""

    def code(self, closer: str) -> None:
        """Read commands up to the closer, or to the end without one."""
        words, cases, opened = Words(self._slots), 0, self._at
        while self._more():
            letter = self._text[self._at]
            if self._placeholder(Place.BARE, words):
                continue
            if letter in ";&|\n)":
                cases += words.end_case_word()
            if letter == closer == ")" and not cases:
                words.end()
                self._at += 1
                return
            if letter == "#" and words.is_at_start:
                self._comment()
            elif letter in " \t":
                words.blank()
                self._at += 1
            elif letter in "<>" or self._text.startswith("&>", self._at):
                self._redirection(words)
            elif letter in ";&|\n)":
                words.end()
                self._at += 1
                if letter == "\n":
                    self._read_documents()
            elif self._text.startswith("((", self._at) and self._is_arithmetic(self._at):
                words.end()
                self._inside(self._calculation)
            elif letter == "(":
                words.end()
                self._at += 1
                self._inside(lambda: self.code(")"))
            else:
                self._part(words)
            cases += words.take_case_word()
        words.end()
        if closer:
            self._never_ends(opened - 1)

    def _redirection(self, words: Words) -> None:
        words.blank()
        if self._text.startswith("<<<", self._at):
            self._at += 3
        elif opening := _HERE.match(self._text, self._at):
            self._at = opening.end()
            self._documents.append(self._document_word(bool(opening[1])))
        else:
            # >& and <& are one sign; a & alone would end the command.
            self._at += 2 if self._text[self._at + 1 : self._at + 2] in ("&", ">") else 1

    def _part(self, words: Words) -> None:
        """Read a part of a word."""
        if self._text.startswith("\\\n", self._at):
            # The next line goes on with this one.
            self._at += 2
            return
        start, letter = self._at, self._text[self._at]
        if letter == "'":
            self._single(words)
        elif letter == '"':
            self._double(words)
        elif letter == "\\":
            self._at += 2
        elif letter == "`":
            self._backticks()
        elif letter == "$":
            self._dollar(words)
        elif plain := _PLAIN.match(self._text, self._at, self._stop):
            self._at = plain.end()
        else:
            self._at += 1
        words.add(self._text[start : self._at])

    # ------------------------------------------------------------------ quotes

    def _single(self, words: Words) -> None:
        opened = self._at
        self._at += 1
        while self._more():
            if self._placeholder(Place.SINGLE, words):
                continue
            self._at += 1
            if self._text[self._at - 1] == "'":
                return
        self._never_ends(opened)

    def _double(self, words: Words) -> None:
        opened = self._at
        self._at += 1
        while self._more():
            if self._placeholder(Place.DOUBLE, words):
                continue
            if self._text[self._at] == '"':
                self._at += 1
                return
            self._expanding(words)
        self._never_ends(opened)

    def _expanding(self, words: Words) -> None:
        """Read one thing of where variables are expanded: between double quotes, in a here-document."""
        letter = self._text[self._at]
        if letter == "\\":
            self._at += 2
        elif letter == "`":
            self._backticks()
        elif letter == "$":
            self._dollar(words, is_quoted=True)
        else:
            self._at += 1

    def _dollar(self, words: Words, *, is_quoted: bool = False) -> None:
        rest = self._text[self._at + 1 : self._at + 3]
        if self._at + 1 in self._slots.ends:
            self._slots.refuse(self._at + 1, "stands right behind a $: leave the $ out.")
        if rest == "((" and self._is_arithmetic(self._at + 1):
            self._at += 1
            self._inside(self._calculation)
        elif rest.startswith("("):
            self._at += 2
            self._inside(lambda: self.code(")"))
        elif rest.startswith("{"):
            self._inside(lambda: self._braces(is_quoted=is_quoted))
        elif rest.startswith("["):
            self._at += 2
            self._until("]", "stands inside $[…]: write $((…)) instead.")
        elif rest.startswith("'") and not is_quoted:
            self._ansi()
        else:
            # $$, $#, $name, a $ alone.
            self._at += 2 if rest[:1] and rest[0] in "#$!?*@-" else 1

    def _ansi(self) -> None:
        """Read $'…', which dash takes for a $ and a quoted word."""
        self._at += 2
        while self._more():
            self._refuse_here("stands inside $'…', which shells do not read alike: use other quotes.")
            letter = self._text[self._at]
            if letter == "\\" and self._text[self._at + 1 : self._at + 2] == "'":
                self._doubt = "stands behind a $'…\\'…', which shells do not read alike: use other quotes there."
            self._at += 2 if letter == "\\" else 1
            if letter == "'":
                return

    def _braces(self, *, is_quoted: bool) -> None:
        opened = self._at
        self._at += 2
        while self._more():
            self._refuse_here(_IN_BRACES)
            letter = self._text[self._at]
            start = self._at
            if letter == "}":
                self._at += 1
                return
            if letter == "'" and is_quoted:
                self._doubt = 'stands behind a \' inside "${…}", which shells do not read alike.'
                self._at += 1
            elif letter in "'\"`$\\":
                self._part(_Nowhere(self._slots))
                for slot in self._slots_within(start, self._at):
                    self._slots.refuse(slot, _IN_BRACES)
            else:
                self._at += 1
        self._never_ends(opened)

    def _backticks(self) -> None:
        opened = self._at
        self._at += 1
        while self._more():
            self._refuse_here(_IN_BACKTICKS)
            letter = self._text[self._at]
            self._at += 2 if letter == "\\" else 1
            if letter == "`":
                return
        self._never_ends(opened)

    def _comment(self) -> None:
        while self._more() and self._text[self._at] != "\n":
            if self._at in self._slots.ends:
                self._slots.places[self._at] = Place.COMMENT
            self._at += 1

    # ------------------------------------------------------------------ arithmetic

    def _is_arithmetic(self, at: int) -> bool:
        """Say whether the (( here ends in )): else it is two subshells, one in the other."""
        if at not in self._arithmetic:
            self._deepen()
            trial = _Scan(Slots(self._text, {}, {}), at, self._stop, self._depth)
            trial._arithmetic = self._arithmetic
            try:
                self._arithmetic[at] = trial._balance()
            except Misplaced:
                self._arithmetic[at] = False
            self._depth -= 1
        return self._arithmetic[at]

    def _calculation(self) -> None:
        opened = self._at
        if not self._balance():
            self._never_ends(opened)

    def _balance(self) -> bool:
        """Read from (( to its )); say whether these two stand together."""
        depth = 0
        words = Words(self._slots)
        while self._more():
            if self._at in self._slots.ends and self._at not in self._slots.numbers:
                self._slots.refuse(self._at, _NO_NUMBER)
            if self._placeholder(Place.ARITHMETIC, words):
                continue
            letter = self._text[self._at]
            if letter == "(":
                depth += 1
            elif letter == ")":
                depth -= 1
                if depth == 1:
                    self._at += 1
                    is_double = self._text[self._at : self._at + 1] == ")"
                    self._at += is_double
                    return is_double
            if letter in "'\"`$\\":
                start = self._at
                self._part(_Nowhere(self._slots))
                for slot in self._slots_within(start, self._at):
                    if letter != "$" and slot not in self._slots.numbers:
                        self._slots.refuse(slot, _NO_NUMBER)
            else:
                self._at += 1
        return False

    # ------------------------------------------------------------------ here-documents

    def _document_word(self, strips_tabs: bool) -> _Document:
        start, is_quoted, word = self._at, False, []
        while self._more() and (letter := self._text[self._at]) not in " \t\n;&|<>()":
            self._refuse_here(_NO_END)
            if letter in "'\"":
                is_quoted = True
                end = self._text.find(letter, self._at + 1, self._stop)
                if end < 0:
                    self._never_ends(self._at)
                for slot in self._slots_within(self._at, end):
                    self._slots.refuse(slot, _NO_END)
                word.append(self._text[self._at + 1 : end])
                self._at = end + 1
            else:
                is_quoted |= letter == "\\"
                self._at += letter == "\\"
                self._refuse_here(_NO_END)
                word.append(self._text[self._at : self._at + 1])
                self._at += 1
        if any(mark in self._text[start : self._at] for mark in "$`"):
            self._doubt = "stands behind a here-document whose word shells do not read alike."
        return _Document("".join(word), is_quoted, strips_tabs)

    def _read_documents(self) -> None:
        """Read the here-documents of the line that has just ended."""
        line_start = self._text.rfind("\n", 0, self._at - 1) + 1
        is_code = bool(self._documents) and reads_code(self._text[line_start : self._at])
        while self._documents:
            document = self._documents.pop(0)
            start = self._at
            end = self._end_of(document)
            for slot in self._slots_within(start, end):
                if document.is_quoted:
                    self._slots.refuse(slot, _QUOTED)
                if is_code:
                    self._slots.refuse(slot, "stands in a script for another program, as code: use the variable there.")
            body = _Scan(self._slots, start, end, self._depth + 1)
            body._doubt = self._doubt
            words = _Nowhere(self._slots)
            while not document.is_quoted and body._more():
                if not body._placeholder(Place.DOCUMENT, words):
                    body._expanding(words)
            self._doubt = body._doubt

    def _end_of(self, document: _Document) -> int:
        """Move behind the line that ends it, and return where that line starts."""
        while self._at < self._stop:
            start = self._at
            line_end = self._text.find("\n", start, self._stop)
            line_end = self._stop if line_end < 0 else line_end
            line = self._text[start:line_end]
            self._at = min(line_end + 1, self._stop)
            if (line.lstrip("\t") if document.strips_tabs else line) == document.end:
                return start
        return self._stop

    def _slots_within(self, start: int, end: int) -> Iterator[int]:
        return (slot for slot in self._slots.ends if start <= slot < end)

    # ------------------------------------------------------------------ steps

    def _more(self) -> bool:
        return self._at < self._stop

    def _placeholder(self, place: Place, words: Words) -> bool:
        """Note and pass a placeholder, if one starts here."""
        if self._at not in self._slots.ends:
            return False
        if self._doubt:
            self._slots.refuse(self._at, self._doubt)
        words.hold(self._at)
        self._slots.places[self._at] = place
        self._at = self._slots.ends[self._at]
        return True

    def _refuse_here(self, why: str) -> None:
        if self._at in self._slots.ends:
            self._slots.refuse(self._at, why)

    def _until(self, end: str, why: str) -> None:
        while self._more() and self._text[self._at] != end:
            self._refuse_here(why)
            self._at += 1
        self._at += 1

    def _inside(self, read: Callable[[], None]) -> None:
        self._deepen()
        read()
        self._depth -= 1

    def _deepen(self) -> None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise Misplaced(f"Line {self._slots.line(self._at)}: too much is nested here to find placeholders in.")

    def _never_ends(self, opened: int) -> NoReturn:
        mark = self._text[opened : opened + 2] if self._text[opened] == "$" else self._text[opened]
        raise Misplaced(f"Line {self._slots.line(opened)}: what {mark} opens here never ends.")


class _Nowhere(Words):
    """Where no command is that could be judged."""

    def hold(self, start: int) -> None:
        """Remember nothing."""

    def add(self, text: str) -> None:
        """Remember nothing."""

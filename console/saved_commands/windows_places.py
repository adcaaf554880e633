"""Owns where in a PowerShell or Bat script placeholders stand.

Source: about_Quoting_Rules and about_Parsing of PowerShell: what is a quote includes the curly ones.
"""

import re

from console.saved_commands.places import Misplaced, Place, Slots

_SINGLES = "'\u2018\u2019\u201a\u201b"
_DOUBLES = '"\u201c\u201d\u201e'
_MOST_NESTED = 60
_HERE = re.compile(rf"@([{_SINGLES}{_DOUBLES}])[ \t]*\n")
_READS_CODE = re.compile(
    r"(?i)(?<![\w-])(?:iex|invoke-expression|(?:powershell|pwsh)(?:\.exe)?|-c|-command|--%)(?![\w-])"
    r"|\[(?:system\.management\.automation\.)?scriptblock\]|invokescript|add-type"
)
_IN_SINGLE = "stands in single quotes, where PowerShell puts nothing in: use double quotes."
_READ_AGAIN = "stands on a line that PowerShell reads as code once more: use $env: with the variable's name there."
_PART_OF_WORD = "is a part of a word: put the whole word between double quotes."
# What a value alone may stand between.
_BEFORE = " \t\n=(,[{;|"
_AFTER = " \t\n),;]}|."


def find_powershell_places(slots: Slots) -> None:
    """Find the place of every placeholder. Raises: Misplaced."""
    for start in slots.ends:
        line_start = slots.text.rfind("\n", 0, start) + 1
        line_end = slots.text.find("\n", start)
        if _READS_CODE.search(slots.text[line_start : line_end if line_end >= 0 else None]):
            slots.refuse(start, _READ_AGAIN)
    _PowerShell(slots).code("")


def find_bat_places(slots: Slots) -> None:
    """Find the place of every placeholder. Raises: Misplaced."""
    for start, end in slots.ends.items():
        if "%" in (slots.text[start - 1 : start], slots.text[end : end + 1]):
            slots.refuse(start, "stands beside a %: leave the % out.")
        slots.places[start] = Place.BARE


class _PowerShell:
    """Reads a script; each method leaves ``_at`` behind what it has read."""

    def __init__(self, slots: Slots) -> None:
        self._slots, self._text = slots, slots.text
        self._at = self._depth = 0

    def code(self, closer: str) -> None:
        opened = self._at
        while self._more():
            letter = self._text[self._at]
            if self._at in self._slots.ends:
                self._bare()
            elif letter == closer:
                self._at += 1
                return
            elif letter == "#" and (self._at == 0 or self._text[self._at - 1] in " \t\n;(){}|,&="):
                self._comment("\n")
            elif self._text.startswith("<#", self._at):
                self._comment("#>")
            elif here := _HERE.match(self._text, self._at):
                self._here_string(here[1])
            elif letter in _SINGLES:
                self._single()
            elif letter in _DOUBLES:
                self._double()
            elif letter == "`":
                self._escape()
            elif self._text.startswith("${", self._at):
                self._name()
            elif letter == "(":
                self._inside()
            else:
                self._at += 1
        if closer:
            self._never_ends(opened - 1)

    def _bare(self) -> None:
        start, end = self._at, self._slots.ends[self._at]
        before, after = self._text[start - 1 : start], self._text[end : end + 1]
        word = re.split(r"[\s;|(){},]", self._text[max(0, start - 200) : start])[-1]
        if before not in _BEFORE or after not in _AFTER or word.startswith("-"):
            self._slots.refuse(start, _PART_OF_WORD)
        self._place(Place.BARE)

    def _place(self, place: Place) -> None:
        if self._text[self._at - 1 : self._at] in ("`", "$") and self._at:
            self._slots.refuse(self._at, "stands right behind a ` or $: leave that out.")
        self._slots.places[self._at] = place
        self._at = self._slots.ends[self._at]

    def _double(self) -> None:
        opened = self._at
        self._at += 1
        while self._more():
            if self._expanding():
                continue
            if self._text[self._at] in _DOUBLES:
                self._at += 1
                if self._text[self._at : self._at + 1] not in tuple(_DOUBLES):
                    return
            self._at += 1
        self._never_ends(opened)

    def _expanding(self) -> bool:
        """Read what means something between double quotes, if something does here."""
        if self._at in self._slots.ends:
            self._place(Place.DOUBLE)
        elif self._text[self._at] == "`":
            self._escape()
        elif self._text.startswith("$(", self._at):
            self._at += 1
            self._inside()
        elif self._text.startswith("${", self._at):
            self._name()
        else:
            return False
        return True

    def _single(self) -> None:
        opened = self._at
        self._at += 1
        while self._more():
            if self._at in self._slots.ends:
                self._slots.refuse(self._at, _IN_SINGLE)
            self._at += 1
            if self._text[self._at - 1] in _SINGLES:
                if self._text[self._at : self._at + 1] not in tuple(_SINGLES):
                    return
                self._at += 1
        self._never_ends(opened)

    def _here_string(self, quote: str) -> None:
        opened = self._at
        self._at = self._text.index("\n", self._at)
        quotes = _SINGLES if quote in _SINGLES else _DOUBLES
        while self._more():
            if self._text[self._at] == "\n" and re.match(rf"\n[{quotes}]@", self._text[self._at : self._at + 3]):
                self._at += 3
                return
            if quotes == _DOUBLES and self._expanding():
                continue
            if self._at in self._slots.ends:
                self._slots.refuse(self._at, _IN_SINGLE)
            self._at += 1
        self._never_ends(opened)

    def _comment(self, end: str) -> None:
        stop = self._text.find(end, self._at)
        stop = len(self._text) if stop < 0 else stop
        for start in self._slots.ends:
            if self._at <= start < stop:
                self._slots.places[start] = Place.COMMENT
        self._at = stop + (len(end) if end != "\n" else 0)

    def _name(self) -> None:
        """Read ${…}."""
        stop = self._text.find("}", self._at)
        if stop < 0:
            self._never_ends(self._at)
        for start in self._slots.ends:
            if self._at <= start <= stop:
                self._slots.refuse(start, "stands inside ${…}.")
        self._at = stop + 1

    def _escape(self) -> None:
        if self._at + 1 in self._slots.ends:
            self._slots.refuse(self._at + 1, "stands right behind a `: leave that out.")
        self._at += 2

    def _inside(self) -> None:
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise Misplaced(f"Line {self._slots.line(self._at)}: too much is nested here to find placeholders in.")
        self._at += 1
        self.code(")")
        self._depth -= 1

    def _more(self) -> bool:
        return self._at < len(self._text)

    def _never_ends(self, opened: int) -> None:
        mark = self._text[opened]
        raise Misplaced(f"Line {self._slots.line(opened)}: what {mark} opens here never ends.")

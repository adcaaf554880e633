"""Reads the text of an OpenSSH client configuration: which hosts it names, and how each is reached.

Only text is read: no file it names, no key, no program. ``Match`` and ``Include`` are told and left out.
Source: ssh_config(5); readconf.c of OpenSSH 9.2 for quotes, comments and which value wins.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field

# What of a host becomes an instance; the first value given wins.
_READ = ("hostname", "user", "port", "proxyjump", "proxycommand")
_NAMED = ("identityfile", "certificatefile")
_KEYWORD = re.compile(r'\s*(?:"([^"]*)"|([^\s="]+))(?:\s*=\s*|\s+|$)(.*)', re.DOTALL)


@dataclass(frozen=True)
class Remark:
    """Something a person should know about a line."""

    number: int
    text: str


@dataclass(frozen=True)
class Setting:
    """One line: a keyword in lower case and its words."""

    number: int
    keyword: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """The settings below one ``Host`` line, or above the first one (pattern ``*``)."""

    number: int
    patterns: tuple[str, ...]
    settings: list[Setting] = field(default_factory=list)

    def matches(self, host: str) -> bool:
        """Say whether the block is for a host: one pattern matches, and none with ``!`` does."""
        wanted = [pattern for pattern in self.patterns if not pattern.startswith("!")]
        unwanted = [pattern[1:] for pattern in self.patterns if pattern.startswith("!")]
        return any(_matches(host, one) for one in wanted) and not any(_matches(host, one) for one in unwanted)


@dataclass(frozen=True)
class Way:
    """How ``ssh NAME`` would connect; ``user`` and ``port`` are empty where nothing says.

    Shape: ``jumps`` are words as in ProxyJump, ``[user@]host[:port]``, the first one dialled first.
    """

    host: str
    user: str = ""
    port: str = ""
    jumps: tuple[str, ...] = ()
    has_command: bool = False
    key_files: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """A configuration that was read."""

    blocks: list[Block]
    remarks: list[Remark]

    def names(self) -> dict[str, int]:
        """Return the hosts that are written out, without wildcards, and the line of each."""
        found: dict[str, int] = {}
        for block in self.blocks:
            for pattern in block.patterns:
                if not pattern.startswith("!") and not set(pattern) & set("*?") and block.matches(pattern):
                    found.setdefault(pattern, block.number)
        return found

    def way_to(self, host: str) -> Way:
        """Return how a host is reached, as ssh puts it together from all blocks that match."""
        first: dict[str, tuple[str, ...]] = {}
        others: defaultdict[str, list[str]] = defaultdict(list)
        for setting in (one for block in self.blocks if block.matches(host) for one in block.settings):
            if setting.keyword in _READ:
                _take(first, setting)
            else:
                others[setting.keyword].append(" ".join(setting.words))
        name = first.get("hostname", (host,))[0]
        jumps = "".join(first.get("proxyjump", ()))
        return Way(
            host=re.sub("%[%h]", lambda match: "%" if match[0] == "%%" else host, name),
            user=first.get("user", ("",))[0],
            port=first.get("port", ("",))[0],
            jumps=tuple(jumps.split(",")) if jumps and jumps.lower() != "none" else (),
            has_command=first.get("proxycommand", ("none",))[0].lower() != "none",
            key_files=tuple(file for keyword in _NAMED for file in others.pop(keyword, [])),
            ignored=tuple(sorted(others)),
        )


def read(text: str) -> Config:
    """Read a configuration. Never raises: a line that makes no sense becomes a remark."""
    blocks, remarks = [Block(0, ("*",))], list[Remark]()
    is_skipped = False
    for number, raw in enumerate(text.splitlines(), 1):
        try:
            setting = _setting(number, raw)
        except ValueError as error:
            remarks.append(Remark(number, str(error)))
            continue
        if setting is None:
            continue
        if setting.keyword == "host":
            is_skipped = False
            blocks.append(Block(number, setting.words))
        elif setting.keyword == "match":
            is_skipped = True
            remarks.append(Remark(number, "Match is not read: what follows, up to the next Host, is left out."))
        elif setting.keyword == "include":
            remarks.append(Remark(number, f"Include is not read: import {' '.join(setting.words)[:200]} by itself."))
        elif not is_skipped:
            blocks[-1].settings.append(setting)
    return Config(blocks, remarks)


def _take(first: dict[str, tuple[str, ...]], setting: Setting) -> None:
    # Of ProxyJump and ProxyCommand, whichever comes first wins.
    other = {"proxyjump": "proxycommand", "proxycommand": "proxyjump"}.get(setting.keyword)
    if other not in first:
        first.setdefault(setting.keyword, setting.words)


def _setting(number: int, raw: str) -> Setting | None:
    line = raw.strip()
    if not line or line.startswith("#"):
        return None
    match = _KEYWORD.fullmatch(line)
    if match is None:
        raise ValueError("This is not a keyword with a value.")
    keyword = (match[1] or match[2] or "").lower()
    words = tuple(_words(match[3]))
    if not words or not words[0]:
        raise ValueError(f"{keyword[:40]} has no value.")
    return Setting(number, keyword, words)


def _words(text: str) -> list[str]:
    """Split as ssh does: blanks, quotes of both kinds, backslashes before those, and ``#`` begins a comment."""
    words: list[str] = []
    word: str | None = None
    quote, at = "", 0
    while at < len(text):
        char, after = text[at], text[at + 1 : at + 2]
        at += 1
        if word is None and not quote and char == "#":
            break
        if char == "\\" and after and (after in "'\"\\" or (not quote and after == " ")):
            word = (word or "") + after
            at += 1
        elif not quote and char in " \t":
            if word is not None:
                words.append(word)
            word = None
        elif not quote and char in "'\"":
            quote, word = char, word or ""
        elif char == quote:
            quote = ""
        else:
            word = (word or "") + char
    if quote:
        raise ValueError("A quote is not closed.")
    return words if word is None else [*words, word]


def _matches(host: str, pattern: str) -> bool:
    expression = "".join({"*": ".*", "?": "."}.get(char) or re.escape(char) for char in pattern)
    return re.fullmatch(expression, host, re.DOTALL) is not None

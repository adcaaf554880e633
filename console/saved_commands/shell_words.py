"""Owns the words of one command of a Shell script, and which of them a shell or program reads as code."""

import re

from console.saved_commands.places import Slots, variable_of

_SHELLS = r"sh|bash|dash|ash|ksh|mksh|zsh|su"
_SHELL = re.compile(_SHELLS)
_LANGUAGE = re.compile(r"python[0-9.]*|perl|ruby|node|php")
_SHELL_CODE = re.compile(r"-[A-Za-z]*c")
_LANGUAGE_CODE = re.compile(r"-[A-Za-z]*[cerE]")
# A line on which what comes is read as code: bash <<END, … | sh, ssh host <<END, python3 - <<END.
_READS = re.compile(rf"(?<![\w.-])(?:{_SHELLS}|ssh|eval|source|{_LANGUAGE.pattern})(?![\w./-])")
_KEYWORDS = frozenset({"then", "do", "else", "elif", "if", "while", "until", "!", "{", "time", "case", "in", "for"})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)
_COMPARISONS = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-v", "-R"})
_SUBSCRIPT = re.compile(r"(?:[A-Za-z_]\w*)?\[[^\]]*")
_DECLARES = frozenset({"declare", "typeset", "local", "readonly", "export", "integer"})
_NAMES = frozenset({"unset", "read", "let", "integer", "mapfile", "readarray", "getopts"})
_EVALUATED = "stands where the shell evaluates a value once more as arithmetic: declare it as a number."
_IS_CODE = "stands in what {} reads as code, and its value would be code too: use the variable {} there."


def reads_code(line: str) -> bool:
    """Say whether something on this line may read a here-document as a script."""
    return bool(_READS.search(line))


class Words:
    """The words of the command that is being read, up to the next separator, and the placeholders in them."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._words: list[str] = []
        self._word = ""
        self._held: list[tuple[int, int, str]] = []
        self._is_testing = False
        self._case = 0

    @property
    def is_at_start(self) -> bool:
        """Whether no word has begun here, where a # opens a comment."""
        return not self._word

    def add(self, text: str) -> None:
        """Take a part of a word."""
        self._word += text

    def hold(self, start: int) -> None:
        """Take a placeholder as a part of a word."""
        self._held.append((start, len(self._words), self._word))
        self._word += "{}"

    def blank(self) -> None:
        """End the word."""
        if not self._word:
            return
        if not self._words or self._words[-1] in _KEYWORDS - {"for", "case"}:
            self._case += {"case": 1, "esac": -1}.get(self._word, 0)
            self._is_testing |= self._word == "[["
        if self._word == "]]":
            self._judge()
            self._is_testing = False
        self._words.append(self._word)
        self._word = ""

    def end(self) -> None:
        """End the command. Raises: Misplaced for a placeholder that something in it reads as code."""
        self.blank()
        self._judge()
        self._words, self._held = [], []

    def take_case_word(self) -> int:
        """Return 1 after the word case, -1 after esac, once."""
        change, self._case = self._case, 0
        return change

    def end_case_word(self) -> int:
        """End the word, and say the same of it."""
        self.blank()
        return self.take_case_word()

    def _judge(self) -> None:
        if not self._held:
            return
        plain = [re.sub(r"[\\'\"]", "", word) for word in self._words]
        names = (i for i, word in enumerate(plain) if word not in _KEYWORDS and not _ASSIGNMENT.fullmatch(word))
        first = next(names, 0)
        name = plain[first].rpartition("/")[2] if plain else ""
        for start, index, before in self._held:
            if reader := _reader(plain[: index + 1], name):
                self._slots.refuse(start, _IS_CODE.format(reader, variable_of(self._slots.names[start])))
            if start not in self._slots.numbers and (
                self._is_evaluated(name, plain[first:]) or _SUBSCRIPT.fullmatch(before)
            ):
                self._slots.refuse(start, _EVALUATED)

    def _is_evaluated(self, name: str, words: list[str]) -> bool:
        if name in _NAMES:
            return True
        if name in {"[", "test", "[["} or self._is_testing:
            return bool(_COMPARISONS & set(words))
        if name == "printf":
            return words[1:2] == ["-v"]
        return name in _DECLARES and any(re.fullmatch(r"[-+]\w*[in]\w*", word) for word in words[1:])


def _reader(words: list[str], name: str) -> str:
    """Return what reads the last of these words as code, if anything does."""
    if name == "trap" or "eval" in words[:-1]:
        return "trap" if name == "trap" else "eval"
    for place, word in enumerate(words[:-1]):
        program = word.rpartition("/")[2]
        code = _SHELL_CODE if _SHELL.fullmatch(program) else _LANGUAGE_CODE if _LANGUAGE.fullmatch(program) else None
        if code is None:
            continue
        between = words[place + 1 : -1]
        option = next((i for i, other in enumerate(between) if code.fullmatch(other)), None)
        # The first word behind the option is code; those behind that are its arguments.
        if option is not None and all(other.startswith("-") for other in between[option + 1 :]):
            return program
    return ""

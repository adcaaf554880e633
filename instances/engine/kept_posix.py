"""Owns the POSIX shell that is kept: how it is started, and the lines that make it run one command and tell its end.

It is an interactive shell without a terminal, fed on stdin: such a one survives a syntax error, an error of a special
builtin, ``${x?}`` and INT, and expands aliases. Nothing the user wrote is on a command line. Each command is one
compound command, so that it is read as a whole before any of it runs:
1. -v and -x are put aside, the variables and arguments are set, and the begin marks are printed.
2. The text is evaluated with stdin from /dev/null and without descriptors 8 and 9, which are copies of the shell's own
   stdout and stderr: redirecting these for good does not hide the end.
3. The end marks are printed, with the exit status.
Then the end marks once more, for a command that was broken off. Their nonce is only in the shell's input until then.

bash would go on with the next line after ``${x?}``, and ``rm -r "$x"/`` might be that, so its text is one ``if``; and
it reads that from a here-document with ``.``, for there it says neither "[1] 4711" nor "exit", and takes ``return``.
Others evaluate it in a function, for ``return``. busybox's ash ends when a child dies while it waits for the next line
of its script, unless it waits in ``read``: it is kept in a loop around that, and fed one line for each command.
"""

import shlex
from uuid import UUID

from instances.engine.delivery import Delivery
from instances.engine.environment import setup_line
from instances.engine.errors import CommandRefused, SessionRefused
from instances.engine.kept_output import Marks, new_nonce
from instances.engine.kept_stop import KeptTree
from instances.engine.kept_wish import ShellWish
from instances.engine.shells import LOOK_AROUND, MARK, REPORT
from instances.engine.types import Command, Started

_KEPT_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh"})
_AS_BASH = ("--norc", "--noprofile", "--noediting")

# One line without quotes, backslashes or exclamation marks, as in shells.py. An empty HISTFILE: bash and ash would read
# the user's history, and write it.
_OPEN = (
    REPORT + LOOK_AROUND + 'if [ "$__k" = any ]; then if command -v bash >/dev/null 2>&1; '
    f"then set -- bash {' '.join(_AS_BASH)} -i; else set -- sh -i; fi; fi; "
    "unset ENV BASH_ENV TMOUT MAIL MAILPATH MAILCHECK PROMPT_COMMAND; HISTFILE=; PS1=; PS2=; export HISTFILE PS1 PS2; "
    'exec "$@"'
)
# The lines after that, up to the first command.
_SETUP = """\\unset HISTFILE PS1 PS2 PROMPT_COMMAND MAILCHECK; PS1= PS2=
set +m
exec 8>&1 9>&2
case ${BASH_VERSION-} in ?*) set +H; set +o history; history -c;; esac
"""

_NAMES = "__e __t __x __l"
_PUT_ASIDE = (
    "{ __x=; case $- in *x*) set +x; __x='set -x;';; esac; "
    """case $- in *v*) set +v; __x="$__x set -v;";; esac; } 2>/dev/null; """
)
# INT leads out of the loop, and __k is unset then.
_LOOP = '__keep() { local __k=1; while IFS= \\read -r __c; do \\command eval "\\unset __c; $__c"; done; }; '
_BACK_TO_LOOP = "; case ${__k-} in 1) ;; *) __keep;; esac"
_FORK = '"$(IFS= \\read -r __t </proc/self/stat && \\printf %s "$__t")"'


class PosixShell:
    """The lines for one kept shell, whatever POSIX shell it is; ``greeted`` finds out which."""

    def __init__(self, wish: ShellWish) -> None:
        self._wish = wish
        self._words = _words(wish.interpreter)
        self.is_bash = self.is_ash = False

    @property
    def interpreter(self) -> str:
        """What runs, once ``greeted`` was called."""
        if not self._wish.interpreter.strip():
            return "bash" if self.is_bash else "sh"
        return self._wish.interpreter.strip()

    def opening(self) -> Delivery:
        """Return how to start it; the last line is a question that ``greeted`` reads the answer of.

        Raises: SessionRefused for what cannot be started.
        """
        wish, nonce = self._wish, new_nonce()
        directory = wish.working_directory
        if directory.startswith("-"):
            directory = "./" + directory
        words = self._words
        lines = [nonce, directory, "these" if words else "any", words[0] if words else "", str(len(words)), *words]
        if any(character in line for line in lines for character in "\0\n\r"):
            message = "The working directory and the interpreter must be one line each. The session was not opened."
            raise SessionRefused(message, reason="command_invalid")
        request = f"exec /bin/sh -c '{MARK}' '{_OPEN}' sh {wish.marker}"
        ready = f"\\printf '%s ok\\n' {nonce} >&8; \\printf '%s\\n' {nonce} >&9\n"
        program = '"$(readlink /proc/$$/exe 2>/dev/null)"'
        question = f"\\printf '\\036{nonce} %s %s\\n' \"${{BASH_VERSION:+bash}}\" {program} >&8\n"
        opening = "".join(line + "\n" for line in lines) + _SETUP + ready + question
        try:
            return Delivery(request, opening.encode(), b"", nonce.encode())
        except UnicodeEncodeError:
            message = "The working directory and the interpreter must be valid Unicode. The session was not opened."
            raise SessionRefused(message, reason="command_invalid") from None

    def greeted(self, answer: str) -> None:
        """Take the answer to the question at the end of ``opening``."""
        self.is_bash = answer.startswith("bash")
        self.is_ash = answer.rpartition("/")[2] == "busybox"

    def settle(self, nonce: str) -> bytes:
        """Return the line after which it takes commands, with this mark; none where it does already."""
        return f"{_LOOP}\\printf '\\036{nonce}\\n' >&8; __keep\n".encode() if self.is_ash else b""

    def feed(self, command: Command, marks: Marks) -> bytes:
        """Return the lines that run one command.

        Raises: CommandRefused for what cannot be sent.
        """
        if "\0" in command.text:
            raise CommandRefused("A script cannot contain NUL characters. It did not run.", reason="script_invalid")
        try:
            setup = setup_line(command.environment, command.arguments)
        except ValueError as error:
            raise CommandRefused(f"{error} The command did not run.", reason="command_invalid") from None
        setup = f"MUSTER_INVOCATION={command.marker}; export MUSTER_INVOCATION; {setup}"
        quoted = _dollar_quoted if self.is_bash else _on_one_line if self.is_ash else _quoted
        values = f"__l=$(\\printf '\\n.'); __l=${{__l%.}}; __e={quoted(setup)}; __t={quoted(command.text)}; "
        text = _PUT_ASIDE + values + (_in_bash(marks) if self.is_bash else _in_sh(marks)) + "\n" + self._end(marks)
        try:
            return text.encode()
        except UnicodeEncodeError:
            message = "The script is not valid Unicode text. It did not run."
            raise CommandRefused(message, reason="script_invalid") from None

    def end(self, marks: Marks) -> bytes:
        """Return the line that prints the end marks of a command that was broken off."""
        return self._end(marks).encode()

    def _end(self, marks: Marks) -> str:
        return _end(marks) + (_BACK_TO_LOOP if self.is_ash else "") + "\n"

    def tree(self, marker: UUID, shell: Started, begun: str) -> KeptTree:
        """Return the processes of a command; ``begun`` is the line of /proc of the fork before it."""
        fields = begun.rpartition(") ")[2].split()
        is_known = begun.partition(" ")[0].isdecimal() and len(fields) > 19
        return KeptTree(marker, shell, Started(int(begun.partition(" ")[0]), fields[19]) if is_known else None)


def _words(interpreter: str) -> list[str]:
    """Return what to start; nothing where the machine is to choose."""
    if not interpreter.strip():
        return []
    try:
        words = shlex.split(interpreter)
    except ValueError:
        words = [interpreter]
    name = words[-1 if words[0].rpartition("/")[2] == "busybox" else 0].rpartition("/")[2]
    if name not in _KEPT_SHELLS:
        message = "A session keeps sh, bash, dash, ash, ksh or mksh. The session was not opened."
        raise SessionRefused(message, reason="interpreter_missing")
    return [*words, *(_AS_BASH if name == "bash" else ()), "-i"]


def _begin(marks: Marks) -> str:
    return f"\\printf '\\036{marks.begin} %s\\n' {_FORK} >&8; \\printf '\\036{marks.begin}\\n' >&9; "


def _end(marks: Marks) -> str:
    return (
        f"{{ \\printf '\\036{marks.end} %d\\n' \"$?\" >&8; \\printf '\\036{marks.end}\\n' >&9; "
        f"\\unset {_NAMES}; }} 2>/dev/null"
    )


def _in_bash(marks: Marks) -> str:
    # Two line ends: the text may end with a backslash, or a comment.
    run = f'\\eval "{{ if :; then \\unset {_NAMES}; ${{__x}}${{__t}}\n\nfi; }}" </dev/null'
    # An old bash puts a here-document into a file, for which there may be no room.
    return (
        f"{{ \\set --; \\eval \"$__e\"; {_begin(marks)}if [ -r /dev/stdin ] 2>/dev/null <<'M'\nM\n"
        f"then \\. /dev/stdin 8>&- 9>&- <<'M'\n{run}\nM\n"
        f"else {run} 8>&- 9>&-\nfi; {_end(marks)}; }}"
    )


def _in_sh(marks: Marks) -> str:
    run = f'\\command eval "\\unset {_NAMES}; ${{__x}}$__t" </dev/null 8>&- 9>&-'
    return (
        f'__muster() {{ {run}; }}; {{ \\set --; \\command eval "$__e"; {_begin(marks)}__muster "$@"; {_end(marks)}; }}'
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _on_one_line(text: str) -> str:
    return _quoted(text).replace("\n", "'\"$__l\"'")


def _dollar_quoted(text: str) -> str:
    """Quote for bash on one line: it takes minutes for a megabyte of many."""
    return "$'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"

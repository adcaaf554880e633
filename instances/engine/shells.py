"""Owns how a script reaches the machine: what is started there, and what is fed to it.

The machine runs three constant pieces; nothing the user wrote is ever on a command line, but the arguments of a
script that is run as a file:
1. ``MARK`` puts the marker into the environment that /proc/PID/environ shows, which needs a second exec.
2. ``_PREPARE`` reads the preamble from stdin, reports "<nonce> <pid> <start time>", looks for the working directory
   and the interpreter, then hands over. As another user (run_as.py) all of it happens a second time behind sudo.
3. ``_RUN`` reads the script to the end and runs it only if it ends with the nonce, which is sent last: a script cut off
   on the way, or one whose start was never confirmed, cannot run. Then it reports "<nonce> ok", on stderr too, and sets
   the variables and arguments (environment.py).

The pieces are one line without quotes, backslashes or exclamation marks, so that csh and fish as login shells pass
them on unchanged.
"""

import secrets
import shlex

from instances.engine import windows
from instances.engine.delivery import Delivery
from instances.engine.environment import setup_line
from instances.engine.errors import CommandRefused
from instances.engine.run_as import BECOME, RELAY, inner_line
from instances.engine.types import Command, CommandType

HEADER_BYTES = 64 * 1024
# These take a script on stdin through -c; anything else gets a file.
_POSIX_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"})

MARK = 'MUSTER_INVOCATION=$2; export MUSTER_INVOCATION; exec /bin/sh -c "$0" sh "$1"'

_READ_SCRIPT = (
    "__l=$(echo; echo .); __l=${__l%.}; IFS= read -r __e || exit 125; "
    "__s=$(cat; echo .); exec </dev/null; "
    'case $__s in *"$__n.") ;; *) echo "$__n incomplete"; exit 125;; esac; '
    '__s=${__s%"$__n."}; '
)
_GO = 'echo "$__n ok"; echo "$__n" >&2; '

_RUN = "__n=$1; " + _READ_SCRIPT + _GO + 'set --; unset __n; eval "unset __s __e; $__e unset __l; $__s"'

# Of the preamble $__n is the nonce, $__d the directory, $__k the kind, $__w what must exist, $@ what is to be started.
REPORT = (
    "IFS= read -r __n && IFS= read -r __d && IFS= read -r __k && IFS= read -r __w && IFS= read -r __c || exit 125; "
    'set --; while [ "$__c" -gt 0 ]; do IFS= read -r __t || exit 125; set -- "$@" "$__t"; __c=$((__c-1)); done; '
    "__f() { shift 19; __t=$1; }; "
    "__t=; if [ -r /proc/$$/stat ]; then IFS= read -r __t </proc/$$/stat; __f ${__t##*) }; fi; "
    'echo "$__n $$ $__t"; '
)
LOOK_AROUND = (
    'case $__d in "~") __d=$HOME;; "~/"*) __d=$HOME/${__d#??};; esac; '
    'if [ -n "$__d" ]; then CDPATH= cd "$__d" >/dev/null 2>&1 || { echo "$__n cwd_missing"; exit 126; }; fi; '
    'if [ -n "$__w" ]; then case $__w in */*) [ -f "$__w" ] && [ -x "$__w" ];; '
    '*) command -v "$__w" >/dev/null 2>&1;; esac || { echo "$__n interpreter_missing"; exit 127; }; fi; '
)
_PREPARE = (
    "__b=$1; "
    + REPORT
    + 'if [ "$__k" = as ]; then '
    + BECOME
    + "; fi; "
    + LOOK_AROUND
    + 'if [ "$__k" = here ]; then set -- "$__n"; unset __d __k __w __c __t; unset -f __f; '
    'eval "unset __b; $__b"; exit; fi; '
    'if [ "$__k" = shell ]; then exec "$@" -c "$__b" "$__w" "$__n"; fi; '
    + _READ_SCRIPT
    + "__f=${TMPDIR:-/tmp}/muster.$MUSTER_INVOCATION; "
    '(umask 077; mkdir "$__f" && printf %s "$__s" >"$__f/script" && chmod 700 "$__f/script") 2>/dev/null'
    ' || { rm -rf "$__f"; echo "$__n no_space"; exit 126; }; '
    # The traps keep this shell alive past a TERM to the group, to take the file away; the script starts with defaults.
    # Its own stderr is shut so that it does not report how the script died into the script's output.
    "unset __s; trap : HUP INT TERM; " + _GO + "exec 3>&2 2>/dev/null; "
    # The interpreter was found before a variable could move the PATH.
    'case $1 in */*) ;; *) __w=$(command -v "$1"); shift; set -- "${__w:-false}" "$@";; esac; '
    '(set -- "$@" "$__f/script"; eval "$__e"; exec "$@" 2>&3 3>&-); __t=$?; '
    'trap "" HUP INT TERM; rm -rf "$__f"; exit $__t'
)


def deliver(command: Command) -> Delivery:
    """Return how this command reaches a machine: Bat and PowerShell a Windows one, Shell a POSIX one.

    Raises: CommandRefused for what cannot be sent to one.
    """
    if command.command_type is not CommandType.SHELL:
        return windows.deliver(command)
    if "\0" in command.text:
        raise CommandRefused("A script cannot contain NUL characters. It did not run.", reason="script_invalid")
    if "\0" in command.run_as or command.run_as.startswith("-") or "#" in command.run_as:
        raise CommandRefused("This user name cannot be used. The command did not run.", reason="command_invalid")
    kind, check, words = _interpreter(command)
    if command.is_dry_run:
        # As for a file: the interpreter is looked for, and nothing is handed over to it.
        kind, words = "file", []
    directory = command.working_directory
    if directory.startswith("-"):
        directory = "./" + directory
    nonce = secrets.token_hex(16)
    lines = [nonce, directory, kind, check, str(len(words)), *words]
    if any(character in line for line in lines for character in "\0\n\r"):
        message = "The working directory and the interpreter must be one line each. The command did not run."
        raise CommandRefused(message, reason="command_invalid")
    request = f"exec /bin/sh -c '{MARK}' '{_PREPARE}' '{_RUN}' {command.marker}"
    if command.run_as:
        mark = f"MUSTER_INVOCATION={command.marker}; export MUSTER_INVOCATION; "
        again = inner_line(f"{mark}exec /bin/sh -c '{_PREPARE}' sh '{_RUN}'")
        lines = [nonce, "", "as", "", "2", command.run_as, RELAY, again, *lines]
    try:
        lines.append("" if command.is_dry_run else setup_line(command.environment, command.arguments))
    except ValueError as error:
        raise CommandRefused(f"{error} The command did not run.", reason="command_invalid") from None
    preamble = "".join(line + "\n" for line in lines)
    try:
        opening = (preamble + ("" if command.is_dry_run else command.text)).encode()
    except UnicodeEncodeError:
        raise CommandRefused("The script is not valid Unicode text. It did not run.", reason="script_invalid") from None
    return Delivery(request, opening, nonce.encode(), nonce.encode())


def is_posix_shell(interpreter: str, text: str) -> bool:
    """Say whether a POSIX shell reads a Shell command: by its interpreter, else by its ``#!`` line."""
    line = text.partition("\n")[0].strip()
    given = interpreter.strip() or (line[2:].strip() if line.startswith("#!") else "")
    # What env is given before the program's name is none: options, variables.
    words = [word for word in given.split() if "=" not in word and not word.startswith("-")]
    while words[1:] and words[0].rpartition("/")[2] in {"env", "busybox"}:
        words.pop(0)
    return not words or words[0].rpartition("/")[2] in _POSIX_SHELLS


def _interpreter(command: Command) -> tuple[str, str, list[str]]:
    """Return how to hand over, the program that must exist, and the words to start."""
    if not command.interpreter.strip():
        first_line = command.text.partition("\n")[0].rstrip("\r")
        if not first_line.startswith("#!") or not first_line[2:].strip():
            return "here", "", []
        words = first_line[2:].strip().split(None, 1)
        return "file", _needed(words), words
    try:
        words = shlex.split(command.interpreter)
    except ValueError:
        words = [command.interpreter]
    is_shell = words[0].rpartition("/")[2] in _POSIX_SHELLS
    return ("shell" if is_shell else "file"), _needed(words), words


def _needed(words: list[str]) -> str:
    if words[0].rpartition("/")[2] == "env" and len(words) > 1 and words[1][0] not in "-":
        return words[1].split()[0] if "=" not in words[1] else words[0]
    return words[0]

"""Owns how variables and arguments reach a script: as one line of quoted shell text on stdin, never spliced into it.

The line is evaluated by sh, dash, bash or ash right before the script, so that no variable, not even PATH or IFS,
changes how the script is read. ``$__l`` holds a line end there: the values become one line, and the script's own lines
keep their numbers. Arguments are appended to ``$@``.
"""

import re
from collections.abc import Iterable

NAME_RULE = (
    "The name of a variable has 1 to 128 letters, digits and _, does not start with a digit, and is none that a shell "
    "or Muster keeps for itself."
)
VALUE_LIMIT_BYTES = 32 * 1024
# Linux takes 128 KiB for one value and a quarter of the stack for all; what the instance itself sets is in that too.
TOTAL_LIMIT_BYTES = 128 * 1024

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# A shell refuses to set them, ends over it, or sets them itself.
_KEPT = re.compile(
    r"MUSTER_.*|__.|_|BASH.*|SHELLOPTS|E?UID|E?GID|PPID|IFS|OPTIND|OPTARG|LINENO|S?RANDOM|SECONDS"
    r"|EPOCH(SECONDS|REALTIME)|FUNCNAME|GROUPS|DIRSTACK|HISTCMD|PIPESTATUS|COMP_.*"
)
# What the console tells a script about its instance; nobody else sets these.
_TOLD = re.compile(r"MUSTER_INSTANCE_[A-Za-z0-9_]{1,100}")


def is_variable_name(name: str) -> bool:
    """Say whether a variable of this name can be set for a script."""
    return bool(_NAME.fullmatch(name)) and not _KEPT.fullmatch(name)


def is_settable(name: str) -> bool:
    """Say whether a script can be given a variable of this name, by a person or by the console itself."""
    return is_variable_name(name) or bool(_TOLD.fullmatch(name))


def setup_line(variables: Iterable[tuple[str, str]], arguments: Iterable[str]) -> str:
    """Return the shell text, without a line end, that sets and exports the variables and appends the arguments.

    Raises: ValueError for a name that cannot be set, or a NUL.
    """
    parts = []
    for name, value in variables:
        if not is_settable(name):
            raise ValueError(NAME_RULE)
        parts.append(f"{name}={_quoted(value)}; export {name}; ")
    if words := " ".join(map(_quoted, arguments)):
        parts.append(f'set -- "$@" {words}; ')
    return "".join(parts)


def _quoted(value: str) -> str:
    """Quote a value so that only ``$__l`` in it is ever expanded."""
    if "\0" in value:
        raise ValueError("A value cannot hold a NUL character.")
    # Between single quotes nothing means anything but the quote itself; it and the line end step outside.
    return "'" + value.replace("'", "'\"'\"'").replace("\n", "'\"$__l\"'") + "'"

"""Owns how something is started as another user of the machine: through ``sudo -n``, fed on stdin.

sudo writes command lines into the system's log, so its own is the same constant each time: a shell that takes one line
from stdin and evaluates it. That line, the script, its variables and its arguments follow there. Nobody is asked for a
password: without the right to go on without one, sudo ends at once.
"""

# One line without single quotes, backslashes or exclamation marks, like everything on a command line (shells.py).
RELAY = 'IFS= read -r c && eval "$c"'

# Part of the bootstrap. $1: the user; $2: RELAY; $__n: the nonce.
BECOME = (
    'if [ "$(id -un)" = "$1" ]; then exec /bin/sh -c "$2"; fi; '
    'id -u "$1" >/dev/null 2>&1 || { echo "$__n run_as_user_missing"; exit 126; }; '
    'command -v sudo >/dev/null 2>&1 || { echo "$__n sudo_missing"; exit 126; }; '
    'exec sudo -n -H -u "$1" -- /bin/sh -c "$2"'
)
# Of a service user the home may not exist.
_GO_HOME = 'CDPATH= cd "$HOME" >/dev/null 2>&1 || cd /; '

REFUSED = "refused"
# $0: RELAY; on stdin the user, then the line. Root needs nobody's leave, and sees more than the user.
_ASK = (
    "IFS= read -r u || exit 1; "
    'if [ "$(id -u)" = 0 ] || [ "$(id -un)" = "$u" ]; then exec /bin/sh -c "$0"; fi; '
    f'sudo -n -H -u "$u" -- /bin/sh -c "$0" || echo {REFUSED}'
)


def inner_line(request: str) -> str:
    """Return what the relay is to do for the start of a script, from the user's home folder."""
    return _GO_HOME + request


def question(user: str, request: str) -> tuple[str, bytes]:
    """Return the exec request, and its stdin, that asks a short question as a user, or as root for a root login.

    The answer ends with ``REFUSED`` when sudo did not let it be asked.
    """
    return f"exec /bin/sh -c '{_ASK}' '{RELAY}'", f"{user}\n{request}\n".encode()

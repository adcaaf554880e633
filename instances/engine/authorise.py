"""Owns authorise: one line of a public key into ``~/.ssh/authorized_keys`` of who is signed in, and out of it again.

The machine runs one constant script that comes by stdin, after what it works on; its answer is a line that begins with
a nonce. The new file is made beside the old one, in a folder that is the lock too, and renamed over it, so that the old
file stays as it is, byte for byte, whatever goes wrong.
"""

import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

from instances.engine.errors import AuthoriseRefused
from instances.engine.transport import Connection, ask
from instances.engine.types import HostKey

# Waiting for another console takes up to 20 s of it.
AUTHORISE_S = 45.0
LINE_LIMIT = 16 * 1024
COMMENT_LIMIT = 100
SOURCES_LIMIT = 500

_COMMENT = re.compile(r"[^\w.@:-]+", re.ASCII)
_SOURCES = re.compile(r"[A-Za-z0-9.:*?/!_,-]+")
_SIGNS_IN = "muster signs in"


class Limits(StrEnum):
    """What the key may do, from least to most; the value is the options of its line."""

    COMMANDS = "restrict,pty"
    FORWARDING = "restrict,pty,port-forwarding"
    NONE = ""


@dataclass(frozen=True)
class Placed:
    """The key is in the file. ``was_there``: its line was there before, with these ``options``, and was left alone."""

    was_there: bool = False
    options: str = ""


@dataclass(frozen=True)
class Removed:
    """The key is not in the file any more; ``lines`` were taken out."""

    lines: int = 0


def line_of(public_key: str, *, limits: Limits = Limits.COMMANDS, sources: str = "", comment: str = "") -> str:
    """Return the line that lets a key in, as it will stand in the file.

    ``public_key`` is OpenSSH's form, whose own comment is dropped. ``sources`` are the addresses, patterns and networks
    it may come from, comma-separated; empty means any. What a comment may not hold becomes a dash.
    Raises: ValueError, with a sentence, for what is no public key or no list of sources.
    """
    key = HostKey.parse(public_key)
    options = [limits.value] if limits.value else []
    if sources:
        if not _SOURCES.fullmatch(sources) or len(sources) > SOURCES_LIMIT:
            raise ValueError(
                "Sources are addresses, patterns or networks such as 192.0.2.7,10.0.0.0/8, without blanks."
            )
        options.append(f'from="{sources}"')
    words = [",".join(options), key.line, _COMMENT.sub("-", comment).strip("-")[:COMMENT_LIMIT]]
    return " ".join(word for word in words if word)


async def place(connection: Connection, line: str) -> Placed:
    """Have the key of this line let in; a key that has a line already is left as it is, whatever its options.

    Raises: AuthoriseRefused, with the file as it was; as ``Connection.start``.
    """
    word, _, rest = (await _told(connection, "place", line)).partition(" ")
    if word == "placed":
        return Placed()
    if word == "present":
        options = rest.split(" ", 2)[2:]
        return Placed(was_there=True, options="".join(c if c.isprintable() else "?" for c in "".join(options))[:500])
    raise _refused(word)


async def remove(connection: Connection, public_key: str) -> Removed:
    """Take every line of this key out, and nothing else.

    Raises: AuthoriseRefused, with the file as it was; as ``Connection.start``.
    """
    word, _, rest = (await _told(connection, "remove", HostKey.parse(public_key).line)).partition(" ")
    if word == "removed":
        return Removed(int(rest))
    if word == "absent":
        return Removed()
    raise _refused(word)


async def try_out(connection: Connection) -> None:
    """Make sure that who is signed in can run commands.

    Raises: AuthoriseRefused; as ``Connection.start``.
    """
    answer = await ask(connection, f"exec /bin/sh -c 'echo {_SIGNS_IN}'", timeout_s=AUTHORISE_S)
    if _SIGNS_IN.encode() not in answer:
        raise _refused("no_commands")


async def _told(connection: Connection, action: str, line: str) -> str:
    """Run the script and return its answer, without the nonce."""
    if not line.isascii() or not line.isprintable() or len(line) > LINE_LIMIT:
        raise ValueError("A line of authorized_keys is printable ASCII.")
    if "windows" in connection.banner.lower():
        raise _refused("windows")
    nonce = secrets.token_hex(16)
    blob = next(word for word in line.split(" ") if word.startswith("AAAA"))
    # The nonce at the end proves that the whole script came.
    fed = "\n".join([nonce, action, blob, line, _SCRIPT, f"#{nonce}"])
    answer = await ask(connection, f"exec /bin/sh -c '{_READ}'", stdin=fed.encode(), timeout_s=AUTHORISE_S)
    # A noisy ~/.bashrc may print before.
    for said in answer.decode("utf-8", "replace").splitlines():
        if said.startswith(nonce + " "):
            return said.removeprefix(nonce).strip()
    raise _refused("no_answer")


def _refused(word: str) -> AuthoriseRefused:
    reason = word if word in REASONS else "no_answer"
    return AuthoriseRefused(REASONS[reason], reason=reason)


REASONS = {
    "symlink": "~/.ssh or its authorized_keys is a symbolic link, which is not followed.",
    "unusual": "~/.ssh is no folder, or its authorized_keys is no ordinary file.",
    "unsafe": "Others may write to ~/.ssh, so that what stands in it cannot be relied on.",
    "not_yours": "~/.ssh or its authorized_keys belongs to another user.",
    "read_only": "authorized_keys, its folder or the file system is read-only.",
    "no_space": "The disk of the instance is full.",
    "no_home": "The user has no home folder.",
    "locked": "Another console has been changing authorized_keys for 20 s; if none is, remove ~/.ssh/*.muster-lock*.",
    "changed": "Somebody else changed authorized_keys at the same moment.",
    "cannot_keep": "The owner and mode of authorized_keys could not be kept.",
    "windows": "Windows keeps the keys of administrators elsewhere, so the key must be placed there by hand.",
    "no_answer": "The instance did not run the script that places the key.",
    "no_commands": "The key is let in, but may not run commands.",
}

# One line without single quotes, backslashes or exclamation marks, for csh and fish as login shells.
_READ = (
    "IFS= read -r n && IFS= read -r action && IFS= read -r blob && IFS= read -r line && s=$(cat; echo .) || exit 125; "
    'exec </dev/null; case $s in *"#$n.") eval "${s%.}";; *) echo "$n no_answer";; esac'
)

_SCRIPT = r"""
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/bin:/usr/bin:/bin; export PATH
unset CDPATH
umask 077
set -f
file=authorized_keys
lock=authorized_keys.muster-lock
held=

end() { printf '%s %s\n' "$n" "$*"; exit 0; }

because() {
  case $1 in
    *"o space left"*|*"uota exceeded"*) end no_space;;
    *"ead-only file"*|*"ermission denied"*|*"not permitted"*) end read_only;;
  esac
  end "$2"
}

leave() { [ -z "$held" ] || rm -rf "$lock"; }

# A lock of more than a minute belongs to nobody; only one of those who see that may take it away.
is_old() { [ -n "$(find "$lock" -prune -mmin +1 2>/dev/null)" ]; }

take_lock() {
  tries=0
  until said=$(mkdir "$lock" 2>&1); do
    case $said in *xist*) ;; *) because "$said" read_only;; esac
    if is_old && mkdir "$lock.old" 2>/dev/null; then
      if is_old; then rm -rf "$lock"; fi
      rmdir "$lock.old"
    else
      tries=$((tries + 1))
      [ "$tries" -le 20 ] || end locked
      sleep 1
    fi
  done
  held=yes
}

bytes() { wc -c <"$1" | tr -d ' '; }

# Mode without the mark of an access list, owner and group.
nature() { set -- $(ls -ldn "$1"); echo "${1%[.+@]} $3 $4"; }

# Number, length and options of each line of the key, read as sshd reads them.
lines_of_key() {
  awk -v blob="$blob" '
  {
    s = $0; options = ""
    sub(/\r$/, "", s); sub(/^[ \t]+/, "", s)
    if (s == "" || substr(s, 1, 1) == "#") next
    if (s !~ /^(ssh-|ecdsa-|sk-)/) {
      quoted = 0
      for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        if (c == "\\" && substr(s, i + 1, 1) == "\"") i++
        else if (c == "\"") quoted = 1 - quoted
        else if (!quoted && (c == " " || c == "\t")) break
      }
      options = substr(s, 1, i - 1); s = substr(s, i); sub(/^[ \t]+/, "", s)
    }
    split(s, word, /[ \t]+/)
    if (word[2] == blob) print NR, length($0), options
  }' "$1"
}

# A last line that is not ended: 1, else 0.
is_open() {
  case $(tail -c 1 "$1" | od -An -tu1 | tr -d ' ') in ""|10) echo 0;; *) echo 1;; esac
}

append() {
  open=$(is_open "$lock/copy")
  said=$({ if [ "$open" = 1 ]; then echo; fi && printf '%s\n' "$line"; } 2>&1 >>"$lock/new") || because "$said" no_space
  size=$(($(bytes "$lock/copy") + open + ${#line} + 1))
}

drop() {
  # Not every awk keeps NUL characters.
  [ "$(tr -d '\000' <"$lock/copy" | wc -c | tr -d ' ')" = "$(bytes "$lock/copy")" ] || end unusual
  set -- $(printf '%s\n' "$found" | awk '
    { all = all " " $1; sum += $2 + 1; last = $1 } END { print NR, sum, last, all }')
  count=$1; size=$(($(bytes "$lock/copy") - $2)); last=$3; shift 3
  # An open last line is one byte shorter than counted.
  if [ "$(is_open "$lock/copy")" = 1 ] && [ "$last" = "$(awk 'END { print NR }' "$lock/copy")" ]; then
    size=$((size + 1))
  fi
  said=$(awk -v drop=" $* " 'index(drop, " " NR " ") == 0' "$lock/copy" 2>&1 >"$lock/kept") || because "$said" no_space
  said=$(head -c "$size" "$lock/kept" 2>&1 >"$lock/new") || because "$said" no_space
}

trap leave EXIT
trap 'exit 1' HUP INT TERM PIPE

[ -n "$HOME" ] && cd "$HOME" 2>/dev/null || end no_home
home=$(pwd -P)
if [ -h .ssh ]; then end symlink; fi
if ! [ -e .ssh ]; then
  if [ "$action" = remove ]; then end absent; fi
  said=$(mkdir .ssh 2>&1) || [ -d .ssh ] || because "$said" read_only
  if command -v restorecon >/dev/null; then restorecon .ssh >/dev/null 2>&1; fi
fi
[ -d .ssh ] || end unusual
cd -P ./.ssh 2>/dev/null || end not_yours
[ "$(pwd -P)" = "${home%/}/.ssh" ] || end symlink
set -- $(nature .)
[ "$2" = "$(id -u)" ] || end not_yours
case $1 in ?????w*|????????w*) end unsafe;; esac
[ -w . ] || end read_only
take_lock

if [ -h "$file" ]; then end symlink; fi
if [ -e "$file" ]; then
  [ -f "$file" ] || end unusual
  before=$(nature "$file")
  set -- $before
  [ "$2" = "$(id -u)" ] || end not_yours
  case $1 in ??w*) ;; *) end read_only;; esac
  said=$(cp -p "$file" "$lock/copy" 2>&1) || because "$said" unusual
else
  if [ "$action" = remove ]; then end absent; fi
  before=
  said=$({ : >"$lock/copy"; } 2>&1) || because "$said" read_only
fi

found=$(lines_of_key "$lock/copy")
if [ "$action" = place ]; then
  if [ -n "$found" ]; then printf '%s present %s\n' "$n" "$found"; exit 0; fi
else
  [ -n "$found" ] || end absent
fi
said=$(cp -p "$lock/copy" "$lock/new" 2>&1) || because "$said" no_space
if [ "$action" = place ]; then append; else drop; fi
[ "$(bytes "$lock/new")" -eq "$size" ] || end no_space
sync -d "$lock/new" >/dev/null 2>&1
if [ -n "$before" ]; then
  [ "$(nature "$lock/new")" = "$before" ] || end cannot_keep
  if [ -h "$file" ]; then end changed; fi
  cmp -s "$lock/copy" "$file" || end changed
else
  if [ -e "$file" ] || [ -h "$file" ]; then end changed; fi
fi
said=$(mv -f "$lock/new" "$file" 2>&1) || because "$said" changed
if command -v restorecon >/dev/null; then restorecon "$file" >/dev/null 2>&1; fi
if [ "$action" = place ]; then end placed; else end "removed $count"; fi
"""

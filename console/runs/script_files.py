"""Owns reading a script from a file's bytes."""

from django.conf import settings

_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


class NotAScript(ValueError):
    """The file cannot be sent as a command; the message says why."""


def read_script(data: bytes) -> str:
    """Return the text of a script file, with POSIX line ends.

    Raises: NotAScript for what is too large, empty, or no UTF-8 text.
    """
    limit = settings.MUSTER_SCRIPT_LIMIT_BYTES
    if len(data) > limit:
        raise NotAScript(f"The file is too large: a script has at most {limit:,} bytes.")
    if b"\0" in data:
        raise NotAScript("This is not a script but a binary file: only text can be sent.")
    try:
        # A byte order mark would hide the #! line.
        text = data.decode().removeprefix(_MARK)
    except UnicodeDecodeError:
        raise NotAScript("The file is not UTF-8 text: save it as UTF-8 and choose it again.") from None
    if not text.strip():
        raise NotAScript("The file is empty.")
    return text.replace("\r\n", "\n")

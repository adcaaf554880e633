"""Owns taking questions to a terminal out of output that is shown later, or to somebody who does not type.

A terminal answers some sequences (who are you, where is the cursor) as if it were typed. The answer to one of an hour
ago would land in whatever reads the keyboard now. Source: xterm's ctlseqs.
"""

import re

# One that does not end within this is shown as it is.
_LONGEST = 64 * 1024
# Each in its two forms: with ESC, and as one control letter of Unicode. No text goes over the beginning of another
# sequence: to look for the end of each behind it would take for ever.
_END = rb"(?:\x1b\\|\xc2\x9c)"
_TEXT = rb"(?:[^\x07\x1b\xc2]|\xc2(?![\x80-\x9f]))*"
_LONG_TEXT = rb"(?:[^\x1b\xc2]|\xc2(?![\x80-\x9f]))*"
_QUESTION = re.compile(
    rb"\x05|\x1bZ|\xc2\x9a"  # ENQ, DECID
    rb"|(?:\x1b\[|\xc2\x9b)(?:"
    rb"[?>=]?[0-9;]*c"  # DA
    rb"|\??[0-9;]*n"  # DSR
    rb"|\??[0-9;]*\$p"  # DECRQM
    rb"|>[0-9;]*q"  # XTVERSION
    rb"|[0-9;]*x"  # DECREQTPARM
    rb"|[>]?[0-9;]*t"  # window operations
    rb"|[0-9;]*(?:\$w|\*y|#\||&w)"  # DECRQPSR, DECRQCRA, XTREPORTSGR, DECRQTSR
    rb"|\?[0-9;]*[uS]"  # the keyboard's protocol, graphics
    rb")"
    rb"|(?:\x1b\]|\xc2\x9d)%(text)s\?(?:\x07|%(end)s)"  # OSC that ask: colours, clipboard
    rb"|(?:\x1b[P_]|\xc2[\x90\x9f])%(long)s%(end)s"  # DCS: DECRQSS, XTGETTCAP; APC
    % {b"text": _TEXT, b"long": _LONG_TEXT, b"end": _END}
)
_UNFINISHED = re.compile(
    rb"(?:\x1b|\xc2|(?:\x1b\[|\xc2\x9b)[0-?]*[ -/]*|(?:\x1b\]|\xc2\x9d)%(text)s[\x1b\xc2]?"
    rb"|(?:\x1b[P_]|\xc2[\x90\x9f])%(long)s[\x1b\xc2]?)\Z" % {b"text": _TEXT, b"long": _LONG_TEXT}
)


class Questions:
    """Takes questions out of output that comes in pieces."""

    def __init__(self) -> None:
        self._tail = b""

    def without(self, data: bytes) -> bytes:
        """Return the output without its questions; the beginning of what may be one is kept for the next call."""
        data = _QUESTION.sub(b"", self.rest() + data)
        unfinished = _UNFINISHED.search(data, max(0, len(data) - _LONGEST))
        if unfinished is None:
            return data
        self._tail = unfinished.group()
        return data[: unfinished.start()]

    def rest(self) -> bytes:
        """Return what was kept: from here on questions are wanted."""
        tail, self._tail = self._tail, b""
        return tail

"""Owns what a command becomes on the wire: the request that starts it, and the bytes it is fed."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Delivery:
    """What to start, what to feed it at once, and the last bytes that let it run.

    ``slack_s``: how much longer than others the machine may take to report the pid. ``has_exit_line``: it says the exit
    code itself, in its output, and what the SSH server says of it is not to be believed.
    """

    exec_request: str
    opening: bytes = field(repr=False)
    go: bytes = field(repr=False)
    nonce: bytes
    slack_s: float = 0.0
    has_exit_line: bool = False

"""The shell of a pretended Windows account behind a real sshd: python -m tests.support.windows_shell, as ForceCommand.

It stands for the PowerShell program alone; cmd.exe is Wine's. It ends with 0 or 1, as a PowerShell as default shell
would.
"""

import os
import sys
import time

from instances.engine.windows import _SUPERVISE
from tests.support.windows import Received, Wine


def main() -> None:
    stdin, stdout, stderr = sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer
    opening = b"".join(stdin.readline() for _ in range(7))
    nonce = opening.split(b"\n", 1)[0]
    stdout.write(nonce + b" %d %d 850\n" % (os.getpid(), time.time_ns() // 100))
    stdout.flush()
    received = Received.read(os.environ["SSH_ORIGINAL_COMMAND"], opening + stdin.read())
    assert received.program[39:] == _SUPERVISE
    if not received.is_whole:
        stdout.write(nonce + b" incomplete\n")
        sys.exit(125)
    for stream, line in ((stdout, nonce + b" ok\n"), (stderr, nonce + b"\n")):
        stream.write(line)
        stream.flush()
    code = Wine.prepared().cmd(
        received.arguments, f"muster.{received.marker}", received.script, received.suffix, received.variables
    )
    stdout.write(b"\0%b exit %d\n" % (nonce, code))
    sys.exit(code != 0)


main()

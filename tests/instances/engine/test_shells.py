import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.engine import kept_posix, kept_stop, run_as, shells, stop
from instances.engine.shells import deliver
from instances.engine.types import Command, Outcome
from tests.instances.engine.conftest import Bench, Going
from tests.support.sshd import Sshd, ordinary_user
from tests.support.until import wait_until


def command(text: str = "echo ran", **fields: object) -> Command:
    return Command(text, uuid4(), **fields)  # type: ignore[arg-type]


def feed(exec_request: str, stdin: bytes, shell: str = "/bin/sh") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([shell, "-c", exec_request], input=stdin, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "piece",
    [
        shells.MARK,
        shells._PREPARE,
        shells._RUN,
        stop._SWEEP,
        stop._TABLE,
        run_as.RELAY,
        run_as._ASK,
        kept_posix._OPEN,
        kept_stop._HIT,
    ],
)
def test_any_login_shell_passes_the_pieces_on_unchanged(piece: str) -> None:
    """csh reads ! and line ends inside quotes, fish reads two backslashes or one before a quote."""
    assert not re.search(r"['!\n]|\\\\|\\$", piece)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.sampled_from(["", "bash", "python3"]))
def test_nothing_of_the_user_is_on_the_command_line(text: str, interpreter: str) -> None:
    one = command(text, interpreter=interpreter)
    plain = deliver(command("", working_directory="/x")).exec_request
    assert deliver(one).exec_request.removesuffix(str(one.marker)) == plain[:-36]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("text", ["echo ran", "#!/bin/sh\necho ran"])
def test_a_script_runs_only_when_its_end_has_arrived(shell: str, text: str) -> None:
    delivery = deliver(command(text))
    whole = feed(delivery.exec_request, delivery.opening + delivery.go, shell)
    assert whole.stdout.endswith(b" ok\nran\n")
    for cut in (delivery.opening, delivery.opening[:-3], delivery.opening + delivery.go[:-1], b"", b"\n"):
        partial = feed(delivery.exec_request, cut, shell)
        assert b"ran" not in partial.stdout
        assert b" ok" not in partial.stdout
        assert partial.returncode == 125


def test_the_nonce_is_new_each_time_and_not_on_the_command_line() -> None:
    first, second = deliver(command()), deliver(command())
    assert first.nonce != second.nonce
    assert first.nonce.decode() not in first.exec_request


@pytest.mark.parametrize(
    ("fields", "kind", "needed", "words"),
    [
        ({"text": "ls"}, "here", "", []),
        ({"text": "#!/bin/bash -e\nls"}, "file", "/bin/bash", ["/bin/bash", "-e"]),
        ({"text": "#!/usr/bin/env python3\n"}, "file", "python3", ["/usr/bin/env", "python3"]),
        ({"text": "#! /usr/bin/env -S python3 -u\n"}, "file", "/usr/bin/env", ["/usr/bin/env", "-S python3 -u"]),
        ({"text": "#!\nls"}, "here", "", []),
        ({"text": "#!/bin/bash\n", "interpreter": "python3"}, "file", "python3", ["python3"]),
        ({"text": "ls", "interpreter": "bash -e"}, "shell", "bash", ["bash", "-e"]),
        ({"text": "ls", "interpreter": "'/opt/my shell/zsh'"}, "shell", "/opt/my shell/zsh", ["/opt/my shell/zsh"]),
        ({"text": "ls", "interpreter": "it's"}, "file", "it's", ["it's"]),
    ],
)
def test_how_a_script_is_handed_over(fields: dict[str, str], kind: str, needed: str, words: list[str]) -> None:
    lines = deliver(command(**fields)).opening.decode().split("\n")  # type: ignore[arg-type]
    assert lines[2:5] == [kind, needed, str(len(words))]
    assert lines[5 : 5 + len(words)] == words


@pytest.fixture(scope="module")
def noisy_user(user: str) -> Iterator[str]:
    with ordinary_user("musternoisy") as name:
        yield name


def greets_with(name: str, text: str) -> None:
    Path(f"/home/{name}/.bashrc").write_text(text)


@pytest.mark.sshd
@pytest.mark.parametrize(
    "noise",
    [
        "echo hello; echo careful >&2\n",
        "printf 'no line end'; printf 'nor here' >&2\n",
        "head -c 60000 /dev/zero; head -c 200000 /dev/zero >&2\n",
        "set -x; PS1=x; alias ls='ls --color'; cd /tmp; export CDPATH=/usr\n",
        "export n=1 s=2 d=3 __n=4 __s=5 IFS=x\n",
    ],
)
async def test_a_noisy_bashrc_is_not_in_the_output(
    sshd: Sshd, noisy_user: str, bench_for: Callable[..., Bench], noise: str
) -> None:
    greets_with(noisy_user, noise)
    bench = bench_for(sshd.target(user=noisy_user))
    ended, going = await bench.run("echo out; echo err >&2; exit 6", working_directory="/usr/lib")
    assert (ended.outcome, ended.exit_status) == (Outcome.EXITED, 6)
    assert (going.stdout, going.stderr) == (b"out\n", b"err\n")


@pytest.mark.sshd
@pytest.mark.parametrize("noise", ["yes\n", "echo go away; exit 4\n", "sleep 300\n"])
async def test_a_bashrc_that_lets_nothing_through_means_it_did_not_run(
    sshd: Sshd, noisy_user: str, bench_for: Callable[..., Bench], noise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in noise:
        monkeypatch.setattr("instances.engine.execute.HEADER_S", 1.0)
    greets_with(noisy_user, noise)
    bench = bench_for(sshd.target(user=noisy_user))
    ended, going = await bench.run("echo ran")
    assert (ended.outcome, ended.reason, going.stdout) == (Outcome.NOT_STARTED, "bootstrap", b"")
    assert "exit" not in noise or "go away" in ended.message


@pytest.mark.sshd
async def test_a_script_never_runs_after_it_was_given_up(
    sshd: Sshd, noisy_user: str, bench_for: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login takes longer than the console waits; the script must not run late, nor after a Stop."""
    proof = f"/tmp/muster-late-{uuid4()}"
    logins, may_go_on = Path(f"/home/{noisy_user}/logins-{uuid4()}"), sshd.folder / f"may-go-on-{uuid4()}"
    wait = f"until [ -e {may_go_on} ] || [ $SECONDS -gt 300 ]; do sleep 0.1; done"
    greets_with(noisy_user, f"trap '' TERM; echo $$ >> {logins}; {wait}; trap - TERM\n")

    def begun() -> list[int]:
        return [int(word) for word in logins.read_text().split()] if logins.exists() else []

    async def once_it_signs_in(going: Going) -> None:
        await wait_until(lambda: len(begun()) == 1)

    bench = bench_for(sshd.target(user=noisy_user))
    monkeypatch.setattr("instances.engine.execute.HEADER_S", 60.0)
    stopped, _ = await bench.stopped_after(f"touch {proof}", once_it_signs_in)
    assert stopped.reason == "not_started"
    monkeypatch.setattr("instances.engine.execute.HEADER_S", 0.2)
    ended, _ = await bench.run(f"touch {proof}")
    assert ended.reason == "bootstrap"
    await wait_until(lambda: len(begun()) == 2)
    assert all(map(is_alive, begun()))
    await asyncio.to_thread(may_go_on.touch)
    # The same processes go on to read the script, and then end.
    await wait_until(lambda: not any(map(is_alive, begun())))
    assert not exists(proof)


def is_alive(pid: int) -> bool:
    return exists(f"/proc/{pid}")


def exists(path: str) -> bool:
    return Path(path).exists()


@pytest.mark.sshd
async def test_a_user_without_a_shell_cannot_start_anything(
    sshd: Sshd, user: str, bench_for: Callable[..., Bench]
) -> None:
    with ordinary_user("musternologin", shell="/usr/sbin/nologin") as name:
        bench = bench_for(sshd.target(user=name))
        ended, _ = await bench.run("echo ran")
        assert (ended.outcome, ended.reason) == (Outcome.NOT_STARTED, "bootstrap")
        assert "not available" in ended.message
        await bench.pool.close()

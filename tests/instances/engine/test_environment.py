"""Variables, arguments and paths reach scripts byte for byte, through every POSIX shell there is here."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instances.engine.environment import is_variable_name, setup_line
from instances.engine.errors import CommandRefused
from instances.engine.shells import Delivery, deliver
from instances.engine.types import Command

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200) | st.sampled_from(
    [
        "$(touch marker)",
        "`touch marker`",
        "'; touch marker; '",
        "\n",
        "a\n",
        "\\n",
        "-n",
        "%s",
        'é\n\'"$__l"',
        "\r\n",
        "*",
    ]
)
NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,20}\Z").filter(is_variable_name)
# In Perl, which starts quickest of what takes variables and arguments as bytes: it does so hundreds of times.
SHOW = r"""print map("$_=$ENV{$_}\0", keys %ENV), "\0", join("\0", @ARGV, readlink("/proc/self/cwd"))"""
# One of each: /bin/sh is another name of one of the others.
SHELLS = {
    os.path.realpath(words.split()[0]): words for words in ("/bin/dash", "/bin/bash", "/bin/sh", "/bin/busybox sh")
}
# Of each shell and form; a run carries at least five values, so these are more than 2,000.
RUNS = 45


def start(delivery: Delivery, shell: str, folder: Path, locale: str) -> bytes:
    """Run it on this machine with the shell as /bin/sh would be; return its stdout after the engine's own lines."""
    # In the request alone: Hypothesis knows the words of the code, and "/bin/sh" may be a value.
    done = subprocess.run(
        ["/bin/sh", "-c", delivery.exec_request.replace("/bin/sh", shell)],
        input=delivery.opening + delivery.go,
        capture_output=True,
        timeout=60,
        check=True,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LC_ALL": locale},
    )
    assert done.stderr == delivery.nonce + b"\n"
    return done.stdout.partition(delivery.nonce + b" ok\n")[2]


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS.values())
@pytest.mark.parametrize("interpreter", ["", "bash", "file"])
def test_values_round_trip_through_every_shell_and_nothing_of_them_is_run(
    shell: str, interpreter: str, tmp_path: Path
) -> None:
    script = 'exec /usr/bin/perl -e "$SHOW" -- "$@"\n'
    if interpreter == "file":
        script, interpreter = f"#!/usr/bin/perl\n{SHOW}", ""

    @example({"A": "/bin/sh", "B": ""}, ["/bin/sh", ""], "C", "/bin/sh")
    @settings(max_examples=RUNS)
    @given(
        st.dictionaries(NAMES, TEXTS, min_size=2, max_size=4),
        st.lists(TEXTS, min_size=2, max_size=4),
        st.sampled_from(["C", "C.UTF-8"]),
        TEXTS,
    )
    def round_trip(variables: dict[str, str], arguments: list[str], locale: str, folder_name: str) -> None:
        folder = tmp_path / ("d" + "".join(x for x in folder_name if x not in "/\n\r")[:60])
        folder.mkdir(exist_ok=True)
        given_ = {**variables, "SHOW": SHOW}
        environment = tuple(given_.items())
        command = Command(
            script,
            uuid4(),
            interpreter=interpreter,
            environment=environment,
            arguments=tuple(arguments),
            working_directory=str(folder),
        )
        answer = start(deliver(command), shell, tmp_path, locale)
        pairs, _, words = answer.partition(b"\0\0")
        found = dict(pair.partition(b"=")[::2] for pair in pairs.split(b"\0"))
        for name, value in given_.items():
            assert found[name.encode()] == value.encode(), name
        assert words.split(b"\0") == [word.encode() for word in [*arguments, str(folder)]]
        assert b"__l" not in found
        assert b"__e" not in found
        assert not list(tmp_path.rglob("marker"))

    round_trip()


@pytest.mark.parametrize(
    "name", ["", "1A", "A-B", "A B", "É", "A" * 129, "MUSTER_INVOCATION", "IFS", "UID", "PPID", "__s", "_", "BASH_ENV"]
)
def test_names_that_a_shell_or_the_bootstrap_keeps_are_refused(name: str) -> None:
    assert not is_variable_name(name)
    with pytest.raises(CommandRefused) as raised:
        deliver(Command("ls", uuid4(), environment=((name, "x"),)))
    assert raised.value.reason == "command_invalid"


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "LC_ALL", "A" * 128, "_a", "__ab", "http_proxy"])
def test_names_that_only_change_the_script_are_taken(name: str) -> None:
    assert is_variable_name(name)


def test_a_nul_is_refused() -> None:
    for fields in ({"environment": (("A", "\0"),)}, {"arguments": ("\0",)}, {"run_as": "\0"}):
        with pytest.raises(CommandRefused):
            deliver(Command("ls", uuid4(), **fields))  # type: ignore[arg-type]


def test_no_value_is_in_the_exec_request_or_in_a_repr() -> None:
    command = Command("ls", uuid4(), environment=(("A", "s3cret"),), arguments=("s3cret",), run_as="bob")
    delivery = deliver(command)
    assert "s3cret" not in delivery.exec_request + repr(command) + repr(delivery)
    assert "bob" not in delivery.exec_request
    assert setup_line([("A", "it's\n")], ["x"]) == "A='it'\"'\"'s'\"$__l\"''; export A; set -- \"$@\" 'x'; "


@pytest.mark.parametrize(
    ("script", "interpreter"),
    [("echo $PATH", ""), ("echo $PATH", "bash"), ("import os; print(os.environ['PATH'])", "snake -S")],
)
def test_a_path_of_ones_own_does_not_keep_the_script_from_starting(
    script: str, interpreter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "snake").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    command = Command(script, uuid4(), interpreter=interpreter, environment=(("PATH", "/nowhere"),))
    assert start(deliver(command), "/bin/sh", tmp_path, "C") == b"/nowhere\n"

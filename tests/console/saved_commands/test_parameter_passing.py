"""Values of parameters reach scripts byte for byte, wherever a placeholder stands, and none of them is ever run."""

import os
import re
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.saved_commands.parameters import Kind, Parameter, PlaceholderError, ValueRefused, sent_text
from instances.engine.errors import CommandRefused
from instances.engine.shells import deliver
from instances.engine.types import Command, CommandType
from tests.support.windows import Received

CANARY = "canary"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60) | st.sampled_from(
    [
        f"$(touch {CANARY})",
        f"`touch {CANARY}`",
        f"'; touch {CANARY}; '",
        f'"; touch {CANARY}; "',
        f"\nEND\ntouch {CANARY}\n",
        f"a[$(touch {CANARY})]",
        f"}}; touch {CANARY} #",
        f"a'b\"; touch {CANARY} #",
        "{{v1}}",
        "${PARAM_v1}",
        "\\",
        "\\'",
        '\\"',
        "-n",
        "%s",
        "*",
        "~",
        "!!",
        " two  words ",
        "\r\n",
        "\n\n",
        "#x",
    ]
)
# Each prints the value of {0}, and a NUL behind it.
PLACES = [
    "printf '%s\\0' {0}",
    "printf '%s\\0' \"{0}\"",
    "printf '%s\\0' '{0}'",
    "printf '%s\\0' ''{0}\"\"",
    "a={0}; printf '%s\\0' \"$a\"",
    "a='{0}'; printf '%s\\0' \"$a\"",
    "a=\"$(printf '%sx' {0})\"; printf '%s\\0' \"${{a%x}}\"",
    "a=$(printf '%sx' \"{0}\"); printf '%s\\0' \"${{a%x}}\"",
    "a=\"$(printf '%sx' \"$(printf '%s.' '{0}')\")\"; printf '%s\\0' \"${{a%.x}}\"",
    "case {0} in '{0}') printf '%s\\0' {0};; *) echo wrong;; esac",
    "a=$(case x in x) printf '%sx' {0};; esac); printf '%s\\0' \"${{a%x}}\"",
    "f() {{ printf '%s\\0' \"$1\"; }}; f {0} # and {0} in a 'comment",
    "for a in {0}; do printf '%s\\0' \"$a\"; done",
    "a=$(cat <<END\n{0}.\nEND\n); printf '%s\\0' \"${{a%.}}\"",
    "a=$(cat <<-END\n\t{0}.\n\tEND\n); printf '%s\\0' \"${{a%.}}\"",
    "a=$(cat <<END; echo it\\'s\n$(printf '%sx' \"{0}\").\nEND\n); a=${{a%x.*}}; printf '%s\\0' \"$a\"",
    "if [ {0} = '{0}' ]; then (printf '%s\\0' {0}); fi",
    'sh -c \'printf "%s\\0" "$1"\' sh {0}',
    'sh -c \'printf "%s\\0" "$PARAM_{1}"\' # {0}',
]
# Values in a run; with the shells and the runs below they come to more than 2,000.
MANY = 2 * len(PLACES)
RUNS = 20


def run_here(text: str, interpreter: str, values: dict[str, str], folder: Path) -> bytes:
    """Run what an instance would be sent on this machine; return its stdout after the engine's own lines."""
    environment = tuple((f"PARAM_{name}", value) for name, value in values.items())
    delivery = deliver(Command(text, uuid4(), interpreter=interpreter, environment=environment))
    done = subprocess.run(
        ["/bin/sh", "-c", delivery.exec_request],
        input=delivery.opening + delivery.go,
        capture_output=True,
        timeout=120,
        check=True,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )
    assert done.stderr == delivery.nonce + b"\n"
    return done.stdout.partition(delivery.nonce + b" ok\n")[2]


@pytest.mark.slow
@pytest.mark.parametrize("interpreter", ["sh", "bash", "busybox-file"])
def test_every_place_gives_every_value_back_and_nothing_of_it_is_run(interpreter: str, tmp_path: Path) -> None:
    names = [f"v{number}" for number in range(MANY)]
    parameters = [Parameter(name) for name in names]

    @settings(max_examples=RUNS)
    @given(st.lists(TEXTS, min_size=MANY, max_size=MANY), st.permutations(range(MANY)))
    def round_trip(values: list[str], order: list[int]) -> None:
        lines = [
            PLACES[place % len(PLACES)].format(f"{{{{{name}}}}}", name)
            for name, place in zip(names, order, strict=True)
        ]
        first_line, program = ("#!/usr/bin/busybox sh\n", "") if interpreter == "busybox-file" else ("", interpreter)
        text = sent_text(first_line + "\n".join(lines), "shell", program, parameters)
        answer = run_here(text, program, dict(zip(names, values, strict=True)), tmp_path)
        # A command substitution takes the line ends off; these places stand a sign behind the value.
        assert answer.split(b"\0")[:-1] == [value.encode() for value in values]
        assert not list(tmp_path.iterdir())

    round_trip()


# What may stand for a placeholder; in a comment it stays.
FORM = r"""(?:'"\$\{PARAM_x\}"'|"\$\{PARAM_x\}"|\$\{PARAM_x\}|\$\{env:PARAM_x\}|%PARAM_x%|\{\{x\}\})"""


@settings(max_examples=100)
@given(
    st.lists(
        st.sampled_from(
            [
                *"ab $'\"`\\(){}#<>&;|\n\t=[]",
                "{{x}}",
                "$(",
                "$((",
                "))",
                "${",
                "<<A",
                "\nA\n",
                "((",
                "case x in",
                "esac",
            ]
        ),
        max_size=40,
    )
)
def test_no_text_is_changed_but_for_its_placeholders(pieces: list[str]) -> None:
    text = "".join(pieces)
    for command_type in ("shell", "powershell", "bat"):
        try:
            sent = sent_text(text, command_type, "", [Parameter("x", Kind.TEXT)])
        except PlaceholderError:
            continue
        parts = (part.replace("\\{{x}}", "{{x}}") for part in re.split(r"(?<!\\)\{\{x\}\}", text))
        assert re.fullmatch(FORM.join(map(re.escape, parts)), sent), (text, sent)


@pytest.mark.parametrize("text", ["<<A'{{x}}'\n", '<<"{{x}}"\n', "<<A\\\\{{x}}'{{x}}'", "cat <<'A{{x}}'\nA\n"])
def test_the_word_that_ends_a_here_document_is_no_place(text: str) -> None:
    with pytest.raises(PlaceholderError):
        sent_text(text, "shell", "", [Parameter("x", Kind.TEXT)])


POWERSHELL_PLACES = '$a = {{v}}; "{{v}} and $({{v}})"; Get-Item {{v}} # {{v}}\n@"\n{{v}}\'\n"@'


@given(TEXTS)
def test_powershell_is_given_the_value_beside_the_script_and_never_in_it(value: str) -> None:
    text = sent_text(POWERSHELL_PLACES, "powershell", "", [Parameter("v")])
    command = Command(text, uuid4(), CommandType.POWERSHELL, environment=(("PARAM_v", value),))
    delivery = deliver(command)
    arrived = Received.read(delivery.exec_request, delivery.opening + delivery.go)
    assert arrived.variables == {"PARAM_v": value}
    assert arrived.script.decode() == POWERSHELL_PLACES.replace("{{v}}", "${env:PARAM_v}", 4).replace(
        "# ${env:PARAM_v}", "# {{v}}"
    ).replace("\n{{v}}'", "\n${env:PARAM_v}'")


@given(st.text(max_size=30))
def test_bat_takes_no_value_in_which_cmd_could_read_anything(value: str) -> None:
    parameter = Parameter("v")
    command = Command('echo "%PARAM_v%"', uuid4(), CommandType.BAT, environment=(("PARAM_v", value),))
    if (
        set(value) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,:/\\@+=")
        and value[-1:] != "\\"
    ):
        assert parameter.value(value, ["bat"]) == value
        delivery = deliver(command)
        arrived = Received.read(delivery.exec_request, delivery.opening + delivery.go)
        assert arrived.variables == {"PARAM_v": value}
        assert arrived.script == b'echo "%PARAM_v%"'
    else:
        with pytest.raises(ValueRefused):
            parameter.value(value, ["bat"])
        with pytest.raises(CommandRefused):
            deliver(command)

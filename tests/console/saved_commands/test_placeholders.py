"""What becomes of ``{{name}}`` in a text, by where it stands, and where it is refused."""

import contextlib
import time

import pytest

from console.saved_commands.parameters import Kind, Parameter, PlaceholderError, sent_text, unused
from console.saved_commands.placeholders import as_text

DECLARED = (Parameter("x"), Parameter("n", Kind.NUMBER))


def sent(text, command_type="shell", interpreter=""):
    return sent_text(text, command_type, interpreter, DECLARED)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("df {{x}}", 'df "${PARAM_x}"'),
        ("df {{ x }}", 'df "${PARAM_x}"'),
        ("df --a={{x}}/b", 'df --a="${PARAM_x}"/b'),
        ('df "a {{x}}"', 'df "a ${PARAM_x}"'),
        ("df 'a {{x}}'", "df 'a '\"${PARAM_x}\"''"),
        ('df "$(df {{x}} "{{x}}")"', 'df "$(df "${PARAM_x}" "${PARAM_x}")"'),
        ("cat <<A\n{{x}}\nA\ndf {{x}}", 'cat <<A\n${PARAM_x}\nA\ndf "${PARAM_x}"'),
        ("cat <<'A'\n$(\nA\ndf {{x}}", "cat <<'A'\n$(\nA\ndf \"${PARAM_x}\""),
        ("# it's {{x}}\ndf {{x}}", '# it\'s {{x}}\ndf "${PARAM_x}"'),
        ("df a#'{{x}}'", "df a#''\"${PARAM_x}\"''"),
        ("echo $((5-{{n}}))", "echo $((5-(${PARAM_n})))"),
        ("(( a = {{n}} )); a[{{n}}]=1", '(( a = (${PARAM_n}) )); a["${PARAM_n}"]=1'),
        ('[ {{n}} -gt 3 ] && test "{{instance.port}}" -eq 22', None),
        ("ls -lt {{x}}; sh -e {{x}}; sh -c 'echo \"$1\"' sh {{x}}", None),
        ("case a in a) df {{x}};; esac; ((df); (df {{x}}))", None),
        ("docker ps --format '{{.Names}} {{ .ID }}' {a,{b}}", "docker ps --format '{{.Names}} {{ .ID }}' {a,{b}}"),
        ("echo \\{{x}} \\{{other}} \\\\{{x}} '\\{{x}}'", "echo {{x}} {{other}} \\{{x}} '{{x}}'"),
        (
            "echo {{instance.name}} {{instance.tags.a-b}}",
            'echo "${MUSTER_INSTANCE_NAME}" "${MUSTER_INSTANCE_TAG_a_b}"',
        ),
        ("#!/usr/bin/env -S bash\necho {{x}}", '#!/usr/bin/env -S bash\necho "${PARAM_x}"'),
    ],
)
def test_a_shell_text_gets_a_variable_that_fits_its_place(text, becomes):
    wanted = becomes or text.replace('"{{instance.port}}"', '"${MUSTER_INSTANCE_PORT}"').replace(
        "{{x}}", '"${PARAM_x}"'
    ).replace("{{n}}", '"${PARAM_n}"')
    assert sent(text) == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\ncat <<'A'\n{{x}}\nA", "Line 3: {{x}} stands in a here-document whose word is quoted"),
        ("cat <<{{x}}\nA", "the word that ends a here-document"),
        ("bash -s <<A\necho {{x}}\nA", "a script for another program"),
        ("cat <<A | sudo sh\necho {{x}}\nA", "a script for another program"),
        ("python3 - <<A\nprint({{x}})\nA", "a script for another program"),
        ("echo `df {{x}}`", "between backticks"),
        ('echo "`df {{x}}`"', "between backticks"),
        ("echo ${a:-{{x}}}", "inside ${…}"),
        ('echo "${a:-"{{x}}"}"', "inside ${…}"),
        ("echo ${{x}}", "right behind a $"),
        ("echo $'{{x}}'", "inside $'…'"),
        ("echo $'\\''; echo {{x}}'", "behind a $'…"),
        ("echo $(({{x}}))", "declare it as a number"),
        ("echo $(( '{{x}}' ))", "declare it as a number"),
        ("(( {{x}} ))", "declare it as a number"),
        ("[ {{x}} -gt 3 ]", "declare it as a number"),
        ("[[ -n a && {{x}} -gt 3 ]]", "declare it as a number"),
        ("a[{{x}}]=1", "declare it as a number"),
        ("unset {{x}}", "declare it as a number"),
        ("printf -v '{{x}}' 1", "declare it as a number"),
        ("declare -i a={{x}}", "declare it as a number"),
        ("eval df {{x}}", "what eval reads as code"),
        ("eval 2>&1 df \\\n {{x}}", "what eval reads as code"),
        ("sudo -u me sh -ec 'df {{x}}'", "what sh reads as code"),
        ('/usr/bin/python3 -c "print({{x}})"', "what python3 reads as code"),
        ("trap 'rm {{x}}' EXIT", "what trap reads as code"),
        ('echo "{{x}}', 'what " opens here never ends'),
        ("echo $(df {{x}}", "what ( opens here never ends"),
        ("df {{y}}", "{{y}} is not declared"),
        ("df {{instance.nam}}", "nothing that an instance has"),
        ("df {{instance.tags.a-b}} {{instance.tags.a_b}}", "would be one variable"),
        ("#!/usr/bin/env python3\nprint({{x}})", 'os.environ["PARAM_x"]'),
        ("$(" * 70 + "{{x}}" + ")" * 70, "too much is nested"),
    ],
)
def test_where_no_variable_can_be_right_the_command_is_refused_with_line_and_reason(text, says):
    with pytest.raises(PlaceholderError) as raised:
        sent(text)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("Get-Item {{x}}", "Get-Item ${env:PARAM_x}"),
        ('"a {{x}} $(f {{x}}) ""{{x}}"""', '"a ${env:PARAM_x} $(f ${env:PARAM_x}) ""${env:PARAM_x}"""'),
        ('@"\n\'{{x}}\n"@', '@"\n\'${env:PARAM_x}\n"@'),
        ("$a='it''s'; <# {{x}} #> {{x}} # '{{x}}", "$a='it''s'; <# {{x}} #> ${env:PARAM_x} # '{{x}}"),
    ],
)
def test_a_powershell_text_gets_a_variable(text, becomes):
    assert sent(text, "powershell") == becomes


@pytest.mark.parametrize(
    ("command_type", "text", "says"),
    [
        ("powershell", "'{{x}}'", "single quotes"),
        ("powershell", "\u2018{{x}}\u2019", "single quotes"),
        ("powershell", "@'\n{{x}}\n'@", "single quotes"),
        ("powershell", "foo --a={{x}}", "a part of a word"),
        ("powershell", "a{{x}}", "a part of a word"),
        ("powershell", '"`{{x}}"', "right behind a `"),
        ("powershell", '"${{x}}"', "inside ${…}"),
        ("powershell", 'iex "{{x}}"', "reads as code once more"),
        ("powershell", 'powershell.exe -Command "{{x}}"', "reads as code once more"),
        ("powershell", '"{{x}}', "never ends"),
        ("bat", "echo %{{x}}%", "leave the % out"),
    ],
)
def test_in_a_windows_text_it_is_refused_where_nothing_would_be_put_in_or_read_as_code(command_type, text, says):
    with pytest.raises(PlaceholderError) as raised:
        sent(text, command_type)
    assert says in str(raised.value)


def test_a_bat_text_gets_a_variable():
    assert sent('dir "{{x}}" 100%%', "bat") == 'dir "%PARAM_x%" 100%%'


@pytest.mark.parametrize("text", ["{{x}}", "\\{{x}}", "a\\\\{{ x }}b{{.X}}", "{{instance.name}} {{{x}}}"])
def test_any_text_can_be_kept_so_that_it_is_sent_as_it_is(text):
    assert sent_text(as_text(text), "shell", "", ()) == text


def test_what_no_text_uses_is_told():
    assert unused([one.as_json() for one in DECLARED], "df {{x}}", "dir") == ["n"]


@pytest.mark.parametrize("piece", ["$((", "((", "(", '"$(', "${a:-", "`", "<<A\n", "{{x}} ", "case a in a) "])
def test_odd_texts_take_no_longer_than_long_ones(piece):
    text = piece * 3000 + " {{x}}"
    started = time.process_time()
    with contextlib.suppress(PlaceholderError):
        sent(text)
    # Far above what any takes, far below what trying every way would.
    assert time.process_time() - started < 20

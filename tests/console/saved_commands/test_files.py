"""Saved commands as script files: what is written is read back as the same, to the byte."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from console.saved_commands.content import AMOUNTS, LINES, NUMBERS, OPTIONS, Content, Details
from console.saved_commands.files import read_folder, read_script, write_folder

# Without halves of characters and NUL, which no command holds.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
STARTS = [
    "#!/bin/sh\n",
    "#!/bin/sh",
    "#!/usr/bin/env python3\r\n",
    "# muster: name: x\n",
    "# muster: end\n",
    "# muster:",
]
ODD = st.sampled_from([*STARTS, ":: muster: end\n", "\r\n", "\n", "\r", "\u2028", "\x85", " ", "é ☃ 𝄞", "\ufeff"])
TEXTS = st.lists(st.one_of(ODD, st.text(CHARACTERS, max_size=20)), max_size=6).map("".join).filter(str.strip)
SHOWN = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=20)
NAMES = st.one_of(SHOWN, st.sampled_from(["600", "true", '"quoted"', "[1]", "Disk usage", "disk-usage", "é", "-"]))
TAGS = st.lists(st.sampled_from(["disk", "env:prod", "a.b"]), unique=True, max_size=3)
ONE_LINE = st.characters(exclude_categories=["Cs", "Cc"])
OPTION_VALUES = st.dictionaries(
    st.sampled_from(sorted(set(OPTIONS) - NUMBERS - AMOUNTS - LINES)),
    st.text(CHARACTERS, min_size=1, max_size=20),
    max_size=3,
)
LINE_VALUES = st.dictionaries(st.sampled_from(sorted(LINES)), st.text(ONE_LINE, min_size=1, max_size=20), max_size=3)


@st.composite
def commands(draw):
    name = draw(NAMES.map(str.strip).filter(bool))
    text, windows = draw(st.sampled_from([(True, False), (False, True), (True, True)]))
    details = Details(name, draw(st.text(CHARACTERS, max_size=30)), draw(TAGS), draw(st.booleans()))
    numbers = draw(st.sampled_from([{}, {"timeout_s": 600}, {"max_errors": "0"}, {"max_concurrency": "10%"}]))
    options = draw(OPTION_VALUES) | draw(LINE_VALUES) | numbers
    content = Content(
        text=draw(TEXTS) if text else "",
        windows_type=draw(st.sampled_from(["bat", "powershell"])) if windows else "",
        windows_text=draw(TEXTS) if windows else "",
        options=options,
        parameters=draw(st.sampled_from([[], [{"name": "path", "default": "ä\n", "required": True}]])),
    )
    return details, content


@given(st.lists(commands(), max_size=5, unique_by=lambda one: one[0].name))
@example([(Details("a b"), Content(text="1")), (Details("a-b"), Content(text="#!x\n# muster: end\n"))])
@example([(Details("[" * 80, "[" * 2000), Content(text="\n\n#!/bin/sh"))])
def test_what_is_written_is_read_as_the_same(made):
    files = write_folder(made)
    read = read_folder(files)
    assert [one.error for one in read] == [""] * len(made)
    assert {one.details.name: (_told(one.details), one.content.as_fields()) for one in read} == {
        details.name: (_told(details), content.as_fields()) for details, content in made
    }
    assert write_folder((one.details, one.content) for one in read) == files


def _told(details):
    return details.name, details.description, list(details.tags), details.is_shared


def test_a_script_is_read_by_its_shell_and_by_people():
    files = write_folder(
        [
            (
                Details("Disk usage", "How full the disks are.", ["disk", "daily"]),
                Content("#!/bin/sh\ndf -h\n", "powershell", "Get-PSDrive\r\n", {"timeout_s": 30, "run_as": "root"}),
            )
        ]
    )
    assert files == {
        "disk-usage.sh": b"#!/bin/sh\n# muster: name: Disk usage\n# muster: description: How full the disks are.\n"
        b"# muster: tags: disk daily\n# muster: option timeout_s: 30\n# muster: option run_as: root\n# muster: end\n"
        b"df -h\n",
        "disk-usage.ps1": b"# muster: twin: disk-usage.sh\n# muster: end\nGet-PSDrive\r\n",
    }


def test_a_script_without_a_header_is_called_as_its_file():
    (read,) = read_folder({"sub/disk.sh": b"df\n", "README.md": b"not a script", ".hidden.sh": b"x"})
    assert (_told(read.details), read.content.text, read.error) == (_told(Details("disk")), "df\n", "")


def test_a_header_with_the_line_ends_of_windows_and_a_mark_in_front_is_read():
    script = read_script("a.sh", b"\xef\xbb\xbf# muster: name: disk\r\n# muster: end\r\ndf\r\n")
    assert (script.header, script.text) == ({"name": "disk"}, "df\r\n")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.sh": b"\xff"}, "not UTF-8"),
        ({"a.sh": b""}, "Enter a command"),
        ({"a.sh": b"# muster: name: a\ndf\n"}, "no end"),
        ({"a.sh": b"# muster: name: a"}, "no end"),
        ({"a.sh": b"# muster: nonsense\n# muster: end\ndf"}, "Line 1 of the header"),
        ({"a.sh": b"# muster: name: a\n# muster: name: b\n# muster: end\ndf"}, "Line 2 of the header"),
        ({"a.sh": b"# muster: colour: red\n# muster: end\ndf"}, "means nothing here: colour"),
        ({"a.sh": b"# muster: shared: perhaps\n# muster: end\ndf"}, "yes or no"),
        ({"a.sh": b"# muster: option ids: 1\n# muster: end\ndf"}, "no option ids"),
        ({"a.sh": b"# muster: parameters: {}\n# muster: end\ndf"}, "JSON list"),
        ({"a.sh": b"# muster: tags: a,b;c\n# muster: end\ndf"}, "this is none: b;c"),
        ({"a.sh": b'# muster: description: "\\ud800"\n# muster: end\ndf'}, "Unicode"),
        ({"a.sh": b"df\0"}, "NUL"),
        ({"a.ps1": b"# muster: twin: a.sh\n# muster: end\ndir"}, "twin of is missing: a.sh"),
        ({"a.sh": b"df", "a.ps1": b"# muster: name: b\n# muster: end\ndir"}, "belongs into a.sh"),
        ({"a.ps1": b"dir", "a.bat": b"dir"}, "one file for Shell and one for Windows"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value.replace(" ", "-"),
)
def test_what_cannot_be_read_says_why(files, says):
    (read,) = read_folder(files)
    assert says in read.error


def test_two_files_of_one_name_are_both_refused():
    same = b"# muster: name: disk\n# muster: end\ndf"
    assert [one.error for one in read_folder({"a.sh": same, "b.sh": same})] == ["Several files say they are disk."] * 2

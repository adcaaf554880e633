"""The known_hosts form, compared with what OpenSSH's own ssh-keygen finds in the same file."""

import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.engine.types import HostKey
from instances.host_keys import known_hosts
from instances.host_keys.known_hosts import LineInvalid, Marker, Matcher, applies, check_patterns, read_key, read_line
from tests.support.factories import hashed_name, host_key_data
from tests.support.ssh_server import new_host_key

KEY = HostKey("ssh-ed25519", host_key_data(1)).line
PLACES = [
    "web-1.example.com",
    "web-2.example.com",
    "example.com",
    "10.0.0.4",
    "10.0.1.4",
    "2001:db8::7",
    "[web-1.example.com]:2222",
    "[10.0.0.4]:2222",
    "[2001:db8::7]:2222",
    "a",
]


def found_by_ssh_keygen(file: Path, place: str) -> set[int]:
    done = subprocess.run(["ssh-keygen", "-F", place, "-f", str(file)], capture_output=True, text=True, check=False)
    return {int(number) for number in re.findall(r"found: line (\d+)", done.stdout)}


def found_by_us(file: Path, place: str) -> set[int]:
    found = set()
    for number, line in known_hosts.lines(file.read_text()):
        entry = read_line(line)
        if entry.is_hashed:
            is_meant = known_hosts.hash_matcher(entry.names)(place.encode())
        else:
            is_meant = Matcher(entry.names)(place)
        if is_meant:
            found.add(number)
    return found


names = st.sampled_from(PLACES)
piece = st.text("ab1.*?", min_size=1, max_size=5)
wild = st.one_of(
    piece, st.sampled_from(["*", "*.example.com", "10.0.?.4", "10.0.*", "[*]:2222", "web-?.EXAMPLE.com", "*:*", "W*"])
)
one_pattern = st.builds(lambda no, text: no + text, st.sampled_from(["", "", "", "!"]), st.one_of(names, wild))
patterns = st.lists(one_pattern, min_size=1, max_size=4).map(",".join)
marks = st.sampled_from(["", "", "", "@cert-authority ", "@revoked "])
comments = st.sampled_from(["", " root@host", " two words # more"])
entries = st.builds(lambda mark, who, said: f"{mark}{who} {KEY}{said}", marks, patterns, comments)
files = st.lists(st.one_of(entries, st.sampled_from(["", "# a comment", "   "])), min_size=1, max_size=8)


@given(files, st.lists(names, min_size=2, max_size=3, unique=True))
@settings(max_examples=60)
def test_the_same_lines_are_found_as_by_ssh_keygen(tmp_path: Path, rows: list[str], places: list[str]) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("\n".join(rows) + "\n")
    for place in places:
        assert found_by_us(file, place) == found_by_ssh_keygen(file, place), (place, rows)


@given(
    st.lists(st.lists(names, min_size=1, max_size=3, unique=True).map(",".join), min_size=1, max_size=4),
    st.lists(names, min_size=3, max_size=3, unique=True),
)
@settings(max_examples=25)
def test_names_that_ssh_keygen_hashed_are_found_alike(tmp_path: Path, rows: list[str], places: list[str]) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("".join(f"{who} {KEY}\n" for who in rows))
    plain = {place: bool(found_by_us(file, place)) for place in PLACES}
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert "|1|" in file.read_text()
    assert "example" not in file.read_text()
    for place in PLACES:
        assert bool(found_by_us(file, place)) == plain[place]
    for place in places:
        assert found_by_us(file, place) == found_by_ssh_keygen(file, place)


def test_a_line_is_read_with_its_marker_and_comment() -> None:
    entry = read_line(f"@cert-authority *.example.com,10.0.*\t{KEY}  the authority\x1b of Berlin")
    assert (entry.marker, entry.names) == (Marker.AUTHORITY, "*.example.com,10.0.*")
    assert (entry.key.line, entry.comment) == (KEY, "the authority of Berlin")
    assert read_line(f"@revoked * {KEY}").marker is Marker.REVOKED
    assert read_line(f"web {KEY}").marker is Marker.HOST_KEY
    assert read_line(f"{hashed_name('web')} {KEY}").is_hashed


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521"])
def test_keys_of_every_kind_that_is_used_are_read(kind: str) -> None:
    key = new_host_key(kind)
    assert read_key(key.line) == key


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("web", "A line has the names"),
        ("web ssh-ed25519", "A line has the names"),
        (f"@trusted web {KEY}", "@trusted is no marker"),
        ("web ssh-ed25519 not*base64", "base64"),
        (f"web ssh-rsa {KEY.split()[1]}", "do not belong together"),
        (f"web {KEY[:-20]}", "not complete"),
        ("web 2048 65537 1234567890", "base64"),
        ("web ssh-dss AAAAB3NzaC1kc3MAAAAA", "kind ssh-dss"),
        ("web ssh-ed25519-cert-v01@openssh.com AAAA", "This is a certificate"),
        (f"|2|AAAA|BBBB {KEY}", "kind that is not known"),
        (f"|1|AAAA {KEY}", "kind that is not known"),
        (f"|1|AAAA|BBBB {KEY}", "not complete"),
        (f"|1|?|? {KEY}", "not complete"),
    ],
)
def test_what_cannot_be_read_says_why(line: str, why: str) -> None:
    with pytest.raises(LineInvalid, match=re.escape(why)):
        read_line(line)


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    for _, line in known_hosts.lines(text):
        with suppress(LineInvalid):
            assert read_line(line).key


def test_lines_keep_their_number_whatever_their_ends_are() -> None:
    assert list(known_hosts.lines("\ufeff# no\r\none\r\n\n  # two\n two \n")) == [
        (1, "\ufeff# no"),
        (2, "one"),
        (5, "two"),
    ]


@pytest.mark.parametrize(
    ("who", "address", "port", "does"),
    [
        ("*.example.com", "web.example.com", 22, True),
        ("*.example.com", "web.example.com", 2222, True),
        ("*.example.com", "example.com", 22, False),
        ("*.example.com", "web.example.com.evil", 22, False),
        ("[*.example.com]:2222", "web.example.com", 2222, True),
        ("[*.example.com]:2222", "web.example.com", 22, False),
        ("*,!bad.example.com", "bad.example.com", 22, False),
        ("*,!bad.example.com", "bad.example.com", 2222, False),
        ("*,![bad.example.com]:2222", "bad.example.com", 2222, False),
        ("!bad.example.com", "web.example.com", 22, False),
        ("2001:db8::*", "2001:db8::7", 2222, True),
    ],
)
def test_patterns_stand_for_an_instance_by_its_address(who: str, address: str, port: int, does: bool) -> None:
    assert applies(who, address, port) is does


@pytest.mark.parametrize("text", ["", " , ", "!a", "a b", "|1|x|y", "@revoked", "a,!", "a,!!b", "ä", "a#b", "x" * 1001])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(LineInvalid):
        check_patterns(text)
    assert check_patterns("*.example.com , !old.example.com,10.0.0.?") == "*.example.com,!old.example.com,10.0.0.?"


def test_many_stars_take_no_time() -> None:
    began_at = time.process_time()
    assert not Matcher("*a" * 400)("a" * 255 + "b")
    assert time.process_time() - began_at < 0.5

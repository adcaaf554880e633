import base64
import json
import random
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.runs.masking import MASK, Mask, MaskedOutput
from instances.engine.types import Stream

# Few letters, so that secrets overlap, begin alike and hold one another.
SECRETS = st.lists(st.text("ab'\n", min_size=4, max_size=9), min_size=1, max_size=4)
PIECES = st.text("ab'\n=", max_size=12)


class Kept:
    def __init__(self):
        self.streams = {Stream.STDOUT: b"", Stream.STDERR: b""}
        self.flow = None

    def attach(self, flow):
        self.flow = flow

    def write(self, stream, data):
        assert data
        self.streams[stream] += data


@settings(max_examples=1000)
@given(SECRETS, st.lists(st.one_of(PIECES, st.integers(0, 3)), max_size=8), st.randoms(use_true_random=False))
def test_however_it_is_cut_it_is_masked_as_the_whole_is(secrets, pieces, chance: random.Random):
    text = "".join(secrets[piece % len(secrets)] if isinstance(piece, int) else piece for piece in pieces).encode()
    mask, kept = Mask(secrets), Kept()
    longest = max((len(form) for form in mask._forms), default=0)
    masked = MaskedOutput(kept, mask)
    place = 0
    while place < len(text):
        size = chance.randint(1, 5)
        masked.write(Stream.STDOUT, text[place : place + size])
        place += size
        assert len(masked._waiting[Stream.STDOUT]) < max(1, longest)
    masked.flush()
    assert kept.streams[Stream.STDOUT] == mask.whole(text)
    for secret in secrets:
        assert secret.encode() not in kept.streams[Stream.STDOUT]


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_secret_in_two_chunks_is_masked_and_the_streams_do_not_mix(cut):
    secret, kept = "correct horse battery", Kept()
    masked = MaskedOutput(kept, Mask([secret]))
    masked.write(Stream.STDOUT, b"a " + secret.encode()[:cut])
    masked.write(Stream.STDERR, secret.encode() + b"!")
    masked.write(Stream.STDOUT, secret.encode()[cut:] + b" z")
    masked.flush()
    assert kept.streams == {Stream.STDOUT: b"a *** z", Stream.STDERR: b"***!"}


def test_a_prompt_is_not_held_back():
    kept = Kept()
    masked = MaskedOutput(kept, Mask(["correct horse"]))
    masked.write(Stream.STDOUT, b"Password for c")
    assert kept.streams[Stream.STDOUT] == b"Password for "
    masked.write(Stream.STDOUT, b"arl: ")
    assert kept.streams[Stream.STDOUT] == b"Password for carl: "


def test_the_ways_in_which_secrets_are_written_are_masked():
    secret = 'p4ss/wörd+it\'s "so" secret?'
    for written in (
        secret,
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        quote(secret, safe=""),
        quote_plus(secret),
        shlex.quote(secret),
    ):
        assert b"secret" not in Mask([secret]).whole(written.encode()), written
    for before in ("", "u", "us", "user:"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            shown = Mask([secret]).whole(encode(f"{before}{secret}\n".encode()))
            left = b"".join(shown.split(MASK))
            assert (shown.count(MASK), len(left) <= 16) == (1, True), shown


def test_a_long_line_of_a_secret_is_masked_alone():
    key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\nab\n-----END KEY-----\n"
    assert Mask([key]).whole(key.encode()) == MASK
    assert Mask([key]).whole(b"1 MIIEpAIBAAKCAQEA\n2 ab\n") == b"1 ***\n2 ab\n"


def test_short_secrets_are_not_looked_for():
    assert Mask(["abc"]).whole(b"abc abc") == b"abc abc"
    assert Mask([]).split(b"abc") == (b"abc", b"")
    assert Mask(["abcd"]).text("it said abcd.") == "it said ***."


def test_the_brake_is_handed_on():
    kept = Kept()
    MaskedOutput(kept, Mask(["abcd"])).attach("brake")
    assert kept.flow == "brake"

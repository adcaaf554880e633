"""What the line of a key says."""

import pytest

from instances.engine import authorise
from instances.engine.authorise import Limits, line_of
from tests.instances.engine.authorise.keys import BLOB, PAIR


def test_the_line_is_restricted_unless_asked_otherwise() -> None:
    assert line_of(PAIR.public, comment="muster:deploy") == f"restrict,pty ssh-ed25519 {BLOB} muster:deploy"
    assert line_of(PAIR.public, limits=Limits.NONE) == f"ssh-ed25519 {BLOB}"
    forwarding = line_of(PAIR.public, limits=Limits.FORWARDING, sources="10.0.0.0/8,*.example")
    assert forwarding == f'restrict,pty,port-forwarding,from="10.0.0.0/8,*.example" ssh-ed25519 {BLOB}'
    assert line_of(PAIR.public, limits=Limits.NONE, sources="::1").startswith('from="::1" ssh-ed25519 ')


@pytest.mark.parametrize("comment", ["a\nssh-rsa AAAA", 'x" y', "a b\t\r\0", "é;$(id)`id`", "z" * 500])
def test_a_comment_cannot_become_anything_else(comment: str) -> None:
    line = line_of(PAIR.public, comment=comment)
    assert line.startswith(f"restrict,pty ssh-ed25519 {BLOB} ")
    assert len(line.split(" ")) == 4
    assert line.isascii()
    assert line.isprintable()
    assert len(line.split(" ")[3]) <= authorise.COMMENT_LIMIT


@pytest.mark.parametrize("sources", ['10.0.0.1" ', "a b", "1\n2", 'x",command="id', "a" * 600])
def test_sources_that_could_end_the_option_are_refused(sources: str) -> None:
    with pytest.raises(ValueError, match="Sources are"):
        line_of(PAIR.public, sources=sources)


@pytest.mark.parametrize(
    "key", ["", "ssh-ed25519", "ssh-ed25519 !!!", f"ssh-rsa {BLOB}"], ids=["none", "kind", "noise", "kinds differ"]
)
def test_what_is_no_public_key_makes_no_line(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        line_of(key)

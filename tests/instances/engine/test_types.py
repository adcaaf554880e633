import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.engine import errors
from instances.engine.errors import EngineError
from instances.engine.types import Command, HostKey, KeyAuth, PasswordAuth, StopCause, StopSignal
from tests.support.ssh_server import new_host_key

LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def test_a_host_key_is_read_and_written() -> None:
    key = HostKey.parse(LINE + " git@example")
    assert key.algorithm == "ssh-ed25519"
    assert key.fingerprint == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
    assert key.line == LINE
    assert HostKey.parse(key.line) == key
    assert HostKey.parse(new_host_key("ssh-rsa").line).algorithm == "ssh-rsa"


@given(st.text() | st.text().map(lambda text: "ssh-ed25519 " + text))
def test_what_is_no_host_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host key"):
        HostKey.parse(text)


def test_a_key_of_another_kind_than_it_says_is_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        HostKey.parse(LINE.replace("ssh-ed25519", "ssh-rsa"))


def test_secrets_are_not_shown() -> None:
    shown = repr([PasswordAuth("u", "SECRET"), KeyAuth("u", b"SECRET", "SECRET")])
    assert "SECRET" not in shown
    assert "SECRET" not in repr(Command("SECRET", marker=None))  # type: ignore[arg-type]


async def test_the_first_cause_of_a_stop_stays() -> None:
    stop = StopSignal()
    heard: list[StopCause | None] = []
    stop.listen(lambda: heard.append(stop.cause))
    assert stop.cause is None
    stop.request(StopCause.SHUTDOWN)
    stop.request(StopCause.USER)
    assert await stop.wait() is StopCause.SHUTDOWN
    stop.listen(lambda: heard.append(stop.cause))
    assert heard == [StopCause.SHUTDOWN, StopCause.SHUTDOWN]


def test_every_error_has_a_reason_and_says_whether_the_command_ran() -> None:
    def below(kind: type[EngineError]) -> list[type[EngineError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in below(child))]

    key = HostKey.parse(LINE)
    for kind in below(errors.ConnectError):
        error = kind(key) if issubclass(kind, errors.HostKeyError) else kind()
        assert error.reason
        assert "did not run" in str(error)
        assert kind.__name__ in (errors.__doc__ or "") or kind is errors.HostKeyError

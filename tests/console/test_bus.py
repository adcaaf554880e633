import asyncio
import selectors

import pytest

from console import bus


class Layer:
    def __init__(self):
        self.sent = 0

    async def group_send(self, group, message):
        assert (group, message) == (bus.WAKE_GROUP, {"type": "wake"})
        self.sent += 1


class Ringing:
    """A bell that rings all the time."""

    async def changed(self, within_s):
        await asyncio.sleep(0.001)
        return True


class Clockwork(selectors.DefaultSelector):
    """Time passes while everybody waits for it, and at no other time."""

    now = 0.0

    def select(self, timeout=None):
        self.now += timeout or 0.0
        return super().select(0)


def clockwork_loop():
    selector = Clockwork()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now
    return loop


def passed_on(monkeypatch, seconds):
    """How many wake-ups viewers get in so many seconds."""
    layer = Layer()
    monkeypatch.setattr(bus, "get_channel_layer", lambda: layer)

    async def pass_on():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await bus.pass_on_to_viewers(Ringing())

    with asyncio.Runner(loop_factory=clockwork_loop) as runner:
        runner.run(pass_on())
    return layer.sent


@pytest.fixture(autouse=True)
def nobody_watches(monkeypatch):
    monkeypatch.setattr(bus, "_viewers", set())


def test_the_first_few_wake_ups_are_passed_on_at_once(monkeypatch):
    bus._viewers.update(map(str, range(1000)))
    assert passed_on(monkeypatch, 0.04) >= bus.WAKES_AT_ONCE


@pytest.mark.parametrize(("viewers", "per_s"), [(0, 100), (2, 100), (5, 40), (10, 20), (1000, 20)])
def test_wake_ups_are_coalesced_more_the_more_watch(monkeypatch, viewers, per_s):
    bus._viewers.update(map(str, range(viewers)))
    assert 0 <= passed_on(monkeypatch, 10) - 10 * per_s <= bus.WAKES_AT_ONCE + 1
    assert bus._wake_gap_s() == pytest.approx(1 / per_s)


async def test_a_viewer_counts_for_as_long_as_it_listens():
    await bus.listen_for_wakes("one")
    await bus.listen_for_wakes("one")
    assert bus._viewers == {"one"}
    await bus.forget_wakes("one")
    assert not bus._viewers

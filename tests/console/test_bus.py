import asyncio

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


async def passed_on(monkeypatch, seconds):
    layer = Layer()
    monkeypatch.setattr(bus, "get_channel_layer", lambda: layer)
    try:
        async with asyncio.timeout(seconds):
            await bus.pass_on_to_viewers(Ringing())
    except TimeoutError:
        return layer.sent
    raise AssertionError


async def test_the_first_few_wake_ups_are_passed_on_at_once(monkeypatch):
    assert await passed_on(monkeypatch, 0.04) >= bus.WAKES_AT_ONCE


async def test_many_wake_ups_are_coalesced(monkeypatch):
    assert await passed_on(monkeypatch, 0.5) <= bus.WAKES_AT_ONCE + 0.5 * bus.WAKES_PER_S + 1

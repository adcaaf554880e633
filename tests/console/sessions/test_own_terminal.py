"""The terminal a command runs in: a real PTY, whose attributes say how it was left."""

import asyncio
import fcntl
import os
import select
import struct
import termios

import pytest

from console.sessions.own_terminal import OwnTerminal
from instances.engine.transport import Size


class Keys:
    def __init__(self):
        self.typed = bytearray()
        self.is_gone = False
        self.changed = asyncio.Event()

    def pressed(self, data):
        self.typed += data
        self.changed.set()

    def hung_up(self):
        self.is_gone = True
        self.changed.set()

    async def until(self, condition):
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Window:
    """The other side of the terminal."""

    def __init__(self):
        self.keys, self.screen = os.openpty()
        self.usual = termios.tcgetattr(self.screen)
        self.own = OwnTerminal(self.screen)

    def shown(self):
        return os.read(self.keys, 65536)

    def is_as_it_was(self):
        return termios.tcgetattr(self.screen) == self.usual


@pytest.fixture
def window():
    window = Window()
    yield window
    window.own.close()
    os.close(window.screen)
    os.close(window.keys)


async def test_every_key_comes_as_it_is_and_nothing_is_echoed(window):
    keys = Keys()
    with window.own.raw(keys):
        os.write(window.keys, b"\x03\x04\x1a\r\n\x13")
        await keys.until(lambda: len(keys.typed) == 6)
        window.own.show(b"only this\n")
        assert window.shown() == b"only this\n"
    assert keys.typed == b"\x03\x04\x1a\r\n\x13"
    assert window.is_as_it_was()


async def test_it_is_put_back_after_an_error_with_the_modes_a_program_left(window):
    def broken():
        with window.own.raw(Keys()):
            window.own.show(b"\x1b[?1049h\x1b[?1000;1006h\x1b[?25l\x1b[5;10r\x1b[31m")
            assert window.own.is_full_screen
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert window.is_as_it_was()
    put_back = bytearray()
    while not put_back.endswith(b"\r\n") and select.select([window.keys], [], [], 60)[0]:
        put_back += window.shown()
    for sequence in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?1006l", b"\x1b[?25h", b"\x1b[r", b"\x1b[0m"):
        assert sequence in put_back


async def test_what_nobody_reads_waits_and_does_not_keep_it_from_being_put_back(window):
    flood = b"x" * 1_000_000
    with window.own.raw(Keys()):
        window.own.show(flood)
        drained = asyncio.get_running_loop().create_task(window.own.drained())
        got = 0
        while got < 500_000:
            got += len(await asyncio.to_thread(window.shown))
        assert not drained.done()
        drained.cancel()
    assert window.is_as_it_was()


async def test_what_was_typed_for_the_other_side_is_not_left_for_the_shell(window):
    with window.own.raw(Keys()):
        window.own.read(False)
        os.write(window.keys, b"rm -rf x\r")
    os.set_blocking(window.screen, False)
    with pytest.raises(BlockingIOError):
        os.read(window.screen, 100)


async def test_its_file_is_its_own(window):
    with window.own.raw(Keys()):
        assert os.get_blocking(window.screen)


async def test_a_terminal_that_goes_away_is_told():
    window, keys = Window(), Keys()
    with window.own.raw(keys):
        os.close(window.keys)
        await keys.until(lambda: keys.is_gone)
    window.own.close()
    os.close(window.screen)


def test_its_size_is_the_usual_one_where_it_has_none(window):
    assert window.own.size == Size(80, 24)
    fcntl.ioctl(window.screen, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 101, 0, 0))
    assert window.own.size == Size(101, 31)


def test_without_a_terminal_there_is_none():
    reading, writing = os.pipe()
    with pytest.raises(OSError):  # noqa: PT011
        OwnTerminal(reading)
    os.close(reading)
    os.close(writing)

"""Networks of a test's own: namespaces linked with this one, whose links can be cut."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@contextmanager
def network(name: str, *links: tuple[str, str]) -> Iterator[tuple[str, ...]]:
    """A network namespace with one end of each link (interface, address); what runs in it has this in front."""
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        prefix = ("ip", "netns", "exec", name)
        subprocess.run([*prefix, "ip", "link", "set", "lo", "up"], check=True)
        for interface, address in links:
            subprocess.run(["ip", "link", "set", interface, "netns", name], check=True)
            subprocess.run([*prefix, "ip", "addr", "add", address, "dev", interface], check=True)
            subprocess.run([*prefix, "ip", "link", "set", interface, "up"], check=True)
        yield prefix
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@dataclass(frozen=True)
class Link:
    """The way to a namespace; what runs there has ``prefix`` in front, and is at ``net``.1."""

    interface: str
    net: str
    prefix: tuple[str, ...]

    def cut(self) -> None:
        """Lose everything on the way, in both directions, without a word to either side."""
        subprocess.run(["ip", "link", "set", self.interface, "down"], check=True)

    def mend(self) -> None:
        """Let it through again."""
        subprocess.run(["ip", "link", "set", self.interface, "up"], check=True)


@contextmanager
def link() -> Iterator[Link]:
    """A namespace and the one way to it."""
    number = next(number for number in range(250) if _is_added(number))
    ours, theirs, net = f"ml{number}a", f"ml{number}b", f"10.215.{number}"
    try:
        with network(f"muster-l{number}", (theirs, f"{net}.1/24")) as prefix:
            subprocess.run(["ip", "addr", "add", f"{net}.2/24", "dev", ours], check=True)
            subprocess.run(["ip", "link", "set", ours, "up"], check=True)
            yield Link(ours, net, prefix)
    finally:
        subprocess.run(["ip", "link", "del", ours], check=False, capture_output=True)


def _is_added(number: int) -> bool:
    """Make the pair of a number, unless another process has that one."""
    pair = ["ip", "link", "add", f"ml{number}a", "type", "veth", "peer", "name", f"ml{number}b"]
    return subprocess.run(pair, check=False, capture_output=True).returncode == 0

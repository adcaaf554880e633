"""Reads addresses as people write them, ``[user@]host[:port]``, and lets nothing else through.

What passes here is a user name, a host name or IP literal, and a port number: never an option, a scheme, a
blank or a control character.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import idna
from django.core.exceptions import ValidationError

from instances.credentials.user_names import check_user_name
from instances.inventory.errors import AddressInvalid

if TYPE_CHECKING:
    from instances.inventory.models import Instance

DEFAULT_PORT = 22
LOCAL_HOST = "localhost"

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# getaddrinfo reads 0, 127.1, 2130706433 and 0x7f.1 as IPv4 addresses; no real name ends in such a label.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_EXAMPLE = "such as web-1.example.com, deploy@10.0.0.4:2222 or [2001:db8::7]:22"
_TEXT_LIMIT = 400


@dataclass(frozen=True)
class Address:
    """Where an instance is and as whom to sign in. ``host`` is lower case ASCII; ``user`` is empty when not given.

    ``is_local`` means the console's own machine, reached without SSH.
    """

    host: str
    port: int = DEFAULT_PORT
    user: str = ""
    is_local: bool = False

    def __str__(self) -> str:
        if self.is_local:
            return LOCAL_HOST
        host = f"[{self.host}]" if ":" in self.host and self.port != DEFAULT_PORT else self.host
        port = f":{self.port}" if self.port != DEFAULT_PORT else ""
        # A bare "localhost" would read as the console's own machine, without SSH.
        if host == LOCAL_HOST and not self.user and not port:
            port = f":{self.port}"
        return f"{self.user}@{host}{port}" if self.user else f"{host}{port}"


def parse(text: str) -> Address:
    """Read one address; ``localhost`` or ``.`` alone is the console's own machine.

    Raises: AddressInvalid, with what is wrong.
    """
    text = text.strip()
    if not text:
        raise AddressInvalid(f"Enter an address, {_EXAMPLE}.")
    if len(text) > _TEXT_LIMIT:
        raise AddressInvalid("This is too long for an address.")
    if any(char.isspace() or not char.isprintable() for char in text):
        raise AddressInvalid("An address has no blanks or control characters.")
    if "://" in text:
        raise AddressInvalid(f"Leave out the part up to ://, and write only the address, {_EXAMPLE}.")
    user, at, place = text.rpartition("@")
    host, port = _split_port(place)
    if host == ".":
        if at or port:
            raise AddressInvalid("The dot alone is the console's own machine: leave out the user and the port.")
        return Address(LOCAL_HOST, is_local=True)
    if at:
        _check_user(user)
    address = Address(_host(host), _port(port), user)
    if address == Address(LOCAL_HOST) and not port:
        return Address(LOCAL_HOST, is_local=True)
    return address


def address_of(instance: "Instance") -> Address:
    """Return where an instance is, in the form people write."""
    return Address(instance.address, instance.port, instance.user_name, instance.is_local)


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address when the host is one, None when it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _split_port(place: str) -> tuple[str, str]:
    if place.startswith("["):
        inside, bracket, rest = place[1:].partition("]")
        if not bracket or not isinstance(ip_of(inside), ipaddress.IPv6Address):
            raise AddressInvalid("Only an IPv6 address goes between [ and ], such as [2001:db8::7]:22.")
        if rest and not rest.startswith(":"):
            raise AddressInvalid("After ] only a port can follow, such as [2001:db8::7]:22.")
        if rest == ":":
            raise AddressInvalid("The port after the colon is missing.")
        return inside, rest[1:]
    if place.count(":") > 1:
        return place, ""
    host, colon, port = place.partition(":")
    if colon and not port:
        raise AddressInvalid("The port after the colon is missing.")
    return host, port


def _check_user(user: str) -> None:
    if not user:
        raise AddressInvalid("The user name before the @ is missing.")
    try:
        check_user_name(user)
    except ValidationError as error:
        raise AddressInvalid(error.messages[0]) from error


def _port(text: str) -> int:
    if not text:
        return DEFAULT_PORT
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise AddressInvalid("The port is a number from 1 to 65535.")
    return int(text)


def _host(text: str) -> str:
    if not text:
        raise AddressInvalid(f"The host is missing. Write an address, {_EXAMPLE}.")
    if text.startswith("-"):
        raise AddressInvalid("A host cannot begin with a dash.")
    if "%" in text:
        raise AddressInvalid("Addresses with a % zone cannot be used.")
    ip = ip_of(text)
    if ip is not None:
        # ::ffff:127.0.0.1 is 127.0.0.1 for the network, so it is for every list of networks too.
        return str(getattr(ip, "ipv4_mapped", None) or ip)
    if ":" in text:
        raise AddressInvalid("This is not an IPv6 address. Write one such as [2001:db8::7]:22.")
    return _name(text)


def _name(text: str) -> str:
    try:
        name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode()
    except UnicodeError as error:
        raise AddressInvalid(f"“{text}” is not a host name.") from error
    labels = name.removesuffix(".").split(".")
    name = ".".join(labels)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressInvalid(f"“{text}” is not a host name. Write an address, {_EXAMPLE}.")
    if _NUMBER.fullmatch(labels[-1]):
        raise AddressInvalid("This is not a complete IPv4 address. Write four numbers, such as 10.0.0.4.")
    return name

"""What counts as an address, and everything that must not."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.inventory.addresses import Address, parse
from instances.inventory.errors import AddressInvalid

LABEL = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=12)
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join).filter(lambda name: any(c.isalpha() for c in name[-1:]))
HOST = st.one_of(NAME, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
USER = st.text(string.ascii_letters + string.digits + "._@\\-", min_size=1, max_size=64).filter(
    lambda user: not user.startswith("-")
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("web-1", Address("web-1")),
        ("WEB-1.Example.com.", Address("web-1.example.com")),
        ("10.0.0.4:2222", Address("10.0.0.4", 2222)),
        ("deploy@10.0.0.4", Address("10.0.0.4", 22, "deploy")),
        ("deploy@web-1:2222", Address("web-1", 2222, "deploy")),
        ("ana@corp.example@web-1", Address("web-1", 22, "ana@corp.example")),
        ("CORP\\ana@win-1", Address("win-1", 22, "CORP\\ana")),
        ("2001:db8::7", Address("2001:db8::7")),
        ("[2001:DB8::7]", Address("2001:db8::7")),
        ("root@[2001:db8::7]:2222", Address("2001:db8::7", 2222, "root")),
        ("root@2001:db8::7", Address("2001:db8::7", 22, "root")),
        ("::ffff:127.0.0.1", Address("127.0.0.1")),
        ("bücher.example", Address("xn--bcher-kva.example")),
        ("my_host", Address("my_host")),
        ("localhost", Address("localhost", is_local=True)),
        (".", Address("localhost", is_local=True)),
        ("localhost:22", Address("localhost", 22)),
        ("root@localhost", Address("localhost", 22, "root")),
        ("  web-1\n", Address("web-1")),
    ],
)
def test_reads_what_people_write(text: str, address: Address) -> None:
    assert parse(text) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "-oProxyCommand=touch /tmp/x",
        "-oProxyCommand=x",
        "-host",
        "-l@host",
        "@host",
        "root@",
        "user name@host",
        "a b",
        "host\nname",
        "host\x00",
        "host\u202ename",
        "ssh://host",
        "host/path",
        "host?x",
        "host;id",
        "$(id)",
        "`id`@host",
        "%h",
        "fe80::1%eth0",
        "[fe80::1%eth0]",
        "[10.0.0.1]",
        "[::1",
        "[::1]x",
        "[::1]:",
        "host:",
        "host:0",
        "host:65536",
        "host:+22",
        "host:22x",
        "host:٢٢",
        ":22",
        "0",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "256.1.1.1",
        "1.2.3.4.5",
        "\uff11\uff12\uff17.1",
        "a..b",
        "host-",
        "x" * 64,
        ".".join(["abcdefgh"] * 30),
        "x" * 10_000,
        "u" * 65 + "@host",
        "root@.",
        ".:22",
        "1:2:3",
        "gggg::1",
    ],
)
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(AddressInvalid) as refusal:
        parse(text)
    assert str(refusal.value).endswith(".")


@given(host=HOST, port=st.integers(1, 65535), user=st.one_of(st.just(""), USER))
def test_what_is_written_reads_back(host: str, port: int, user: str) -> None:
    address = parse(f"{user}@[{host}]:{port}" if ":" in host and user else str(Address(host, port, user)))
    assert parse(str(address)) == address
    assert address.port == port
    assert address.user == user


@given(st.text())
def test_nothing_but_harmless_characters_gets_through(text: str) -> None:
    try:
        address = parse(text)
    except AddressInvalid:
        return
    allowed = set(string.ascii_lowercase + string.digits + ".-_:")
    assert set(address.host) <= allowed
    assert not address.host.startswith("-")
    assert not address.user.startswith("-")
    assert set(address.user) <= set(string.ascii_letters + string.digits + "._@\\-")
    assert parse(str(address)) == address


@given(
    st.sampled_from(["-", " ", "\n", "\t", "\x1b", "\x00", "$(", "`", ";", "|", "&", "%", "/", "'", '"', "="]),
    st.data(),
)
def test_a_nasty_character_anywhere_in_the_host_is_refused(nasty: str, data: st.DataObject) -> None:
    name = "web.example.com"
    place = 0 if nasty == "-" else data.draw(st.integers(1, len(name) - 1))
    with pytest.raises(AddressInvalid):
        parse(f"{name[:place]}{nasty}{name[place:]}")

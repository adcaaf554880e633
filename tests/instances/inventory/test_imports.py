"""Imports: what a CSV table or an OpenSSH configuration means, before and after it is confirmed."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.access.models import Role
from instances.audit.models import AuditEntry
from instances.inventory.comparison import compare
from instances.inventory.imports import read_csv, read_ssh_config
from instances.inventory.models import Instance
from instances.inventory.paste import Line, to_add
from instances.inventory.services import add_many
from tests.support.factories import CredentialFactory, GroupFactory, InstanceFactory, UserFactory

pytestmark = pytest.mark.django_db


def of_csv(text: str, actor: Any = None) -> list[Line]:
    actor = actor or UserFactory()
    lines, remarks = read_csv(actor, text)
    assert remarks == []
    return compare(actor, lines)


def of_ssh(text: str, actor: Any = None) -> list[Line]:
    return compare(actor or UserFactory(), read_ssh_config(text)[0])


def refused(text: str) -> str:
    lines, remarks = read_csv(UserFactory(), text)
    assert lines == []
    return remarks[0].text


def added(lines: list[Line]) -> dict[str, tuple[str, str]]:
    """Add what the lines promise; name → (address, chain)."""
    add_many(UserFactory(), new=to_add(lines))
    found = {}
    for row in Instance.objects.select_related("jump"):
        user = f"{row.user_name}@" if row.user_name else ""
        found[row.name] = (f"{user}{row.address}:{row.port}", row.jump.name if row.jump else "")
    return found


# ------------------------------------------------------------------ tables


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_read(delimiter: str, end: str) -> None:
    group = GroupFactory(name="Berlin")
    rows = (
        ["Name", " address", "port", "user", "os", "group", "tags", "role"],
        ["web-1", "10.0.0.4", "2222", "deploy", "", "Berlin", "env=prod team=a", "web"],
        ["", "ops@db.example.com", "", "", "macos", "", "", ""],
        ["six", "2001:db8::7", "2222", "root", "Linux", "", "", ""],
    )
    lines = of_csv("\ufeff" + end.join(delimiter.join(row) for row in rows) + end)
    assert [(line.number, line.error) for line in lines] == [(2, ""), (3, ""), (4, "")]
    one, two, three = to_add(lines)
    assert (str(one.address), one.name, one.group) == ("deploy@10.0.0.4:2222", "web-1", group)
    assert one.tags == {"env": "prod", "team": "a", "role": "web"}
    assert (str(two.address), two.wanted_name, two.os, two.tags) == (
        "ops@db.example.com",
        "db.example.com",
        "macos",
        {},
    )
    assert str(three.address) == "root@[2001:db8::7]:2222"
    add_many(UserFactory(), new=[one, two, three])
    assert Instance.objects.get(name="web-1").group == group
    assert dict(Instance.objects.get(name="web-1").tags.values_list("key", "value")) == one.tags


def test_quoted_values_keep_delimiters_and_line_numbers() -> None:
    lines = of_csv('address,name\n"10.0.0.1","a, b"\n10.0.0.2,"two\nlines"\n\n10.0.0.3,c\n')
    assert [line.number for line in lines] == [2, 3, 6]
    assert "visible characters" in lines[1].error
    assert [one.name for one in to_add(lines)] == ["a, b", "c"]


def test_errors_name_their_line_and_the_others_stay() -> None:
    InstanceFactory(name="taken", address="10.9.0.1")
    lines = of_csv(
        "name,address,port,os,group,tags,via\n"
        "a,10.0.0.1\n"
        "b,host:99999\n"
        "c,10.0.0.3,0\n"
        "d,10.0.0.4,,beos\n"
        "e,10.0.0.5,,,Nowhere\n"
        "f,10.0.0.6,,,,prod\n"
        "g,10.0.0.7,,,,,nobody\n"
        "a,10.0.0.8\n"
        "taken,10.0.0.9\n"
        "h,10.9.0.1\n"
        "i,10.0.0.1\n"
        "j,10.0.0.10,22,,,,,too,many\n"
        "k,127.0.0.1\n"
        "l,10.0.0.11:2222,23\n"
    )
    wrong = {line.number: line.error for line in lines if line.error}
    assert sorted(wrong) == [3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15]
    assert "beos" not in wrong[5]
    assert "“nobody”" in wrong[8]
    assert "line 2" in wrong[9]
    assert "9 values for 7 columns" in wrong[13]
    assert {line.number: line.there for line in lines if line.there} == {11: "instance taken", 12: "line 2"}
    assert [one.name for one in to_add(lines)] == ["a"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "one of them is address"),
        ("10.0.0.1,web-1\n", "one of them is address"),
        ("address,name,name\n", "“name” is there twice"),
        ("address,,name\n", "no name"),
        ("address,password\n", "looks like secrets"),
        ("address,SSH Passphrase\n", "looks like secrets"),
        ("address,two words\n", "cannot be a tag's key"),
        ('address,"open\n', "unexpected end of data"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(text: str, says: str) -> None:
    assert says in refused(text)


def test_a_table_that_breaks_off_keeps_the_lines_before() -> None:
    lines = of_csv('address,name\n10.0.0.1,a\n10.0.0.2,"b')
    assert [(line.number, bool(line.error)) for line in lines] == [(2, False), (3, True)]


def test_formulas_stay_text() -> None:
    (line,) = of_csv("address,name\n10.0.0.1,\"=HYPERLINK('http://x')\"\n")
    assert added([line]) == {"=HYPERLINK('http://x')": ("10.0.0.1:22", "")}


def test_chains_in_a_table_in_any_order() -> None:
    InstanceFactory(name="gate", address="10.5.0.1")
    lines = of_csv("name,address,via\nc,10.0.0.3,b\nb,10.0.0.2,a\na,10.0.0.1,gate\n")
    assert {line.error for line in lines} == {""}
    assert added(lines) == {
        "gate": ("10.5.0.1:22", ""),
        "a": ("10.0.0.1:22", "gate"),
        "b": ("10.0.0.2:22", "a"),
        "c": ("10.0.0.3:22", "b"),
    }


def test_circles_and_long_chains_in_a_table_are_errors() -> None:
    lines = of_csv("name,address,via\na,10.0.0.1,b\nb,10.0.0.2,a\nself,10.0.0.3,self\nc,10.0.0.4,a\n")
    assert [line.error.split(":")[0].split(",")[0] for line in lines] == [
        "It is reached through itself",
        "It is reached through itself",
        "It is reached through itself",
        "Its jump host",
    ]
    long = "\n".join(f"n{number},10.0.1.{number},n{number - 1}" for number in range(1, 11))
    lines = of_csv(f"name,address,via\nn0,10.0.1.0,\n{long}\n")
    assert [bool(line.error) for line in lines] == [False] * 9 + [True] * 2


def test_the_same_address_behind_another_jump_host_is_another_machine() -> None:
    gate = InstanceFactory(name="gate")
    InstanceFactory(name="there", address="10.0.0.1", jump=gate)
    lines = of_csv("name,address,via\nx,10.0.0.1,gate\ny,10.0.0.1,\nz,10.0.0.2,there\n")
    assert [line.there for line in lines] == ["instance there", "", ""]
    assert [one.name for one in to_add(lines)] == ["y", "z"]


def test_what_is_there_already_carries_the_chain_on() -> None:
    InstanceFactory(name="old name", address="10.0.0.1")
    lines = of_csv("name,address,via\nnew name,10.0.0.1,\nbehind,10.0.0.2,new name\n")
    assert lines[0].there == "instance old name"
    assert added(lines)["behind"] == ("10.0.0.2:22", "old name")


def test_a_jump_host_of_others_is_none_that_may_be_used() -> None:
    mine = GroupFactory()
    InstanceFactory(name="gate", group=GroupFactory(), address="10.5.0.1")
    actor = UserFactory(role=Role.ADMINISTRATOR, role_group=mine)
    lines = of_csv("name,address,via\na,10.0.0.1,gate\ng,10.5.0.1,\nb,10.0.0.2,g\n", actor)
    assert "may use" in lines[0].error
    assert "may use" in lines[2].error


@given(st.text(alphabet='abc,;\t"\n\r=@:.1', max_size=120))
@settings(max_examples=60)
def test_no_table_breaks_it(text: str) -> None:
    actor = UserFactory()
    lines, remarks = read_csv(actor, "address,name,via\n" + text)
    assert remarks == []
    for line in compare(actor, lines):
        assert line.error or line.there or line.new


def test_ten_thousand_lines_behind_one_jump_host(django_assert_max_num_queries: Any) -> None:
    InstanceFactory(name="gate")
    actor = UserFactory()
    text = "address,name,via\n" + "\n".join(f"10.{n // 250}.{n % 250}.1,web-{n},gate" for n in range(10_000))
    begin = time.process_time()
    with django_assert_max_num_queries(30):
        lines = of_csv(text, actor)
    assert len(to_add(lines)) == 10_000
    # In batches of rows, not one for each.
    with django_assert_max_num_queries(300):
        add_many(actor, new=to_add(lines))
    assert Instance.objects.filter(jump__name="gate").count() == 10_000
    assert time.process_time() - begin < 30


# ------------------------------------------------------------------ OpenSSH configurations


def test_a_configuration_becomes_instances_with_their_chains() -> None:
    lines = of_ssh(
        """
Host gate
  HostName gate.example.com
  User jump
Host web-1 web-2
  HostName %h.internal
  ProxyJump gate
Host db
  HostName 2001:db8::7
  ProxyJump gate,ops@inner:2222
  IdentityFile ~/.ssh/db
  ForwardAgent yes
Host far
  ProxyJump web-1
Host *
  Port 2022
"""
    )
    assert {line.error for line in lines} == {""}
    (db,) = [line for line in lines if line.text == "Host db"]
    assert db.note == "~/.ssh/db: not read. Keep the key under Credentials. Left out: forwardagent."
    assert added(lines) == {
        "gate": ("jump@gate.example.com:2022", ""),
        "web-1": ("web-1.internal:2022", "gate"),
        "web-2": ("web-2.internal:2022", "gate"),
        "ops@inner:2222": ("ops@inner:2222", "gate"),
        "db": ("2001:db8::7:2022", "ops@inner:2222"),
        "far": ("far:2022", "web-1"),
    }


def test_the_same_host_on_two_ways_is_two_instances() -> None:
    lines = of_ssh("Host a\nHost b\nHost c\n  ProxyJump a,b\n")
    assert added(lines) == {
        "a": ("a:22", ""),
        "b": ("b:22", ""),
        "b through a": ("b:22", "a"),
        "c": ("c:22", "b through a"),
    }


def test_jump_hosts_that_are_there_are_matched_by_name_or_address() -> None:
    InstanceFactory(name="bastion", address="10.5.0.1", user_name="deploy")
    InstanceFactory(name="other", address="other.example.com", user_name="deploy")
    lines = of_ssh("Host a\n  ProxyJump bastion\nHost b\n  ProxyJump other.example.com\n")
    assert [line.there for line in lines if line.is_jump] == ["instance bastion", "instance other"]
    found = added(lines)
    assert (found["a"][1], found["b"][1]) == ("bastion", "other")


def test_a_configuration_in_which_a_host_is_behind_itself() -> None:
    lines = of_ssh("Host a gate\nHost *\n  ProxyJump gate\n")
    assert all("through itself" in line.error for line in lines)
    lines = of_ssh("Host a\nHost b\n  HostName -oops\nHost c\n ProxyJump b\nHost *\n  User x\n")
    assert [bool(line.error) for line in lines] == [False, True, True]


def test_nothing_named_in_a_configuration_is_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Whoever opened the pipe would hang.
    lines = of_ssh(f"Include {pipe}\nHost a\n  IdentityFile {pipe}\n  UserKnownHostsFile {pipe}\n")
    assert [line.new is not None for line in lines] == [True]


@given(
    st.lists(
        st.sampled_from(
            [
                "Host a",
                "Host b c",
                "Host *",
                "ProxyJump a",
                "ProxyJump b,c",
                "ProxyJump x@c:1,d",
                "HostName h",
                "Port 2",
            ]
        ),
        max_size=12,
    )
)
@settings(max_examples=60)
def test_whatever_a_configuration_promises_can_be_added(lines: list[str]) -> None:
    Instance.objects.update(jump=None)
    Instance.objects.all().delete()
    read = of_ssh("\n".join(lines))
    new = to_add(read)
    assert len(add_many(UserFactory(), new=new)) == len(new)


# ------------------------------------------------------------------ the page


@pytest.fixture
def client() -> Client:
    found = Client()
    found.force_login(UserFactory(), backend="django.contrib.auth.backends.ModelBackend")
    return found


URL = "/instances/import/"


def test_a_file_is_shown_first_and_added_when_confirmed(client: Client) -> None:
    assert reverse("import-instances") == URL
    assert URL in client.get("/").content.decode()
    group, credential = GroupFactory(), CredentialFactory()
    given = {"kind": "csv", "group": group.pk, "credential": credential.pk}
    table = "address,name,via,role\n10.0.0.1,gate,,\n10.0.0.2,<b>web</b>,gate,web\nwrong host,x,,\n"
    answer = client.post(URL, given | {"file": SimpleUploadedFile("hosts.csv", table.encode())})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "Add 2 instances, leave out 1" in page
    assert "Line 4" in page
    assert "&lt;b&gt;web&lt;/b&gt;" in page
    assert answer.context["form"]["text"].value() == table
    assert not Instance.objects.exists()
    answer = client.post(URL, given | {"text": table, "expected": "2", "confirm": "yes"})
    assert answer.status_code == 302
    row = Instance.objects.get(name="<b>web</b>")
    assert (row.jump.name, row.group, row.credential) == ("gate", group, credential)  # type: ignore[union-attr]
    assert AuditEntry.objects.filter(action="add_instances").count() == 1


def test_the_number_shown_is_the_number_added(client: Client) -> None:
    given = {"kind": "csv", "text": "address\n10.0.0.1\n10.0.0.2\n", "expected": "1", "confirm": "yes"}
    assert client.post(URL, given).status_code == 200
    assert not Instance.objects.exists()


def test_a_configuration_on_the_page(client: Client) -> None:
    InstanceFactory(name="gate", address="10.5.0.1")
    text = "Include more\nHost gate\n  HostName 10.5.0.1\nHost a\n  ProxyJump gate\n  IdentityFile ~/.ssh/k\n"
    page = client.post(URL, {"kind": "ssh_config", "text": text}).content.decode()
    assert "Include is not read" in page
    assert "1 line names what is there already" in page
    assert "~/.ssh/k: not read" in page
    assert "Add 1 instance" in page


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("address\n10.0.0.1\nmünchen".encode("latin-1"), "not UTF-8 (byte 19)"),
        ("address\n10.0.0.1\n".encode("utf-16"), "not UTF-8"),
        (b"", "file is empty"),
    ],
)
def test_a_file_that_is_not_text_is_refused_beside_the_field(client: Client, content: bytes, says: str) -> None:
    answer = client.post(URL, {"kind": "csv", "file": SimpleUploadedFile("hosts.csv", content)})
    assert answer.status_code == 422
    assert says in str(answer.context["form"].errors["file"])


def test_nothing_to_read_is_said(client: Client) -> None:
    answer = client.post(URL, {"kind": "csv", "text": ""})
    assert (answer.status_code, "Choose a file" in answer.content.decode()) == (422, True)
    answer = client.post(URL, {"kind": "csv", "text": "name\nx\n"})
    assert (answer.status_code, "one of them is address" in answer.content.decode()) == (422, True)

"""The filter language: what it finds, and that no text breaks it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.inventory.models import OS, Instance, Reach
from instances.inventory.query import Term, matching, parse, selected
from tests.support.factories import GroupFactory, InstanceFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet() -> None:
    eu, us = GroupFactory(name="eu west"), GroupFactory(name="us")
    InstanceFactory(name="web-1", address="10.1.0.1", group=eu, tags={"env": "prod", "role": "web"})
    InstanceFactory(name="web-2", address="10.1.0.2", group=us, tags={"env": "stage", "role": "web"}, is_disabled=True)
    InstanceFactory(
        name="db-1", address="10.2.0.1", group=eu, tags={"env": "prod", "role": "db"}, reach=Reach.UNREACHABLE
    )
    InstanceFactory(name="db-2", address="fe80::2", tags={"env": "dev"}, reach=Reach.REACHABLE, os=OS.WINDOWS)
    InstanceFactory(name="typed-1", is_adhoc=True, tags={"env": "prod"})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "db-1 db-2 web-1 web-2"),
        ("web", "web-1 web-2"),
        ("WEB", "web-1 web-2"),
        ("10.1.", "web-1 web-2"),
        ("web 10.1.0.2", "web-2"),
        ("stage", "web-2"),
        ("fe80::2", "db-2"),
        ("env:prod", "db-1 web-1"),
        ("ENV:Prod", "db-1 web-1"),
        ("env:prod env:stage", "db-1 web-1 web-2"),
        ("env:prod role:db", "db-1"),
        ("env:prod -role:db", "web-1"),
        ("-env:prod !env:stage", "db-2"),
        ("-web", "db-1 db-2"),
        ("env:pro", ""),
        ("role:", "db-1 web-1 web-2"),
        ("tag:role", "db-1 web-1 web-2"),
        ("-tag:role", "db-2"),
        ("name:db", "db-1 db-2"),
        ("address:10.2", "db-1"),
        ("os:windows", "db-2"),
        ("os:Linux env:prod", "db-1 web-1"),
        ("state:unreachable", "db-1"),
        ("state:disabled", "web-2"),
        ("state:unknown", "web-1"),
        ("state:reachable state:unreachable", "db-1 db-2"),
        ('group:"eu west"', "db-1 web-1"),
        ("group:US", "web-2"),
        ("group:none", "db-2"),
        ("colour:red", ""),
        ("state:broken", ""),
        ("os:beos", ""),
        ("100%", ""),
        ("_", ""),
        ('"', "db-1 db-2 web-1 web-2"),
    ],
)
@pytest.mark.usefixtures("fleet")
def test_finds(text: str, names: str) -> None:
    assert " ".join(matching(UserFactory(), text).order_by("name").values_list("name", flat=True)) == names


@pytest.mark.usefixtures("fleet")
def test_a_user_finds_only_what_he_may_see() -> None:
    eu = Instance.objects.get(name="web-1").group
    user = UserFactory(role="viewer", role_group=eu)
    assert set(matching(user, "").values_list("name", flat=True)) == {"web-1", "db-1"}
    assert not matching(UserFactory(role=None), "").exists()
    assert not selected(UserFactory(role=None), query="q=").exists()


@pytest.mark.usefixtures("fleet")
def test_a_group_narrows_the_list() -> None:
    us = Instance.objects.get(name="web-2").group
    assert [row.name for row in matching(UserFactory(), "web", us)] == ["web-2"]


def test_says_what_is_wrong() -> None:
    assert "state: is one of" in parse("state:broken").errors[0]
    assert "os: is one of" in parse("os:beos").errors[0]
    assert parse("x" * 2000).errors
    assert parse("a " * 50).errors
    assert not parse("colour:red env:").errors


def test_a_choice_is_added_and_taken_away() -> None:
    query = parse("web env:prod")
    more = query.with_choice("env", "stage")
    assert str(more) == "web env:prod env:stage"
    assert more.has("env", "Stage")
    assert str(more.without_choice("env", "prod")) == "web env:stage"
    assert str(more.without_key("env")) == "web"


def test_reads_quotes_and_signs() -> None:
    assert parse('-name:"a b" "c d" x:-1').terms == (Term("name", "a b", True), Term("", "c d"), Term("x", "-1"))


@pytest.mark.usefixtures("fleet")
def test_a_selection_by_query_leaves_out_its_exceptions() -> None:
    user = UserFactory()
    left_out = Instance.objects.get(name="web-1")
    found = selected(user, query="q=env%3Aprod&group=", except_ids=str(left_out.pk))
    assert [row.name for row in found] == ["db-1"]
    eu = left_out.group_id
    assert {row.name for row in selected(user, query=f"q=&group={eu}")} == {"web-1", "db-1"}


@pytest.mark.usefixtures("fleet")
def test_a_selection_by_ids_takes_both_forms() -> None:
    first, second = Instance.objects.filter(is_adhoc=False)[:2]
    both = {first.pk, second.pk}
    assert {row.pk for row in selected(UserFactory(), ids=[f"{first.pk},{second.pk}", "x", ""])} == both
    assert {row.pk for row in selected(UserFactory(), ids=[str(first.pk), str(second.pk)])} == both


@pytest.mark.parametrize("query", ["garbage", "query=q", "&&&", "q=&group=x", "a=" + "&a=" * 50])
@pytest.mark.usefixtures("fleet")
def test_a_garbled_selection_is_nothing_and_never_everything(query: str) -> None:
    assert not selected(UserFactory(), query=query).exists()


@given(st.text(max_size=300) | st.text(alphabet='-!:" aenvost.1', max_size=60))
@settings(max_examples=200)
def test_no_text_breaks_the_filter(text: str) -> None:
    query = parse(text)
    assert parse(str(query)) == query
    list(Instance.objects.filter(query.condition())[:1])

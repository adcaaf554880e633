"""A pasted list: what each line means, before anything is saved."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from instances.inventory.models import Instance
from instances.inventory.paste import preview, to_add
from tests.support.factories import InstanceFactory

pytestmark = pytest.mark.django_db


def test_lines_are_read() -> None:
    text = "# web\n\ndeploy@10.0.0.4:2222 web-1 env=prod role=web # first\n  [2001:db8::7]:23 role=db\r\nhost.example"
    new = to_add(preview(text))
    assert [(str(one.address), one.wanted_name, one.tags) for one in new] == [
        ("deploy@10.0.0.4:2222", "web-1", {"env": "prod", "role": "web"}),
        ("[2001:db8::7]:23", "2001:db8::7", {"role": "db"}),
        ("host.example", "host.example", {}),
    ]
    assert not Instance.objects.exists()


def test_errors_name_their_line_and_the_others_stay() -> None:
    InstanceFactory(name="taken", address="10.9.0.1")
    lines = preview(
        "10.0.0.1 a\nhost:99999\n10.0.0.2 a\n10.0.0.1 b\n10.0.0.3 c extra\n10.0.0.4 taken\n10.9.0.1 d\n"
        "127.0.0.1\nlocalhost\n10.0.0.5 e env=1 env=2\nroot@10.0.0.1 f"
    )
    wrong = {line.number: line.error for line in lines if line.error}
    assert sorted(wrong) == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert "line 1" in wrong[3]
    assert "line 1" in wrong[4]
    assert "extra" in wrong[5]
    assert "taken" in wrong[6]
    assert "taken" in wrong[7]
    assert [one.wanted_name for one in to_add(lines)] == ["a", "f"]


def test_two_thousand_lines_take_few_queries_and_little_time(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    text = "\n".join(f"deploy@10.{n // 250}.{n % 250}.1:2222 web-{n} env=prod" for n in range(2000))
    begin = time.process_time()
    with django_assert_max_num_queries(4):
        assert len(to_add(preview(text))) == 2000
    assert time.process_time() - begin < 2


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_no_text_breaks_it(text: str) -> None:
    for line in preview(text):
        assert line.error or line.new

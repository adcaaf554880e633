import pytest

from console.results import search as searching
from console.results.matrix import LETTERS
from console.runs.models import Invocation
from console.runs.status import Status
from instances.access.models import Role
from tests.support import factories, runs

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return user


def page(client, run, path, query="", **headers):
    response = client.get(f"/runs/{run.pk}/{path}{query}", headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def test_groups_are_a_page_with_the_run_and_its_list(client, operator):
    run = runs.ended_with([b"active\n", b"inactive\n", b"active\n"])
    text = page(client, run, "groups/")
    assert "All instances" in text
    assert "2 groups of 3 instances." in text
    assert "web-[01,03]" in text
    assert 'aria-current="true">Groups</a>' in text
    assert 'hx-trigger="every 2s"' not in text


def test_a_run_that_goes_on_asks_again_for_the_list_alone(client, operator):
    run = runs.send(2)
    assert 'hx-trigger="every 2s"' in page(client, run, "groups/")
    part = page(client, run, "groups/", HX_Request="true", HX_Target="div#groups")
    assert part.lstrip().startswith('<div id="groups"')
    assert "and the run goes on" in part


def test_what_is_ignored_is_in_every_address(client, operator):
    run = runs.ended_with([b"web-01 at 10:00:01\n", b"web-02 at 10:00:02\n", b"other\n"])
    text = page(client, run, "groups/", "?times=1&own_name=1")
    assert "2 groups of 3 instances." in text
    assert f"/runs/{run.pk}/groups/diff/?a=0&amp;b=2&amp;times=1&amp;own_name=1" in text
    assert f"/runs/{run.pk}/groups/?times=1&amp;own_name=1&amp;i=0" in text


def test_a_group_can_be_sent_to(client, operator):
    run = runs.ended_with([b"a\n", b"b\n", b"a\n"])
    ids = list(run.invocations.order_by("ordinal").values_list("instance_id", flat=True))
    assert f"/send/?ids={ids[0]},{ids[2]}" in page(client, run, "groups/")


def test_the_difference_of_two_is_a_page(client, operator):
    run = runs.ended_with([b"same\nup\n", b"same\ndown\n"])
    text = page(client, run, "groups/diff/", "?a=0&b=1")
    assert "1 line only in web-01, 1 only in web-02." in text
    assert '<td class="diff__text">down</td>' in text


def test_a_difference_with_what_is_not_there_is_not_found(client, operator):
    run = runs.ended_with([b"a\n"])
    assert client.get(f"/runs/{run.pk}/groups/diff/?a=0&b=9").status_code == 404


def test_removed_output_is_said(client, operator):
    run = runs.ended_with([b"a\n", b"b\n"])
    Invocation.objects.update(output_removed_at=run.finished_at)
    assert "output removed by retention" in page(client, run, "groups/")
    assert "Retention removed one of these outputs" in page(client, run, "groups/diff/", "?a=0&b=1")


def test_one_sees_the_groups_of_what_one_may_see(client):
    group = factories.GroupFactory()
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))
    mine = factories.InstanceFactory(name="mine", group=group)
    run = runs.ended_with([b"same\n", b"secret\n"], instances=[mine, factories.InstanceFactory(name="theirs")])
    text = page(client, run, "groups/")
    assert "1 group of 1 instance." in text
    assert "theirs" not in text
    assert "secret" not in text
    assert client.get(f"/runs/{run.pk}/groups/diff/?a=0&b=1").status_code == 404


def test_output_is_text_whatever_it_holds(client, operator):
    run = runs.ended_with([b"<script>alert(1)</script>\x1b[31mred\n", b"<img onerror=x>\n"])
    for path, query in (("groups/", ""), ("groups/diff/", "?a=0&b=1")):
        text = page(client, run, path, query)
        assert "&lt;script&gt;" in text
        assert "<img onerror" not in text
        assert "\x1b" not in text


def test_reasons_are_said_in_words(client, operator):
    run = runs.ended_with([b"a\n", b"a\n"])
    run.invocations.filter(ordinal=1).update(status=Status.UNREACHABLE, reason="connect_timeout")
    assert "connect timeout" in page(client, run, "groups/")


def test_a_large_view_takes_few_queries(client, operator, django_assert_max_num_queries):
    run = runs.ended_with([f"{number}\n".encode() for number in range(60)])
    with django_assert_max_num_queries(30):
        page(client, run, "groups/")


def test_a_search_leads_to_instance_and_line(client, operator):
    run = runs.ended_with([b"one\nan error here\n", b"fine\n", b"error\n"])
    text = page(client, run, "search/", "?q=error")
    assert f'href="/runs/{run.pk}/search/?q=error&amp;i=0#L2"' in text
    assert "<mark>error</mark>" in text
    assert "All 3 instances searched." in text
    assert "Nothing found in 3 instances." in page(client, run, "search/", "?q=ERROR&case=1")


def test_a_search_can_be_of_one_state(client, operator):
    run = runs.ended_with([b"error\n", (b"error\n", 2)])
    assert "All 1 instance searched." in page(client, run, "search/", "?q=error&status=failed")


def test_a_wrong_pattern_is_said_beside_the_field_and_kept(client, operator):
    run = runs.ended_with([b"a\n"])
    response = client.get(f"/runs/{run.pk}/search/?q=(a&regex=1")
    assert response.status_code == 422
    assert "This is no regular expression that RE2 knows: missing ): (a" in response.content.decode()
    assert 'value="(a"' in response.content.decode()


def test_a_search_goes_on_by_itself_and_by_a_link(client, operator, monkeypatch):
    monkeypatch.setattr(searching, "LINES_OF_ALL", 1)
    run = runs.ended_with([b"hit\n", b"hit\n"])
    text = page(client, run, "search/", "?q=hit")
    on = f"/runs/{run.pk}/search/?q=hit&amp;from=1&amp;lines=1"
    assert f'hx-get="{on}" hx-trigger="load"' in text
    assert f'<a href="{on}">Search on</a>' in text
    part = page(client, run, "search/", "?q=hit&from=1&lines=1", HX_Request="true", HX_Target="p#search-on")
    assert "web-02" in part
    assert "<form" not in part


def test_a_hit_in_a_large_output_leads_to_the_lines_around_it(client, operator):
    run = runs.ended_with([b"".join(b"line %d is here\n" % n for n in range(1, 80_001))])
    text = page(client, run, "search/", "?q=line+50000+")
    address = f"/runs/{run.pk}/search/0/50000/"
    assert f'href="{address}?q=line+50000+"' in text
    around = page(client, run, "search/0/50000/", "?q=line+50000+")
    assert "line 49900 is here" in around
    assert "line 49899 is here" not in around
    assert f'/runs/{run.pk}/search/?q=line+50000+"' in around


def test_one_searches_what_one_may_see(client):
    group = factories.GroupFactory()
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))
    mine = factories.InstanceFactory(name="mine", group=group)
    run = runs.ended_with([b"same\n", b"secret\n"], instances=[mine, factories.InstanceFactory(name="theirs")])
    assert "Nothing found in 1 instance." in page(client, run, "search/", "?q=secret")
    assert client.get(f"/runs/{run.pk}/search/1/1/").status_code == 404


def test_all_lines_are_one_page_with_names_and_a_download(client, operator):
    run = runs.ended_with([b"one\n", b"<b>two\n"])
    text = page(client, run, "combined/")
    assert '<span class="combined__name">web-02</span><span>&lt;b&gt;two</span>' in text
    assert "The end." in text
    response = client.get(f"/runs/{run.pk}/combined/text/")
    assert sorted(b"".join(response.streaming_content).splitlines()) == [b"web-01: one", b"web-02: <b>two"]
    response = client.get(f"/runs/{run.pk}/combined/text/?bare=1&status=succeeded")
    assert sorted(b"".join(response.streaming_content).splitlines()) == [b"<b>two", b"one"]


def test_later_lines_are_asked_for_while_the_run_goes(client, operator):
    run = runs.send(2)
    assert f'hx-get="/runs/{run.pk}/combined/?after=0-0-0&amp;seen=1" hx-trigger="load delay:1s"' in page(
        client, run, "combined/"
    )
    part = page(client, run, "combined/", "?after=0-0-0", HX_Request="true", HX_Target="p#combined-later")
    assert part.strip().startswith('<p id="combined-later"')


def test_lines_of_one_state_alone_can_be_seen(client, operator):
    run = runs.ended_with([b"fine\n", (b"broken\n", 1)])
    text = page(client, run, "combined/", "?status=failed")
    assert "<span>broken</span>" in text
    assert "<span>fine</span>" not in text


def test_the_matrix_has_a_letter_for_each_instance(client, operator):
    run = runs.ended_with([b"a\n", (b"b\n", 1), b"c\n"])
    assert f'data-matrix="/runs/{run.pk}/matrix/data/"' in page(client, run, "matrix/")
    whole = client.get(f"/runs/{run.pk}/matrix/data/?whole=1").json()
    assert (whole["letters"], whole["ordinals"], whole["ended"]) == ("sfs", [0, 1, 2], True)
    assert whole["names"] == ["web-01", "web-02", "web-03"]
    changed = client.get(f"/runs/{run.pk}/matrix/data/?revision=0").json()
    assert set(changed) == {"revision", "letters", "ended"}
    assert client.get(f"/runs/{run.pk}/matrix/data/?revision={whole['revision']}").status_code == 204


def test_the_matrix_leaves_out_what_one_may_not_see(client):
    group = factories.GroupFactory()
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))
    mine = factories.InstanceFactory(name="mine", group=group)
    run = runs.ended_with([b"a\n", b"b\n"], instances=[factories.InstanceFactory(name="theirs"), mine])
    whole = client.get(f"/runs/{run.pk}/matrix/data/?whole=1").json()
    assert (whole["ordinals"], whole["names"]) == ([1], ["mine"])


def test_every_status_has_a_letter_of_its_own():
    assert set(LETTERS) == set(Status)
    assert len(set(LETTERS.values())) == len(LETTERS)

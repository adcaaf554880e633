import csv
import io
import json

import pytest
from django.urls import reverse

from console.reports import history_export
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import ended_run, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client):
    client.force_login(factories.UserFactory())
    return client


def table(client, **filters):
    answer = client.get(reverse("history-csv"), filters)
    data = b"".join(answer.streaming_content)
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


def runs(client, **filters):
    return json.loads(b"".join(client.get(reverse("history-json"), filters).streaming_content))["runs"]


def test_what_the_filters_find_is_exported_newest_first(admin):
    first, second, _ = ended_run(2, command="uptime"), ended_run(command="uptime -p"), ended_run(command="df")
    assert [row["run"] for row in table(admin, text="uptime")] == [str(second.pk), str(first.pk)]
    record = runs(admin, text="uptime")[1]
    assert (record["run"], record["instances"], record["counts"]) == (first.pk, 2, {"succeeded": 2})
    assert record["command_sha256"] == first.command_sha256
    row = table(admin, text="uptime")[1]
    assert (row["command"], row["succeeded"], row["failed"]) == ("uptime", "2", "0")


def test_a_command_is_no_formula_in_the_table(admin):
    send(command="=1+1")
    assert table(admin)[0]["command"] == "'=1+1"
    assert runs(admin)[0]["command"] == "=1+1"


def test_only_what_one_sees_is_exported_and_counted(client):
    group = factories.GroupFactory()
    send(instances=[factories.InstanceFactory(group=group), factories.InstanceFactory()], command="shared")
    send(command="canary")
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))
    (row,) = table(client)
    assert (row["command"], row["instances"], row["queued"]) == ("shared", "1", "1")
    assert [record["instances"] for record in runs(client)] == [1]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_none_is_lost_between_two_batches_and_there_is_a_limit(admin, batch, monkeypatch):
    monkeypatch.setattr(history_export, "BATCH_RUNS", batch)
    made = [send().pk for _ in range(4)]
    assert [record["run"] for record in runs(admin)] == made[::-1]
    monkeypatch.setattr(history_export, "RUNS_LIMIT", 3)
    assert [record["run"] for record in runs(admin)] == made[:0:-1]


def test_how_many_queries_it_takes_does_not_depend_on_what_is_found(admin, django_assert_max_num_queries):
    saved = factories.saved_command(name="Up?")
    for _ in range(5):
        run = send()
        run.saved_version = saved.latest
        run.save()
    with django_assert_max_num_queries(8):
        assert {row["saved_command"] for row in table(admin)} == {"Up?"}

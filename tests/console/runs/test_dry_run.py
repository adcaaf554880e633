"""How a dry run is shown, and what becomes of it where a worker dies."""

import pytest
from django.urls import reverse

from console.runs import queue
from console.runs.models import Invocation, Run
from console.runs.status import Status
from console.saved_commands.models import SavedCommand
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import ended_run, enlisted_worker, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return user


def test_it_says_everywhere_that_nothing_was_executed(client, operator):
    run = ended_run(2, is_dry_run=True, command="echo canary", output=b"")
    instance = run.invocations.first().instance
    panel = client.get(reverse("run", args=[run.pk])).content.decode()
    assert "Dry run, nothing was executed." in panel
    assert "Run it now on the 2 that are ready" in panel
    for page in (reverse("runs"), reverse("instance-commands", args=[instance.pk])):
        assert "Nothing was executed" in client.get(page).content.decode()
    ordinary = ended_run(1, actor=operator)
    assert "Dry run, nothing" not in client.get(reverse("run", args=[ordinary.pk])).content.decode()


def test_what_failed_comes_with_what_to_do(client, operator):
    run = ended_run(1, is_dry_run=True)
    Invocation.objects.filter(run=run).update(status=Status.FAILED, reason="cwd_missing")
    Run.objects.filter(pk=run.pk).update(counts={"failed": 1})
    panel = client.get(reverse("run", args=[run.pk])).content.decode()
    assert "Check the directory on the machine" in panel
    assert "Run it now" not in panel


def test_running_it_now_is_a_real_run_on_those_that_are_ready(client, operator):
    run = ended_run(3, is_dry_run=True, command="echo now")
    Invocation.objects.filter(run=run, ordinal=1).update(status=Status.FAILED)
    page = client.get(reverse("send"), {"again": run.pk, "which": "succeeded"})
    fields = {"choose": "run", "former_run": run.pk, "which": "succeeded", "shown": page.context["targets"].shown}
    client.post(reverse("send"), {**fields, "command": "echo now", "command_type": "shell"})
    now = Run.objects.first()
    assert (now.is_dry_run, now.target_count) == (False, 2)


def test_the_button_makes_a_dry_run_and_keeps_no_command(client, operator):
    instance = factories.InstanceFactory()
    fields = {"ids": instance.pk, "command": "true", "command_type": "shell", "keep_name": "kept"}
    client.post(reverse("send"), fields | {"dry_run": ["", "1"]})
    assert Run.objects.get().is_dry_run
    assert not SavedCommand.objects.exists()
    client.post(reverse("send"), fields | {"dry_run": ""})
    assert not Run.objects.first().is_dry_run


def test_a_worker_that_dies_leaves_it_to_the_next(operator):
    run = send(1, actor=operator, is_dry_run=True)
    worker = enlisted_worker()
    assert len(queue.claim(worker, slots=1, run_id=run.pk)) == 1
    queue.discharge(worker)
    queue.reap(enlisted_worker())
    assert run.invocations.get().status == Status.QUEUED

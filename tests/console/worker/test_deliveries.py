"""Files from the press to the instance and back, against a real sshd."""

import asyncio
import hashlib
import os
import pwd
import stat
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.urls import reverse
from django.utils import timezone

from console.transfers import queue, retention, services, store
from console.transfers.models import Delivery, Transfer
from console.worker.deliveries import Deliveries
from instances.access.models import Role
from instances.audit.models import AuditEntry
from instances.credentials import services as credentials
from instances.engine.pool import Pool
from instances.engine.ssh import SSHTransport
from instances.host_keys import services as host_keys
from instances.inventory.models import Instance
from tests.support.factories import GroupFactory, InstanceFactory, UserFactory, allow_localhost
from tests.support.sshd import ordinary_user, running_sshd

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sshd]
CONTENT = os.urandom(300_000)


@pytest.fixture(scope="module")
def account():
    with ordinary_user("musterfiles") as name:
        yield name


@pytest.fixture(scope="module")
def sshd():
    with running_sshd(Subsystem="sftp internal-sftp") as server:
        yield server


@pytest.fixture
def home(account):
    entry = pwd.getpwnam(account)
    folder = Path(entry.pw_dir) / "here"
    folder.mkdir()
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.fixture
def administrator(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    allow_localhost(settings)
    return UserFactory(role=Role.ADMINISTRATOR)


@pytest.fixture
def fleet(administrator, account, sshd):
    """Three addresses of one machine."""
    key = credentials.add_credential(
        administrator, name="key", kind="key", user_name=account, secret=sshd.user_key.decode()
    )
    found = [InstanceFactory(address=f"127.1.0.{n}", port=sshd.port, credential=key) for n in (2, 3, 4)]
    for instance in found:
        host_keys.trust(administrator, host_keys=[host_keys.note_presented(instance, sshd.host_key)])
        instance.refresh_from_db()
    return found


def work():
    async def in_database(call, *args, **kwargs):
        return await asyncio.to_thread(lambda: call(*args, **kwargs))

    async def go():
        pool = Pool(lambda target: SSHTransport())
        async with asyncio.TaskGroup() as tasks:
            await Deliveries(pool, in_database).start(tasks)
        await pool.close()

    asyncio.run(go())


def send(actor, instances, path, content=CONTENT, **changes):
    choices = {"overwrite": "refuse", "mode": None, "owner": "", "limit_bytes": 10**9} | changes
    upload = services.Upload("local name", [content[:1000], content[1000:]])
    return services.send_file(actor, instances=instances, upload=upload, path=str(path), **choices)


def outcomes(transfer):
    return sorted((row.state, row.reason) for row in transfer.deliveries.all())


def stored():
    return list(store.folder().iterdir())


def test_a_file_goes_to_three_instances_and_comes_back_from_each(client, administrator, home, fleet):
    client.force_login(administrator)
    ids = ",".join(str(instance.pk) for instance in fleet)
    upload = SimpleUploadedFile("photo.jpg", CONTENT)
    form = {"ids": ids, "path": f"{home}/a 'file'", "overwrite": "replace", "mode": "0640", "owner": "", "file": upload}
    response = client.post(reverse("send-file"), {**form, "do": "press"})
    assert response.status_code == 302
    page = client.get(response.url).content.decode()
    assert "every 2s" in page
    (kept,) = stored()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    work()
    transfer = Transfer.objects.get()
    assert outcomes(transfer) == [("succeeded", "")] * 3
    sent = home / "a 'file'"
    assert sent.read_bytes() == CONTENT
    assert stat.S_IMODE(sent.stat().st_mode) == 0o640
    assert [path.name for path in home.iterdir()] == ["a 'file'"]
    # It is not needed here any more.
    assert stored() == []
    page = client.get(response.url).content.decode()
    assert "every 2s" not in page
    assert page.count(hashlib.sha256(CONTENT).hexdigest()) == 6
    entry = AuditEntry.objects.get(action="send_file")
    assert (entry.details["count"], entry.details["file"], entry.details["mode"]) == (3, "photo.jpg", 0o640)

    response = client.post(reverse("fetch-file"), {"ids": ids, "path": str(sent), "do": "press"})
    work()
    fetched = Transfer.objects.latest("pk")
    assert outcomes(fetched) == [("succeeded", "")] * 3
    for row in fetched.deliveries.all():
        download = client.get(reverse("fetched-file", args=[row.pk]))
        assert b"".join(download.streaming_content) == CONTENT
        assert download["Content-Disposition"] == f'attachment; filename="{row.instance_name}-a_file_"'
        assert download["Content-Type"] == "application/octet-stream"


def test_each_instance_has_its_own_reason_and_the_others_go_on(administrator, home, fleet):
    (home / "there").write_bytes(b"old")
    fleet[1].is_disabled = True
    fleet[1].save()
    type(fleet[2]).objects.filter(pk=fleet[2].pk).update(port=1)
    transfer = send(administrator, fleet, home / "there")
    work()
    assert outcomes(transfer) == [("failed", "exists"), ("failed", "refused"), ("skipped", "instance_disabled")]
    assert (home / "there").read_bytes() == b"old"
    assert stored() == []
    fleet[2].refresh_from_db()
    assert fleet[2].reach_reason == "refused"


def test_a_file_over_the_limit_is_told_beside_its_field_and_not_kept(client, settings, administrator, home, fleet):
    client.force_login(administrator)
    settings.ENV = replace(settings.ENV, file_limit=len(CONTENT) - 1)
    form = {"ids": fleet[0].pk, "path": f"{home}/x", "overwrite": "refuse", "do": "press"}
    response = client.post(reverse("send-file"), {**form, "file": SimpleUploadedFile("x", CONTENT)})
    assert response.status_code == 422
    assert "MUSTER_FILE_LIMIT" in str(response.context["form"].errors["file"])
    assert not Transfer.objects.exists()
    assert stored() == []
    (home / "big").write_bytes(CONTENT)
    transfer = services.fetch_file(administrator, instances=fleet[:1], path=f"{home}/big")
    work()
    assert outcomes(transfer) == [("failed", "too_big")]
    assert stored() == []


def test_what_was_entered_wrongly_is_told_beside_its_field(client, administrator, fleet):
    client.force_login(administrator)
    form = {"ids": fleet[0].pk, "path": "folder/", "mode": "0999", "owner": "a b", "overwrite": "no", "do": "press"}
    response = client.post(reverse("send-file"), form)
    assert response.status_code == 422
    assert set(response.context["form"].errors) == {"file", "mode", "owner", "overwrite"}
    response = client.post(reverse("fetch-file"), {"ids": fleet[0].pk, "path": "folder/", "do": "press"})
    assert set(response.context["form"].errors) == {"path"}
    assert 'value="folder/"' in response.content.decode()


def test_only_who_may_send_commands_there_sends_sees_and_downloads(client, administrator, home, fleet):
    group = GroupFactory()
    fleet[0].group = group
    fleet[0].save()
    (home / "x").write_bytes(b"secret")
    insider = UserFactory(role=Role.OPERATOR, role_group=group)
    transfer = services.fetch_file(insider, instances=fleet, path=f"{home}/x")
    assert outcomes(transfer) == [("queued", ""), ("skipped", "not_permitted"), ("skipped", "not_permitted")]
    work()
    row = transfer.deliveries.get(state="succeeded")
    client.force_login(insider)
    page = client.get(reverse("transfer", args=[transfer.pk])).content.decode()
    assert fleet[0].name in page
    assert fleet[1].name not in page
    for role, status in ((Role.VIEWER, 403), (Role.OPERATOR, 200)):
        client.force_login(UserFactory(role=role, role_group=group))
        response = client.get(reverse("fetched-file", args=[row.pk]))
        assert response.status_code == status
        response.close()
    client.force_login(UserFactory(role=Role.ADMINISTRATOR, role_group=GroupFactory()))
    assert client.get(reverse("fetched-file", args=[row.pk])).status_code == 404


def test_who_loses_the_right_before_it_is_sent_sends_nothing(administrator, home, fleet):
    transfer = send(administrator, fleet[:1], home / "x")
    administrator.grants.update(role=Role.VIEWER)
    work()
    assert outcomes(transfer) == [("failed", "not_permitted")]
    assert list(home.iterdir()) == []


def test_what_a_dead_worker_left_is_taken_up_again(administrator, home, fleet):
    transfer = send(administrator, fleet[:1], home / "x")
    (order,) = queue.claim(5)
    queue.note_progress(order.delivery_id, 1000)
    work()
    assert outcomes(transfer) == [("running", "")]
    Delivery.objects.update(due_at=timezone.now())
    work()
    assert outcomes(transfer) == [("succeeded", "")]
    assert (home / "x").read_bytes() == CONTENT


def test_transfers_are_kept_as_long_as_runs_and_their_files_go_with_them(administrator, home, fleet):
    (home / "x").write_bytes(b"x")
    old, new = (services.fetch_file(administrator, instances=fleet[:1], path=f"{home}/x") for _ in range(2))
    work()
    waiting = services.fetch_file(administrator, instances=fleet[:1], path=f"{home}/x")
    then = timezone.now() - timedelta(days=10)
    Transfer.objects.filter(pk__in=[old.pk, waiting.pk]).update(created_at=then)
    orphan = store.path_of(store.new_name())
    orphan.touch()
    os.utime(orphan, (0, 0))
    assert list(retention.prune(0)) == []
    assert list(retention.prune(9)) == [1]
    assert set(Transfer.objects.all()) == {new, waiting}
    assert [path.name for path in stored()] == [new.deliveries.get().stored]


def test_a_large_upload_is_never_in_memory(client, administrator, settings, fleet, home):
    """Django keeps what is longer than 2.5 MB in a temporary file, and it is read from there in pieces."""
    client.force_login(administrator)
    upload = TemporaryUploadedFile("big", "application/octet-stream", 8_000_000, None)
    upload.write(bytes(8_000_000))
    upload.seek(0)
    assert max(len(piece) for piece in upload.chunks()) <= 64 * 1024
    upload.seek(0)
    form = {"ids": fleet[0].pk, "path": f"{home}/big", "overwrite": "refuse", "do": "press", "file": upload}
    assert client.post(reverse("send-file"), form).status_code == 302
    work()
    assert (home / "big").stat().st_size == 8_000_000


def test_behind_a_disabled_jump_host_nothing_is_sent(administrator, home, fleet):
    jump, behind = fleet[:2]
    Instance.objects.filter(pk=behind.pk).update(jump=jump)
    Instance.objects.filter(pk=jump.pk).update(is_disabled=True)
    transfer = send(administrator, [behind], home / "sent")
    work()
    (delivery,) = transfer.deliveries.all()
    assert (delivery.state, delivery.reason) == ("failed", "instance_disabled")
    assert delivery.message == f"Its jump host {jump.name} is disabled."
    assert not (home / "sent").exists()

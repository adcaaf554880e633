"""Exports of one run: table, record, zip; through the browser's requests and from the shell."""

import csv
import hashlib
import io
import json
import subprocess
import zipfile

import pytest
from django.core.management import call_command
from django.urls import reverse

from console.reports import archive
from console.reports.record import COLUMNS
from console.runs import retention
from console.runs.models import Invocation
from console.runs.retention import Limits
from console.runs.status import Status
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import ended_run, run_with, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client):
    client.force_login(factories.UserFactory())
    return client


def got(client, name, run):
    answer = client.get(reverse(name, args=[run.pk]))
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def table(data):
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


def unzipped(data, run):
    """The files of an archive without its folder, after its own checksums have been verified."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        files = {name.removeprefix(f"run-{run.pk}/"): opened.read(name) for name in opened.namelist()}
    sums = dict(reversed(line.split("  ", 1)) for line in files["SHA256SUMS"].decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "SHA256SUMS"}
    return files


# ------------------------------------------------------------------ table and record


def test_the_table_has_a_row_for_each_instance(admin):
    run = run_with((b"up\n", b"", 0), (b"", b"no such file\n", 2))
    first, second = table(got(admin, "run-csv", run))
    rows = list(run.invocations.all())
    assert [first["instance"], second["instance"]] == [row.instance_name for row in rows]
    assert (first["status"], first["exit_status"], first["last_line"]) == ("succeeded", "0", "up")
    assert (second["status"], second["exit_status"], second["stderr_bytes"]) == ("failed", "2", "13")
    assert second["stderr_sha256"] == hashlib.sha256(b"no such file\n").hexdigest()
    assert float(first["took_s"]) >= 0
    assert list(first) == list(COLUMNS)


def test_a_last_line_is_no_formula_in_the_table(admin):
    run = run_with((b"=cmd|' /C calc'!A0\n", b"", 0))
    assert table(got(admin, "run-csv", run))[0]["last_line"] == "'=cmd|' /C calc'!A0"
    assert json.loads(got(admin, "run-json", run))["invocations"][0]["last_line"] == "=cmd|' /C calc'!A0"


def test_the_record_holds_everything_but_secret_values(admin):
    run = run_with((b"up\n", b"", 0), command="uptime", environment=(("A", "1"),), secrets=(("TOKEN", "hush-hush"),))
    saved = factories.saved_command(name="Up?", text="uptime")
    run.saved_version, run.parameters = saved.latest, {"days": "7", "password": None}
    run.save()
    data = got(admin, "run-json", run)
    found = json.loads(data)
    assert b"hush-hush" not in data
    assert found["command"] == "uptime"
    assert found["command_sha256"] == hashlib.sha256(b"uptime").hexdigest()
    assert found["saved_command"] == {"id": saved.pk, "name": "Up?", "version": 1}
    assert found["parameters"] == {"days": "7", "password": None}
    assert found["options"]["variables"] == {"A": "1"}
    assert found["options"]["secret_variables"] == {"TOKEN": None}
    assert (found["counts"], found["instances"]) == ({"succeeded": 1}, 1)
    assert found["invocations"][0]["sha256"] == hashlib.sha256(b"up\n").hexdigest()


@pytest.mark.parametrize("count", [1, 500, 501])
def test_none_is_lost_between_two_batches(admin, count, monkeypatch):
    monkeypatch.setattr("console.reports.record.BATCH_ROWS", 500 if count == 1 else 100)
    run = send(count)
    assert [row["ordinal"] for row in json.loads(got(admin, "run-json", run))["invocations"]] == list(range(count))


def test_only_what_one_sees_is_exported(client):
    group = factories.GroupFactory()
    instances = [factories.InstanceFactory(name="theirs", group=group), factories.InstanceFactory(name="canary")]
    run = ended_run(2, instances=instances, output=b"canary-output\n")
    run.choice = {"query": "canary"}
    run.save()
    run.invocations.filter(instance_name="theirs").update(last_line="mine")
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))
    record = json.loads(got(client, "run-json", run))
    assert (record["counts"], record["instances"], record["choice"]) == ({"succeeded": 1}, 1, None)
    for name in ("run-csv", "run-json"):
        assert b"canary" not in got(client, name, run)
    assert {name.split("-", 1)[-1] for name in unzipped(got(client, "run-zip", run), run) if "outputs/" in name} == {
        "theirs.stdout.txt"
    }


# ------------------------------------------------------------------ zip


def test_the_zip_holds_every_stream_byte_for_byte(admin):
    binary = bytes(range(256)) * 1000
    run = run_with((binary, b"", 0), (b"out", b"err", 1), (b"", b"", 0))
    files = unzipped(got(admin, "run-zip", run), run)
    names = [row.instance_name for row in run.invocations.all()]
    assert files[f"outputs/0001-{names[0]}.stdout.txt"] == binary
    assert files[f"outputs/0002-{names[1]}.stdout.txt"] == b"out"
    assert files[f"outputs/0002-{names[1]}.stderr.txt"] == b"err"
    assert files[f"outputs/0002-{names[1]}.combined.txt"] == b"ouerrt"
    assert sum(name.startswith("outputs/") for name in files) == 4
    manifest = json.loads(files["manifest.json"])
    outputs = [file for file in manifest["files"] if "stream" in file]
    assert all(file["matches"] for file in outputs)
    assert {file["sha256"] for file in outputs} >= {hashlib.sha256(data).hexdigest() for data in (binary, b"ouerrt")}
    assert manifest["missing"] == [{"ordinal": 2, "instance": names[2], "why": "no_output", "status": "succeeded"}]
    assert json.loads(files["run.json"])["run"] == run.pk
    assert len(table(files["invocations.csv"])) == 3


def test_what_is_missing_is_said(admin):
    run = run_with((b"gone\n", b"", 0), (b"x" * 3_000_000, b"", 0), (b"", b"", 0), cap_bytes=1_000_000)
    list(retention.carry_out(retention.plan(Limits(days=0, output_bytes=1)), actor=None))
    other = run_with((b"y" * 3_000_000, b"", 0), (b"z", b"", 0), cap_bytes=1_000_000)
    other.invocations.filter(ordinal=1).update(status=Status.UNREACHABLE, reason="dns", size=0, stdout_bytes=0)
    missing = {
        row["ordinal"]: row for row in manifest_of(admin, run)["missing"] if row["why"] == "removed_by_retention"
    }
    assert set(missing) == {0, 1}
    assert missing[0]["bytes"] == 5
    assert missing[0]["at"]
    found = manifest_of(admin, other)
    assert [(row["ordinal"], row["why"]) for row in found["missing"]] == [(0, "dropped_by_cap"), (1, "never_ran")]
    dropped = Invocation.objects.get(run=other, ordinal=0).dropped_bytes
    assert found["missing"][0]["bytes"] == dropped > 1_000_000
    (kept,) = (file for file in found["files"] if file.get("ordinal") == 0)
    assert (kept["size"], kept["matches"]) == (3_000_000 - dropped, True)


def manifest_of(client, run):
    return json.loads(unzipped(got(client, "run-zip", run), run)["manifest.json"])


def test_a_run_that_goes_on_gives_what_there_is(admin):
    run = send(1)
    manifest = manifest_of(admin, run)
    assert manifest["run_has_ended"] is False
    assert manifest["missing"][0]["why"] == "not_ended"


def test_an_instance_cannot_name_a_file_elsewhere(admin):
    names = ["../../etc/passwd", "a/b\\c:d", "A" * 80, "zoë"]
    run = ended_run(4, instances=[factories.InstanceFactory(name=name) for name in names])
    files = [name for name in unzipped(got(admin, "run-zip", run), run) if name.startswith("outputs/")]
    assert files == [
        "outputs/0001-.._.._etc_passwd.stdout.txt",
        "outputs/0002-a_b_c_d.stdout.txt",
        f"outputs/0003-{'A' * 60}.stdout.txt",
        "outputs/0004-zo_.stdout.txt",
    ]


def test_a_zip_is_made_while_it_is_sent(admin):
    run = ended_run(1, output=b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(400_000)))
    sizes = [len(piece) for piece in archive.run_archive(run.actor, run)]
    assert len(sizes) > 20
    assert max(sizes) < 2 * archive.PIECE_BYTES


def test_breaking_off_ends_the_reading(admin):
    run = ended_run(1, output=b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(100_000)))
    pieces = archive.run_archive(run.actor, run)
    assert next(pieces).startswith(b"PK")
    pieces.close()
    assert list(pieces) == []


# ------------------------------------------------------------------ from the shell


def test_the_shell_gives_the_same(tmp_path, admin):
    run = run_with((b"up\n", b"", 0))
    call_command("export_run", str(run.pk), "--format", "zip", "--output", str(tmp_path / "run.zip"))
    zipfile.ZipFile(tmp_path / "run.zip").extractall(tmp_path)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path / f"run-{run.pk}", check=True)
    call_command("export_run", str(run.pk), "--format", "csv", "--output", str(tmp_path / "run.csv"))
    assert (tmp_path / "run.csv").read_bytes() == got(admin, "run-csv", run)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["999999"], "There is no run 999999 that cli may see."),
        (["1", "--as", "nobody"], "There is no active user nobody."),
        (["{run}", "--output", "/nowhere/run.json"], "/nowhere/run.json cannot be written: No such file or directory."),
    ],
    ids=["no-run", "no-member", "no-folder"],
)
def test_what_is_wrong_is_said_in_one_sentence(capsys, arguments, said):
    run = ended_run()
    with pytest.raises(SystemExit) as ended:
        call_command("export_run", *(word.format(run=run.pk) for word in arguments))
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"{said}\n"

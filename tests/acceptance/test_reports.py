"""Two runs of a saved command compared, its chart, and the zip, as a user does it."""

import io
import json
import re
import zipfile

from playwright.sync_api import expect

from tests.acceptance.test_accessibility import flaws
from tests.support.visitor import run_on

COMMAND = "echo the same; cat reports.txt 2>/dev/null || { echo before; exit 3; }"


def test_what_changed_between_two_runs_its_chart_and_the_zip(signed_in, console, remote_user, tmp_path):
    page = signed_in
    first = run_and_open(page, console, COMMAND, "web-01", "web-02")
    page.get_by_role("link", name="Compare with an earlier run").click()
    expect(page.get_by_text("There is no earlier run of this command.")).to_be_visible()
    keep = (
        f"from tests.support import factories; from console.models import Run; run = Run.objects.get(pk={first});"
        "saved = factories.saved_command(name='Reports', text=run.command);"
        "Run.objects.filter(pk=run.pk).update(saved_version=saved.latest); print(saved.pk)"
    )
    saved = console.manage("shell", "-v", "0", "-c", keep).strip()
    run_on(console, "printf after > reports.txt", "web-01")
    number = run_and_open(page, console, COMMAND, "web-01", "web-02")
    page.get_by_role("link", name="Compare with an earlier run").click()
    expect(page.get_by_role("link", name=re.compile("^Changed 2"))).to_be_visible()
    page.get_by_role("link", name="Difference of web-01").click()
    difference = page.get_by_role("region", name="What differs in stdout")
    expect(difference.locator(".changes__removed")).to_contain_text("before")
    expect(difference.locator(".changes__added")).to_contain_text("after")
    expect(difference.locator(".changes__same")).to_contain_text("the same")
    pages = [page.url, f"{console.url}/saved/{saved}/history/", f"{console.url}/runs/{number}/report/"]

    page.goto(pages[1])
    chart = page.get_by_role("img", name="Instances by how they ended, per run")
    expect(chart.locator(".chart__failed")).to_have_count(1)
    page.goto(pages[2])
    expect(page.get_by_role("img", name="Instances by how long they took")).to_be_visible()
    for path in pages:
        page.goto(path)
        assert flaws(page) == [], path

    page.goto(f"{console.url}/runs/{number}/")
    page.locator("#run-report > summary").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Outputs, with hashes (zip)").click()
    assert download.value.suggested_filename == f"run-{number}.zip"
    download.value.save_as(tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as opened:
        assert opened.testzip() is None
        manifest = json.load(io.BytesIO(opened.read(f"run-{number}/manifest.json")))
        assert opened.read(f"run-{number}/outputs/0001-web-01.stdout.txt") == b"the same\nafter"
    assert [file["matches"] for file in manifest["files"] if "stream" in file] == [True, True]


def run_and_open(page, console, command, *names):
    """Run it and open the run once it has ended."""
    number = run_on(console, command, *names)
    page.goto(f"{console.url}/runs/{number}/")
    page.locator("#run-report > summary").click()
    return number

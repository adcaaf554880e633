"""Output of Windows programs that write in their OEM code page: stored as it came, shown as it was meant."""

import pytest
from django.urls import reverse

from console.runs.journal import last_line
from tests.support import factories
from tests.support.runs import ended_run

pytestmark = pytest.mark.django_db

OUTPUT = "grün\n".encode() + "Größe ─┐\n".encode("cp850")


@pytest.fixture
def invocation():
    run = ended_run(output=OUTPUT, instances=[factories.InstanceFactory(os="windows")], command_type="bat")
    run.invocations.update(code_page="850")
    return run.invocations.get()


@pytest.fixture
def client(client):
    client.force_login(factories.UserFactory())
    return client


def test_the_page_without_javascript_shows_the_letters(client, invocation):
    shown = client.get(reverse("run", args=[invocation.run_id])).content.decode()
    assert "grün\nGröße ─┐\n" in shown


def test_the_browser_is_told_the_letters_of_the_code_page(client, invocation):
    shown = client.get(reverse("run", args=[invocation.run_id])).content.decode()
    assert 'data-letters="Çüéâäàåçêëèïîì' in shown
    invocation.run.invocations.update(code_page="932")
    shown = client.get(reverse("run", args=[invocation.run_id])).content.decode()
    assert 'data-letters="" data-encoding="shift_jis"' in shown


def test_a_download_gives_the_bytes_as_they_came(client, invocation):
    answer = client.get(reverse("download", args=[invocation.run_id, 0]))
    assert b"".join(answer.streaming_content) == OUTPUT


def test_the_last_line_is_read_in_the_code_page():
    assert last_line("Größe\r\n".encode("cp850"), "850") == "Größe"
    assert last_line("Größe\r\n".encode()) == "Größe"

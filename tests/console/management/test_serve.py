from urllib.request import urlopen

import pytest

from tests.support.console import start_console

pytestmark = pytest.mark.slow


def test_a_link_for_the_sign_in_leads_to_the_port_the_console_was_started_with(tmp_path):
    console = start_console(tmp_path, "--host", "0.0.0.0", "--insecure-http", MUSTER_PORT="8000")
    try:
        assert console.manage("signin", "admin").startswith(f"{console.url}/first/")
        assert "other addresses are not answered to until MUSTER_URL names one" in console.said()
        # Nor does a second one, which is refused, take that away.
        with pytest.raises(RuntimeError, match="Another Muster is running"):
            start_console(tmp_path)
        assert console.manage("signin", "admin").startswith(f"{console.url}/first/")
    finally:
        console.stop()
    assert console.manage("signin", "admin").startswith("http://127.0.0.1:8000/first/")


def test_the_console_answers_to_the_address_it_is_started_on(tmp_path):
    console = start_console(tmp_path, "--host", "127.0.0.9")
    try:
        with urlopen(f"http://127.0.0.9:{console.port}/sign-in/", timeout=90) as answer:
            assert "Sign in" in answer.read().decode()
        assert console.manage("signin", "admin").startswith(f"http://127.0.0.9:{console.port}/first/")
    finally:
        console.stop()

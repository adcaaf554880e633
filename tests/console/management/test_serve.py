import pytest

from tests.support.console import start_console

pytestmark = pytest.mark.slow


def test_a_link_for_the_sign_in_leads_to_the_port_the_console_was_started_with(tmp_path):
    console = start_console(tmp_path, MUSTER_PORT="8000")
    try:
        assert console.manage("signin", "admin").startswith(f"{console.url}/first/")
        # Nor does a second one, which is refused, take that away.
        with pytest.raises(RuntimeError, match="Another Muster is running"):
            start_console(tmp_path)
        assert console.manage("signin", "admin").startswith(f"{console.url}/first/")
    finally:
        console.stop()
    assert console.manage("signin", "admin").startswith("http://127.0.0.1:8000/first/")

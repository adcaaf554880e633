"""OpenSSH client configurations, compared with what ssh itself makes of them."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.inventory.ssh_config import read

CONFIGS = {
    "first value wins": """
Host web-1
    HostName 10.0.0.4
    User deploy
Host web-*
    User other
    Port 2222
Host *
    Port 22
    User last
""",
    "before any host": "User everybody\nHost a\n  User late\n  Port 2200\n",
    "forms of a line": """
Host=one two
  hostname = "10.0.0.9"
  PORT=2022
  User 'two words' # a comment
\tProxyJump   none
Host "three"
  HostName 10.0.0.3 #x
  User a#b
""",
    "patterns": """
Host * !secret-* !10.?.0.1
  User all
Host secret-1 web-? db-1
  Port 1
Host 10.1.0.1
  User ten
""",
    "jumps": """
Host inner
  ProxyJump a,deploy@b:2222
Host other
  ProxyJump none
Host none
  ProxyCommand none
  ProxyJump ignored
Host command
  ProxyCommand nc %h %p
Host *
  ProxyJump gate
""",
    "names": "Host web-1 WEB-2\n  HostName %h.example.com\nHost pct\n  HostName a%%b\n",
}


def of_ssh(config: str, host: str, folder: Path) -> dict[str, str] | None:
    """What ``ssh -G`` prints, None for a way through the host itself; the system's own configuration is not read."""
    path = folder / "config"
    path.write_text(config)
    if shutil.which("ssh") is None:
        pytest.fail("needs OpenSSH's ssh: apt-get install openssh-client")
    done = subprocess.run(["ssh", "-G", "-F", str(path), host], capture_output=True, text=True, check=False)
    if "loop" in done.stderr:
        return None
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def of_us(config: str, host: str) -> dict[str, str]:
    way = read(config).way_to(host)
    found = {
        "hostname": way.host.lower(),
        "port": way.port or "22",
        "user": way.user or pwd.getpwuid(os.getuid()).pw_name,
    }
    if way.jumps:
        found["proxyjump"] = ",".join(way.jumps)
    return found


def same_as_ssh(config: str, host: str, folder: Path) -> None:
    theirs = of_ssh(config, host, folder)
    if theirs is None:
        # The import refuses circles when it looks where the ways lead.
        return
    found = {key: theirs[key] for key in ("hostname", "port", "user", "proxyjump") if key in theirs}
    found["hostname"] = found["hostname"].lower()
    assert found == of_us(config, host), (config, host)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_named_host_is_as_ssh_has_it(config: str, tmp_path: Path) -> None:
    names = read(config).names()
    assert names
    for host in [*names, "10.1.0.1", "web-9", "secret-2"]:
        same_as_ssh(config, host, tmp_path)


PATTERNS = st.sampled_from(["*", "a", "b", "a*", "?", "!a", "!b*", "ab", "web-1", "web-*"])
LINES = st.one_of(
    st.lists(PATTERNS, min_size=1, max_size=3).map(lambda words: "Host " + " ".join(words)),
    st.sampled_from(["User one", "user=two", '\tUser "three"', "User 'f o' # c"]),
    st.sampled_from(["Port 22", "Port=2222", "port  1"]),
    st.sampled_from(["HostName 10.0.0.1", "HostName %h.example.com", 'Hostname="h"']),
    st.sampled_from(["ProxyJump gate", "ProxyJump none", "ProxyJump a,b", "ProxyCommand none", "ProxyCommand nc x"]),
    st.sampled_from(["# comment", "", "   ", "ForwardAgent no", "IdentityFile ~/.ssh/key"]),
)


@given(lines=st.lists(LINES, max_size=12), host=st.sampled_from(["a", "b", "ab", "web-1"]))
@settings(max_examples=60)
def test_made_up_configurations_are_as_ssh_has_them(lines: list[str], host: str, tmp_path: Path) -> None:
    same_as_ssh("\n".join(lines) + "\n", host, tmp_path)


def test_names_are_those_written_out() -> None:
    config = read("Host a b* !c d\nHost a e\n  Port 1\nHost !f f\n")
    assert config.names() == {"a": 1, "d": 1, "e": 2}


def test_what_is_not_read_is_told(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    text = (
        "Include ~/.ssh/more\nHost a\n  IdentityFile /nonexistent/key\n  ForwardAgent yes\n  IdentityFile two\n"
        f"Match exec 'touch {touched}'\n  User never\nHost b\n  User \"open\n  Port\n"
    )
    config = read(text)
    assert [(remark.number, remark.text.split()[0]) for remark in config.remarks] == [
        (1, "Include"),
        (6, "Match"),
        (9, "A"),
        (10, "port"),
    ]
    way = config.way_to("a")
    assert (way.user, way.key_files, way.ignored) == ("", ("/nonexistent/key", "two"), ("forwardagent",))
    assert not touched.exists()


@given(st.text(max_size=300))
@settings(max_examples=100)
def test_no_text_breaks_it(text: str) -> None:
    config = read(text)
    for name in config.names():
        config.way_to(name)

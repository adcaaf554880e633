import ast
import re

from console.transfers.services import LEFT_OUT
from tests.support.console import ROOT


def raised():
    """The reasons in the engine's modules about files, and those the workers add."""
    for name in ("files", "sftp"):
        tree = ast.parse((ROOT / f"instances/engine/{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "reason" and isinstance(node.value, ast.Constant):
                yield node.value.value
    from instances.engine import sftp

    yield from (reason for reason, _ in sftp._WORDS.values())


def test_the_how_to_names_every_reason():
    rows = re.findall(r"^\| ((?:`\w+` ?)+)\|", (ROOT / "docs/how-to/files.md").read_text(), re.MULTILINE)
    said = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    others = {"failure", "credential_suspended", "deleted", "internal_error"}
    assert said == {*raised(), *LEFT_OUT, *others}

import re
from pathlib import Path

from instances.authorise.eligible import EXCLUDED
from instances.engine.authorise import REASONS

ROOT = Path(__file__).resolve().parents[3]


def test_the_how_to_names_every_reason():
    rows = re.findall(r"^\| ((?:`\w+` ?)+)\|", (ROOT / "docs/how-to/authorise.md").read_text(), re.MULTILINE)
    said = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert said == {*REASONS, *EXCLUDED, "auth_failed", "deleted", "vault", "internal_error"}

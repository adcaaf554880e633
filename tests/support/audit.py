"""``python -m tests.support.audit``: known weaknesses of what requirements.txt pins, where an advisory service answers.

Ends with status 1 for a known weakness. Where nobody answers it says so and ends with 0: that is no statement about
the dependencies, and a machine without a way out must still be able to check everything else.
"""

import json
import subprocess
import sys

COMMAND = (
    "-m", "pip_audit", "--require-hashes", "--disable-pip", "-r", "requirements.txt",
    "--format", "json", "--progress-spinner", "off", "--timeout", "15",
)  # fmt: skip


def main() -> int:
    done = subprocess.run([sys.executable, *COMMAND], capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"pip-audit: no advisory service answered.\n{done.stderr[-500:]}")
        return 0
    return told(found)


def told(found: list[dict[str, object]]) -> int:
    """Print what was found; 1 when there is a known weakness."""
    weak = [one for one in found if one.get("vulns")]
    unknown = [one for one in found if "skip_reason" in one]
    for one in weak:
        print(f"{one['name']} {one['version']}: {json.dumps(one['vulns'])}")
    print(f"pip-audit: {len(found) - len(unknown)} of {len(found)} dependencies audited, {len(weak)} with a weakness.")
    return 1 if weak else 0


if __name__ == "__main__":
    sys.exit(main())

"""The docs say what the code has: what is named in one must be in the other."""

import ast
import re
from argparse import SUPPRESS
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from console.runs.status import RunStatus, Status
from instances.access.models import Role
from instances.access.rules import ACTIONS_OF, Action
from instances.engine import execute
from instances.engine.errors import EngineError
from instances.inventory.advice import ADVICE
from instances.inventory.query import RESERVED_KEYS, STATES

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# Where reason codes are made; tests of these packages are elsewhere.
MODULES_WITH_REASONS = ("instances/engine", "console/runs", "console/worker")
# Theirs are no reasons of invocations, and stand in how-to/files.md.
MODULES_ABOUT_FILES = {"files.py", "sftp.py"}
CODE = re.compile(r"[a-z]+(_[a-z]+)*")
# Only passed on inside the engine; ``verdict`` makes stopped_before_start or time_limit of it.
NEVER_SHOWN = {"not_started"}


def page(name: str) -> str:
    return (ROOT / name).read_text()


def marked(text: str) -> set[str]:
    """Everything a page sets in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def first_column(text: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


# ------------------------------------------------------------------ settings


def test_settings_names_exactly_the_variables_that_are_read():
    read = set(re.findall(r'"((?:MUSTER|DATABASE|REDIS)_\w+)"', page("console/env.py")))
    assert read
    assert read == first_column(page("docs/reference/settings.md"))


def test_nothing_reads_a_variable_that_env_does_not_know():
    known = set(re.findall(r'"(MUSTER_\w+)"', page("console/env.py")))
    for path in [*(ROOT / "console").rglob("*.py"), *(ROOT / "instances").rglob("*.py")]:
        used = re.findall(r'environ(?:\.get|\.setdefault|\.pop)?[\[(]"(MUSTER_\w+)"', path.read_text())
        assert set(used) <= known, path


# ------------------------------------------------------------------ commands


def own_commands() -> list[str]:
    return sorted(name for name, app in get_commands().items() if app in {"console", "instances"})


def test_commands_names_exactly_the_commands_there_are():
    assert own_commands()
    assert own_commands() == sorted(re.findall(r"^## `(\w+)`", page("docs/reference/commands.md"), re.MULTILINE))


@pytest.mark.parametrize("name", own_commands())
def test_commands_names_every_option(name):
    (section,) = re.findall(rf"^## `{name}`\n(.*?)(?=^## |\Z)", page("docs/reference/commands.md"), re.DOTALL | re.M)
    for option in options_of(name):
        assert re.search(rf"`[^`]*{option}\b", section), f"{name} {option}"


def options_of(name: str) -> Iterator[str]:
    command = load_command_class(get_commands()[name], name)
    inherited = {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color"}
    inherited |= {"--force-color", "--skip-checks"}
    for action in all_actions(command.create_parser("manage.py", name)):
        if action.help is not SUPPRESS and not str(action.help or "").startswith("Internal"):
            yield from (text for text in action.option_strings if text.startswith("--") and text not in inherited)


def all_actions(parser):
    for action in parser._actions:
        yield action
        for inner in (getattr(action, "choices", None) or {}).values() if hasattr(action, "add_parser") else ():
            yield from all_actions(inner)


# ------------------------------------------------------------------ statuses, roles, words of the filter


def test_statuses_names_every_status_of_invocations_and_runs():
    of_invocations, of_runs = page("docs/reference/statuses.md").split("## Runs")
    assert first_column(of_invocations) == {status.value for status in Status}
    assert first_column(of_runs.partition("## Instances")[0]) == {status.value for status in RunStatus}


def test_roles_says_who_may_do_what():
    text = page("docs/reference/roles.md")
    header = next(line for line in text.splitlines() if line.startswith("| action |"))
    roles = [cell.strip(" `") for cell in header.split("|")[3:-1]]
    assert set(roles) == set(Role.values)
    said = {}
    for line in text.splitlines():
        if match := re.match(r"\| `(\w+)` \|", line):
            said[match[1]] = {role for role, cell in zip(roles, line.split("|")[3:-1], strict=True) if "yes" in cell}
    assert said == {action.value: {role for role in Role.values if action in ACTIONS_OF[role]} for action in Action}


def test_the_filter_language_names_every_key_and_state():
    words = marked(page("docs/reference/filter-language.md"))
    assert {word for word in RESERVED_KEYS if not any(said.startswith(f"{word}:") for said in words)} == set()
    assert set(STATES) <= words


# ------------------------------------------------------------------ reason codes


def test_troubleshooting_names_every_reason_code():
    said = first_column(page("docs/how-to/troubleshooting.md"))
    used = set(reasons_of_errors()) | set(reasons_in_code()) | set(execute._NOT_STARTED) | set(execute.CAUSES.values())
    assert {"dns", "auth_failed", "cwd_missing", "exit_status", "stop_unconfirmed", "max_errors"} <= used
    assert used | set(ADVICE) == said | NEVER_SHOWN


def reasons_of_errors(kind: type[EngineError] = EngineError) -> Iterator[str]:
    """The codes of errors that are raised: those in the middle of the tree only hold the others together."""
    for child in kind.__subclasses__():
        if child.__module__ == EngineError.__module__ and "reason" in vars(child) and not child.__subclasses__():
            yield child.reason
        yield from reasons_of_errors(child)


def reasons_in_code() -> Iterator[str]:
    for folder in MODULES_WITH_REASONS:
        for path in (ROOT / folder).rglob("*.py"):
            if path.name in MODULES_ABOUT_FILES:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                yield from (text for text in reasons_at(node) if CODE.fullmatch(text))


def reasons_at(node: ast.AST) -> Iterator[str]:
    """The codes in one place of the code, by the forms in which they are written."""
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        yield from (text for word in node.keywords if word.arg == "reason" for text in constants(word.value))
        if name in {"Refusal", "Ended", "not_started", "_probe", "skip_queued"}:
            yield from (text for argument in node.args for text in constants(argument))
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        defaults = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        yield from (text for arg, value in defaults if arg.arg == "reason" and value for text in constants(value))
    elif isinstance(node, ast.Return | ast.Assign) and says_why(node.value, is_returned=isinstance(node, ast.Return)):
        yield from (text for element in node.value.elts[:2] for text in constants(element))


def says_why(answer: ast.expr | None, *, is_returned: bool) -> bool:
    """Whether a value is a tuple (status, reason, sentence), or a returned one (reason, sentence)."""
    if not isinstance(answer, ast.Tuple) or not answer.elts:
        return False
    if ast.unparse(answer.elts[0]).startswith("Status."):
        return True
    last = answer.elts[-1]
    is_sentence = isinstance(last, ast.JoinedStr) or any(" " in text for text in constants(last))
    return is_returned and len(answer.elts) == 2 and is_sentence


def constants(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.BoolOp):
        yield from (text for value in node.values for text in constants(value))


# ------------------------------------------------------------------ links and names


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"|srcset=\"([^\"]+)\"", path.read_text()):
        link = next(part for part in target if part)
        if re.match(r"[a-z]+:", link):
            continue
        name, _, place = link.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), link
        if place:
            assert place in places_of(file.read_text()), link


def places_of(text: str) -> set[str]:
    """The anchors of a page, as GitHub and GitLab make them of its headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def main_path() -> list[tuple[str, str]]:
    table = page("ARCHITECTURE.md").partition("## The main path")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \d+ \| `([^`]+)` \| ([^|]+) \|", table, re.MULTILINE)
    return [(file, name) for file, names in rows for name in re.findall(r"`([^`]+)`", names)]


def test_the_main_path_has_steps():
    assert len(main_path()) > 20


@pytest.mark.parametrize(("file", "name"), main_path())
def test_every_function_of_the_main_path_exists(file, name):
    body = ast.parse(page(file)).body
    for part in name.split("."):
        found = [node for node in body if getattr(node, "name", None) == part]
        assert found, f"{name} is not in {file}"
        body = getattr(found[0], "body", [])


def test_every_file_the_pages_name_exists():
    for path in PAGES:
        for name in marked(path.read_text()):
            if re.fullmatch(r"(console|instances|tests|static|templates|tools|docs)/[\w./-]+", name):
                assert (ROOT / name).exists(), f"{name} in {path.name}"

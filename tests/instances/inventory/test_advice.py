"""Every reason the engine gives has advice."""

import pytest

from instances.engine import errors
from instances.inventory.advice import ADVICE, advice_for


def _reasons(error: type[errors.EngineError]) -> set[str]:
    below = set().union(*(_reasons(child) for child in error.__subclasses__()))
    return below or {error.reason}


def test_every_engine_reason_has_a_sentence() -> None:
    assert _reasons(errors.ConnectError) - set(ADVICE) == set()


@pytest.mark.parametrize("reason", ["cwd_missing", "run_as_user_missing", "run_as_denied", "sudo_missing", "bootstrap"])
def test_what_a_trial_command_meets_has_advice_of_its_own(reason: str) -> None:
    assert reason in ADVICE


def test_an_unknown_reason_still_gets_advice_and_none_gets_none() -> None:
    assert advice_for("something_new")
    assert advice_for("") == ""

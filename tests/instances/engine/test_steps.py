import inspect

import pytest

from instances.engine import errors
from instances.engine.steps import Stage, StepState, stage_of, steps_of
from instances.engine.types import Ended, HostKey, Outcome

KEY = HostKey.parse("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINcnCJMyROeZmap0z1xEfwgAQ8QVU4SBsdncE9KSiUxq")
CONNECT_ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.ConnectError) and kind not in (errors.ConnectError, errors.HostKeyError)
]


@pytest.mark.parametrize("kind", CONNECT_ERRORS)
def test_every_way_not_to_get_in_belongs_to_a_step_before_the_shell(kind):
    error = kind(KEY) if issubclass(kind, errors.HostKeyError) else kind()
    assert stage_of(error) is not Stage.SHELL
    steps = steps_of(tuple(Stage), error)
    assert [step.state for step in steps].count(StepState.FAILED) == 1
    (failed,) = (step for step in steps if step.state is StepState.FAILED)
    assert (failed.reason, "command" in failed.message) == (error.reason, False)


def test_what_comes_after_the_failure_was_not_tried():
    states = [step.state for step in steps_of(tuple(Stage), errors.AuthFailed())]
    assert states == [StepState.PASSED] * 4 + [StepState.FAILED] + [StepState.NOT_TRIED] * 3


def test_what_is_known_without_dialling_leaves_the_steps_before_untried():
    states = [step.state for step in steps_of(tuple(Stage), errors.CredentialsMissing())]
    assert states == [StepState.NOT_TRIED] * 4 + [StepState.FAILED] + [StepState.NOT_TRIED] * 3


@pytest.mark.parametrize(
    ("reason", "stage"),
    [
        ("cwd_missing", "working_directory"),
        ("bootstrap", "shell"),
        ("run_as_denied", "run_as"),
        ("sudo_missing", "run_as"),
    ],
)
def test_how_the_trial_ended_belongs_to_its_step(reason, stage):
    ended = Ended(Outcome.NOT_STARTED, reason=reason, message="It was so. The command did not run.")
    (failed,) = (step for step in steps_of(tuple(Stage), None, ended) if step.state is StepState.FAILED)
    assert (failed.stage, failed.reason, failed.message) == (stage, reason, "It was so.")

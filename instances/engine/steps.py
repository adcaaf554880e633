"""Owns the steps by which an instance is reached, and which of them a failure belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from instances.engine import errors
from instances.engine.errors import EngineError
from instances.engine.types import Ended, Outcome


class Stage(StrEnum):
    """A step, in the order in which they are taken."""

    JUMP = "jump"
    RESOLVE = "resolve"
    CONNECT = "connect"
    HOST_KEY = "host_key"
    SIGN_IN = "sign_in"
    SHELL = "shell"
    RUN_AS = "run_as"
    WORKING_DIRECTORY = "working_directory"


class StepState(StrEnum):
    """What came of a step."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_TRIED = "not_tried"


@dataclass(frozen=True)
class Step:
    """One step of a test; a failed one has the reason code and the message."""

    stage: Stage
    state: StepState
    reason: str = ""
    message: str = ""


# What is known without dialling: then the steps before it were not tried either.
_BEFORE_DIALLING = (
    errors.CredentialsMissing,
    errors.PassphraseWrong,
    errors.KeyUnreadable,
    errors.CertificateRefused,
    errors.AgentUnavailable,
)
_STAGE_OF: tuple[tuple[type[EngineError], Stage], ...] = (
    (errors.AddressNotFound, Stage.RESOLVE),
    (errors.AddressDenied, Stage.RESOLVE),
    (errors.ConnectionRefused, Stage.CONNECT),
    (errors.NoRoute, Stage.CONNECT),
    (errors.ConnectTimedOut, Stage.CONNECT),
    (errors.ProtocolFailed, Stage.HOST_KEY),
    (errors.HostKeyError, Stage.HOST_KEY),
    (errors.HostKeyRevoked, Stage.HOST_KEY),
    (errors.HostCertificateRefused, Stage.HOST_KEY),
    (errors.AuthFailed, Stage.SIGN_IN),
    *((kind, Stage.SIGN_IN) for kind in _BEFORE_DIALLING),
)
_REASONS_OF_RUN_AS = ("run_as", "sudo")


def steps_of(stages: Sequence[Stage], error: EngineError | None, ended: Ended | None = None) -> tuple[Step, ...]:
    """Return what came of each stage, given how reaching the instance failed, or how the trial command ended."""
    if error is not None:
        return _failed_at(stages, stage_of(error), error.reason, error.cause, not isinstance(error, _BEFORE_DIALLING))
    if ended is not None and ended.outcome is not Outcome.EXITED:
        return _failed_at(stages, _stage_of_reason(ended.reason), ended.reason, _without_command(ended.message), True)
    return tuple(Step(stage, StepState.PASSED) for stage in stages)


def stage_of(error: EngineError) -> Stage:
    """Return the step in which this error comes about; what comes after signing in belongs to the shell."""
    if (isinstance(error, errors.ConnectError) and error.hop is not None) or isinstance(error, errors.JumpRefused):
        return Stage.JUMP
    if isinstance(error, errors.ServerClosed):
        return Stage.SIGN_IN if error.is_signing_in else Stage.HOST_KEY
    return next((stage for kind, stage in _STAGE_OF if isinstance(error, kind)), Stage.SHELL)


def _stage_of_reason(reason: str) -> Stage:
    if reason.startswith(_REASONS_OF_RUN_AS):
        return Stage.RUN_AS
    return Stage.WORKING_DIRECTORY if reason == "cwd_missing" else Stage.SHELL


def _failed_at(stages: Sequence[Stage], failed: Stage, reason: str, message: str, is_dialled: bool) -> tuple[Step, ...]:
    order = list(Stage)
    # A step that does not stand by itself here is told with the next one.
    at = order.index(next((stage for stage in stages if order.index(stage) >= order.index(failed)), stages[-1]))
    found = []
    for stage in stages:
        place = order.index(stage)
        if place == at:
            found.append(Step(stage, StepState.FAILED, reason, message))
        else:
            found.append(Step(stage, StepState.PASSED if place < at and is_dialled else StepState.NOT_TRIED))
    return tuple(found)


def _without_command(message: str) -> str:
    return message.replace(" The command did not run.", "").replace(" It did not run.", "")

"""Owns how the steps of a connection test are shown: their names, what came of them, and what to do next."""

from dataclasses import dataclass

from instances.engine.steps import Stage, StepState
from instances.inventory.advice import advice_for
from instances.inventory.models import Instance

LABELS: dict[str, str] = {
    Stage.JUMP: "Jump host",
    Stage.RESOLVE: "Resolve the name",
    Stage.CONNECT: "Connect",
    Stage.HOST_KEY: "Host key",
    Stage.SIGN_IN: "Sign in",
    Stage.SHELL: "Shell",
    Stage.RUN_AS: "Run as",
    Stage.WORKING_DIRECTORY: "Working directory",
}
_STATUS_OF = {StepState.PASSED: "succeeded", StepState.FAILED: "failed", StepState.NOT_TRIED: "skipped"}
_WORDS = {StepState.PASSED: "passed", StepState.FAILED: "failed", StepState.NOT_TRIED: "not tried"}


@dataclass(frozen=True)
class ShownStep:
    """One step as a page shows it; ``status`` is the run status whose colour and icon it takes."""

    label: str
    word: str
    status: str
    message: str
    advice: str


def shown_steps(instance: Instance) -> list[ShownStep]:
    """Return the steps of an instance's last check; none before the first."""
    found = instance.check_steps if isinstance(instance.check_steps, list) else []
    return [
        ShownStep(
            LABELS.get(step["stage"], step["stage"]),
            _WORDS.get(step["state"], step["state"]),
            _STATUS_OF.get(step["state"], "skipped"),
            step.get("message", ""),
            advice_for(step.get("reason", "")),
        )
        for step in found
    ]

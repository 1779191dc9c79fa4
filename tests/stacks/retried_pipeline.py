"""A pipeline of one step that fails as it is told to, for test_retries.py."""

from __future__ import annotations

import os
import signal
from typing import Annotated

from zenml import get_step_context, pipeline, step
from zenml.exceptions import RunInterruptedException

from materializers.errors import Refused, ServiceUnreachable, UsageError

FAULTS: dict[str, type[BaseException]] = {
    "refused": Refused,
    "wrong use": UsageError,
    "unreachable": ServiceUnreachable,
    "a library's": RuntimeError,
    "interrupted": KeyboardInterrupt,
    "terminated": RunInterruptedException,
}

attempts: list[str] = []
told: list[tuple[str, str]] = []
"""The steps that the failure hook was called for, with the class of what was raised."""


def tell(exception: BaseException) -> None:
    """What ZenML calls when a step has failed for good, in the step's context."""
    told.append((get_step_context().step_run.name, type(exception).__name__))


@step(enable_cache=False)
def before() -> Annotated[int, "number"]:
    """A step that ends well."""
    return 1


@step(enable_cache=False)
def falters(number: int, faults: list[str]) -> Annotated[int, "sum"]:
    """Raise the fault of this attempt, or end well once there is none left."""
    attempts.append("attempt")
    if len(attempts) <= len(faults):
        fault = faults[len(attempts) - 1]
        if fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise FAULTS[fault](f"it is {fault}")
    return number


@pipeline(on_failure=tell)
def faltering(faults: list[str]) -> None:
    """Two steps, the second of which falters."""
    falters(before(), faults)

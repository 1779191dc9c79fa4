"""Tell people of a model that its gate refused in a run that nobody watches."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from materializers.alert import Alert
from materializers.evidence import RegisteredVersion
from materializers.verdict import Verdict
from steps.monitoring.alerts.alert import clear_alert, raise_alert

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

MODEL_REFUSED = "model_refused"
SCHEDULED = "SHUTTERLINE_SCHEDULED"
"""The variable that a scheduler of ours sets for the commands that it starts."""


def is_unattended(origin: Literal["train", "continuous"], run: PipelineRunResponse) -> bool:
    """Whether nobody waits for what a training run comes to: it is continuous, or of a schedule."""
    return origin == "continuous" or run.schedule is not None or SCHEDULED in os.environ


def tell_of_verdict(entry: RegisteredVersion, verdict: Verdict, *, unattended: bool) -> None:
    """Raise an alert on a version that did not pass in a run that nobody watches; one that passed ends all.

    Nothing is raised as an exception: the verdict is in the registry.

    Args:
        entry: the version.
        verdict: that this run reached on it.
        unattended: whether nobody reads it at a terminal.
    """
    name, subject = entry.model_name, f"version {entry.version}"
    if verdict.outcome == "passed":
        clear_alert(MODEL_REFUSED, name, reason=f"Version {entry.version} passed.")
    elif unattended:
        said = "was refused by its gate" if verdict.outcome == "refused" else "could not be assessed"
        raise_alert(
            Alert(
                name=MODEL_REFUSED,
                severity="warning",
                model_name=name,
                subject=subject,
                reasons=(
                    f"Version {entry.version} {said}; what is live is unchanged:",
                    *verdict.reasons(),
                    f"python run.py --lineage {entry.version} says what it learnt from",
                ),
            )
        )

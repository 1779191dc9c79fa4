"""Ask the released service whether it serves the version that it should."""

from __future__ import annotations

from typing import Annotated, Literal

from zenml import step

from materializers.release import Release
from steps.deployment.deployer import active_deployer

Observation = Literal["promote", "roll back", "nothing to observe"]


def judge_service(applied: Release) -> Observation:
    """``promote`` when a prediction through the URL names the released version, else ``roll back``."""
    if applied.status != "live":
        return "nothing to observe"
    return "promote" if active_deployer().verify(applied) else "roll back"


@step(enable_cache=False)
def observe(applied: Release) -> Annotated[str, "observation"]:
    """Answer what should become of the release."""
    return judge_service(applied)

"""Ask the released service whether it serves the version that it should, and in staging whether it can."""

from __future__ import annotations

from typing import Annotated, Literal

from zenml import step

from materializers.errors import Refused
from materializers.load_test import LoadTest
from materializers.release import Release
from steps.deployment.deployer import active_deployer
from steps.deployment.load_test import put_under_load
from steps.evaluation.cost.settings import CostSettings
from steps.evaluation.policy import Policy

Observation = Literal["promote", "roll back", "refuse", "nothing to observe"]


def judge_service(applied: Release) -> Observation:
    """``promote`` when a prediction through the URL names the released version, else ``roll back``."""
    if applied.status != "live":
        return "nothing to observe"
    return "promote" if active_deployer().verify(applied) else "roll back"


def observe_release(
    applied: Release, policy: Policy, cost: CostSettings
) -> tuple[Observation, LoadTest | None, str | None]:
    """What should become of a release, its load test where it had one, and why it is refused.

    Only what is new in staging is put under load: in production users would wait for it.

    Raises:
        ServiceUnreachable: the registry or the artifact store cannot be read.
    """
    observation = judge_service(applied)
    if observation != "promote" or applied.environment != "staging":
        return observation, None, None
    try:
        tested = put_under_load(applied, policy, cost)
    except Refused as refusal:
        return "refuse", None, str(refusal)
    if tested is None or tested.outcome == "passed":
        return observation, tested, None
    return "refuse", tested, f"Under load in staging: {'; '.join(tested.reasons())}"


@step(enable_cache=False)
def observe(
    applied: Release, policy: Policy, cost: CostSettings
) -> tuple[
    Annotated[str, "observation"],
    Annotated[LoadTest | None, "load_test"],
    Annotated[str | None, "refusal"],
]:
    """Answer what should become of the release."""
    observation, tested, refusal = observe_release(applied, policy, cost)
    return observation, tested, refusal

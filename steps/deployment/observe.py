"""Ask what was released whether it serves as it should; compare what is rolling out with the champion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from zenml import step

from materializers.ab_report import AbReport
from materializers.end_to_end import EndToEnd
from materializers.errors import Refused
from materializers.evidence import verify_return
from materializers.load_test import LoadTest
from materializers.observation import Observation
from materializers.release import Release
from materializers.shadow_report import ShadowReport
from steps.deployment.comparing import Comparison, compare
from steps.deployment.deployer import active_deployer
from steps.deployment.end_to_end import ask_end_to_end
from steps.deployment.load_test import put_under_load
from steps.deployment.rollout import ended_before
from steps.deployment.settings import DeploymentSettings
from steps.deployment.tested import keep_end_to_end
from steps.evaluation.cost.settings import CostSettings
from steps.evaluation.policy import Policy
from steps.registry.decisions import require_decided

Answer = Literal["continue", "promote", "roll back", "refuse", "nothing to observe"]


def now() -> datetime:
    """The moment of a look."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Observed:
    """What should become of a release.

    Args:
        answer: in a word.
        reasons: why.
        load_test: of a release that is new in staging, where it had one.
        end_to_end: the same.
        compared: what is rolling out with the champion.
    """

    answer: Answer
    reasons: tuple[str, ...] = ()
    load_test: LoadTest | None = None
    end_to_end: EndToEnd | None = None
    compared: Comparison | None = None


def judge_service(applied: Release) -> Answer:
    """``promote`` when a prediction through the URL names the released version, else ``roll back``."""
    if applied.status != "live":
        return "nothing to observe"
    return "promote" if active_deployer().verify(applied) else "roll back"


def observe_release(
    applied: Release, policy: Policy, cost: CostSettings, settings: DeploymentSettings
) -> Observed:
    """What should become of a release.

    Only what is new in staging is tested end to end and put under load: in production users would wait.

    Raises:
        ServiceUnreachable: the registry or the artifact store cannot be read.
    """
    if applied.status == "rolling_out":
        return observe_rollout(applied, settings)
    answer = judge_service(applied)
    if answer != "promote" or applied.environment != "staging":
        return Observed(answer)
    try:
        tested = put_under_load(applied, policy, cost)
        asked = ask_end_to_end(applied, tested)
    except Refused as refusal:
        return Observed("refuse", (str(refusal),))
    keep_end_to_end(asked)
    if asked.outcome == "passed":
        return Observed(answer, load_test=tested, end_to_end=asked)
    reasons = [f"In staging {reason}" for reason in asked.reasons()]
    return Observed("refuse", tuple(reasons), tested, asked)


def observe_rollout(rolling: Release, settings: DeploymentSettings) -> Observed:
    """What should become of a candidate that serves beside the champion.

    Raises:
        ServiceUnreachable: what runs, the registry, the log or the captures cannot be read.
    """
    before = ended_before(rolling)
    if before is not None:  # whoever logged that did not come to take it out
        return Observed("roll back", (before.reason,))
    fault = forbidden(rolling)
    if fault is not None:
        return Observed("roll back", (fault,))
    if not active_deployer().verify(rolling):
        version = rolling.candidate.version if rolling.candidate else None
        said = (
            f"Version {version} does not answer a picture as that version, unaltered: it died or was altered"
        )
        return Observed("roll back", (f"{said}.",))
    compared = compare(rolling, settings, now=now())
    if compared is None:
        return Observed("roll back", ("The deployer's record of what is rolling out says not beside what.",))
    seen = compared.observation
    reasons = (*seen.reasons, *seen.missing)
    if seen.answer != "ask":
        return Observed(seen.answer, reasons, compared=compared)
    return Observed("continue", (*reasons, _asks(rolling)), compared=compared)


def _asks(rolling: Release) -> str:
    """What a person may decide at the deadline."""
    where = f"--environment {rolling.environment}"
    return (
        f"A person decides: promote it with python run.py --observe {where} --set "
        f"deployment.observe.undecided=promote, or end it with python run.py --rollback {where}"
    )


def forbidden(rolling: Release) -> str | None:
    """Why what is rolling out may not be served any more; None where it may.

    A person rejected it or withdrew its approval since, or its records were altered.

    Raises:
        ServiceUnreachable: the registry or the log cannot be read.
    """
    arm, where = rolling.candidate, rolling.environment
    if arm is None:
        return "The deployer's record of what is rolling out names no version."
    trusted = active_deployer().trusted_keys()
    try:
        verify_return(arm, model_name=rolling.model_name, environment=where, trusted=trusted)
        require_decided(rolling.model_name, arm, where, trusted)
    except Refused as refusal:
        return str(refusal)
    return None


@step(enable_cache=False)
def observe(
    applied: Release | None, policy: Policy, cost: CostSettings, settings: DeploymentSettings
) -> tuple[
    Annotated[str, "observation"],
    Annotated[list[str], "why"],
    Annotated[LoadTest | None, "load_test"],
    Annotated[EndToEnd | None, "end_to_end"],
    Annotated[Observation | None, "comparison"],
    Annotated[AbReport | None, "ab_report"],
    Annotated[ShadowReport | None, "shadow_report"],
]:
    """Answer what should become of the release."""
    if applied is None:
        return "nothing to observe", [], None, None, None, None, None
    seen = observe_release(applied, policy, cost, settings)
    compared = seen.compared
    return (
        seen.answer,
        list(seen.reasons),
        seen.load_test,
        seen.end_to_end,
        compared.observation if compared else None,
        compared.ab_report if compared else None,
        compared.shadow_report if compared else None,
    )

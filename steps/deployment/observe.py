"""Ask what was released whether it serves as it should; compare what is rolling out with the champion."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Literal

from zenml import step

from materializers.ab_report import AbReport
from materializers.end_to_end import EndToEnd
from materializers.errors import Refused, ServiceBusy
from materializers.evidence import read_version, verify_return
from materializers.load_test import LoadTest
from materializers.observation import Observation
from materializers.release import Release
from materializers.shadow_report import ShadowReport
from steps.data.class_changes import NO_CHANGES, ClassChanges
from steps.deployment.candidate import require_as_configured
from steps.deployment.comparing import Comparison, compare
from steps.deployment.deployer import active_deployer
from steps.deployment.end_to_end import ask_end_to_end
from steps.deployment.load_test import put_under_load
from steps.deployment.observing.settings import LONGEST_S, ObserveSettings
from steps.deployment.rollout import ended_before
from steps.deployment.settings import DeploymentSettings
from steps.deployment.tested import keep_end_to_end
from steps.evaluation.cost.settings import CostSettings
from steps.evaluation.policy import Policy
from steps.registry.approvers import ApprovalSettings
from steps.registry.decisions import require_approval_logged
from steps.registry.presupposed import Presupposed

Answer = Literal["continue", "promote", "roll back", "refuse", "nothing to observe"]
PATIENCE_S = 30.0
"""How long a version may not be ready, fail, or have no time, before a look believes it."""
PAUSE_S = 1.0
"""Between two questions meanwhile."""
MORE_TIME = 2
"""How many times as long a test may take that had too little to compare."""


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


def answers(release: Release, *, patience_s: float) -> bool:
    """Whether a release answers a picture as its version, unaltered; asked again for so long until it does.

    Raises:
        ServiceBusy: it did not, and some time had no time: nobody can say that it would not.
        ServiceUnreachable: what runs cannot be known.
    """
    until, busy = time.monotonic() + patience_s, None
    while True:
        try:
            if active_deployer().verify(release):
                return True
        except ServiceBusy as error:
            busy = error
        if time.monotonic() >= until:
            break
        time.sleep(PAUSE_S)
    if busy is not None:
        raise busy
    return False


def judge_service(applied: Release, *, patiently: bool = True) -> Answer:
    """``promote`` when a prediction through the URL names the released version, else ``roll back``.

    Args:
        applied: the release, with all the traffic.
        patiently: whether it is asked again before it is believed that it does not answer.

    Raises:
        ServiceBusy: it has no time to answer; it stays live, and pending.
    """
    if applied.status != "live":
        return "nothing to observe"
    try:
        return "promote" if answers(applied, patience_s=PATIENCE_S if patiently else 0) else "roll back"
    except ServiceBusy as error:
        raise ServiceBusy(
            f"{error}. {_version(applied)} stays live in {applied.environment} and is not recorded yet: the "
            "next command asks it again. See how it does: python run.py --status"
        ) from error


def observe_release(
    applied: Release,
    *,
    policy: Policy,
    presupposed: Presupposed,
    approval: ApprovalSettings,
    cost: CostSettings,
    settings: DeploymentSettings,
    changes: ClassChanges = NO_CHANGES,
) -> Observed:
    """What should become of a release.

    Only what is new in staging is tested end to end and put under load: in production users would wait, and
    beside what rolls out another version would answer, too.
    What rolls out gets more of the traffic only where what is configured now would release it.

    Raises:
        ServiceBusy: it has no time to answer; it stays live, and pending.
        ServiceUnreachable: the registry or the artifact store cannot be read.
    """
    if applied.status == "rolling_out":
        return allowed_now(
            observe_rollout(applied, settings, changes),
            applied,
            policy_digest=policy.digest,
            presupposed=presupposed,
            approval=approval,
        )
    answer = judge_service(applied)
    if answer != "promote" or applied.environment != "staging":
        return Observed(answer)
    if active_deployer().rolling_out(applied.model_name, applied.environment) is not None:
        return Observed(answer)
    try:
        tested = put_under_load(applied, policy, cost)
        asked = ask_end_to_end(applied, tested)
    except Refused as refusal:
        return Observed("refuse", (str(refusal),))
    keep_end_to_end(asked, applied, presupposed)
    if asked.outcome == "passed":
        return Observed(answer, load_test=tested, end_to_end=asked)
    reasons = [f"In staging {reason}" for reason in asked.reasons()]
    return Observed("refuse", tuple(reasons), tested, asked)


def observe_rollout(
    rolling: Release, settings: DeploymentSettings, changes: ClassChanges = NO_CHANGES
) -> Observed:
    """What should become of a candidate that serves beside the champion.

    One that has no time to answer the look itself is judged by what it answered users: it may be rolled back
    for that, and goes on otherwise, for nobody knows yet that it could take all the traffic.

    Raises:
        ServiceUnreachable: what runs, the registry, the log or the captures cannot be read.
    """
    before = ended_before(rolling)
    if before is not None:  # whoever logged that did not come to take it out
        return Observed("roll back", (before.reason,))
    fault = forbidden(rolling)
    if fault is not None:
        return Observed("roll back", (fault,))
    busy: tuple[str, ...] = ()
    try:
        if not answers(rolling, patience_s=PATIENCE_S):
            said = "does not answer a picture as that version, unaltered"
            why = f"{_version(rolling)} {said}, for {PATIENCE_S:g} s now: it died, fails or was altered."
            return Observed("roll back", (why,))
    except ServiceBusy as error:
        said = "had no time to answer a picture, and is not promoted before it does"
        busy = (f"{_version(rolling)} {said}: {error}, for {PATIENCE_S:g} s.",)
    compared = compare(rolling, settings, changes, now=now())
    if compared is None:
        return Observed("roll back", ("The deployer's record of what is rolling out says not beside what.",))
    seen = compared.observation
    # What does not run beside it may be why there is less to compare than users sent.
    faults = active_deployer().faults(rolling.model_name)
    reasons = (*busy, *faults, *seen.reasons, *seen.missing)
    if seen.answer == "ask":
        return Observed("continue", (*reasons, advice(rolling, seen, settings.observe)), compared=compared)
    goes_on = bool(busy) and seen.answer == "promote"
    return Observed("continue" if goes_on else seen.answer, reasons, compared=compared)


def allowed_now(
    seen: Observed,
    rolling: Release,
    *,
    policy_digest: str,
    presupposed: Presupposed,
    approval: ApprovalSettings,
) -> Observed:
    """What a look came to, or its refusal: today's policy, settings and approvers have to allow it.

    A refusal changes nothing that serves, for whoever looks may have left out a ``--config``; what harms is
    taken out whatever is configured.

    Raises:
        ServiceUnreachable: the registry or the log cannot be read.
    """
    arm, where = rolling.candidate, rolling.environment
    if arm is None or seen.answer == "roll back":
        return seen
    try:
        require_as_configured(
            read_version(rolling.model_name, arm.version),
            arm,
            where,
            policy_digest=policy_digest,
            presupposed=presupposed,
            approval=approval,
            trusted=active_deployer().trusted_keys(),
        )
    except Refused as refusal:
        why = (
            f"{_version(rolling)} gets no more of the traffic in {where}, and goes on with what it has "
            f"({rolling.mode}, {rolling.share:.0%}): {refusal}. End its rollout: python run.py --rollback "
            f"--environment {where}"
        )
        return replace(seen, answer="refuse", reasons=(why, *seen.reasons))
    return seen


def advice(rolling: Release, seen: Observation, settings: ObserveSettings) -> str:
    """What a person may decide where the policy asks one, with the commands that do it.

    Nothing promotes a shadow, nor what there is too little to compare of: there ``undecided: promote`` would
    take the candidate out.
    """
    where = rolling.environment
    look = f"python run.py --observe --environment {where}"
    end = f"python run.py --rollback --environment {where}"
    version = rolling.candidate.version if rolling.candidate else None
    again = f"python run.py --deploy --version {version} --environment {where} --set deployment.{where}.mode"
    if rolling.mode == "shadow":
        return f"A person decides: take it out with {end}, and then let users have it: {again}=canary"
    if seen.because != "insufficient data":
        return (
            f"A person decides: promote it with {look} --set deployment.observe.undecided=promote, or end it "
            f"with {end}"
        )
    longer = min(MORE_TIME * settings.maximum_s, LONGEST_S)
    more = f"give it more time with {look} --set deployment.observe.maximum_s={longer:.0f}, or "
    if seen.decided_at != seen.deadline or longer <= settings.maximum_s:  # more of it would change nothing
        more = ""
    return (
        f"A person decides: {more}end it with {end}, and then, to release it without a comparison: "
        f"{again}=full"
    )


def _version(release: Release) -> str:
    return f"Version {release.candidate.version if release.candidate else None}"


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
        if where == "production":
            require_approval_logged(rolling.model_name, arm, trusted)
    except Refused as refusal:
        return str(refusal)
    return None


@step(enable_cache=False)
def observe(
    applied: Release | None,
    policy: Policy,
    presupposed: Presupposed,
    approval: ApprovalSettings,
    cost: CostSettings,
    settings: DeploymentSettings,
    class_changes: ClassChanges,
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
    seen = observe_release(
        applied,
        policy=policy,
        presupposed=presupposed,
        approval=approval,
        cost=cost,
        settings=settings,
        changes=class_changes,
    )
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

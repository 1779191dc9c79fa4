"""What follows where a drop of the live model's accuracy was confirmed: a proposal, a rollback, or nothing.

It goes by two drops in a row on windows that do not overlap, of exactly the model that is live, since it went
live. What takes its place has another digest, so that it is judged by windows of its own. What the deployer
refuses to restore is never served: then what is live stays, and people are told why.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, get_args

from zenml import step

from materializers.alert import Alert, Severity
from materializers.drift_report import DriftReport
from materializers.errors import Refused, ShutterlineError, UsageError
from materializers.reaction import Policy, Reaction, ReactionOutcome
from materializers.release import Environment, Release
from materializers.report import json_digest
from materializers.signatures import require_listed
from steps.deployment.deployer import active_deployer
from steps.deployment.rollback import end_rollout, previous_release, put_back
from steps.monitoring.alerts.alert import clear_alert, raise_alert
from steps.monitoring.history import confirmed, dropped, past_reports
from steps.monitoring.settings import PerformanceSettings
from steps.registry.audit import PIPELINE, acting_signer

logger = logging.getLogger("shutterline")

LOOKED_BACK, WINDOWS = timedelta(days=31), 4
"""A drop of before confirms none of now; where windows are long, one of before so many of them."""
ALERTS: dict[ReactionOutcome, str] = {
    "proposed": "rollback_proposed",
    "rolled_back": "rolled_back",
    "not_possible": "rollback_not_possible",
}
"""The alert of each outcome that people are told of."""
CONFIRMED = "a confirmed drop"
"""How the deployer's record begins to say why a release was put back for one."""
SEVERITY: dict[str, Severity] = dict.fromkeys(ALERTS.values(), "critical")


def react_to(report: DriftReport, policy: Policy) -> Reaction:
    """Decide what follows from a report, and do it where the policy says so.

    Args:
        report: on the newest window.
        policy: what a confirmed drop leads to.

    Raises:
        ServiceUnreachable: what is live cannot be read.
    """
    about = report.captured
    if not dropped(report):
        said = "no drop of the accuracy" if report.performance.outcome == "no drop" else "too few labels"
        return _reaction(report, policy, "nothing", f"Nothing to do: {said}.")
    live = active_deployer().current(about.model_name, about.environment)
    if live is None or not _is_of(report, live):
        said = f"Version {about.version} is not live in {about.environment} any more: nothing to do."
        return _reaction(report, policy, "nothing", said)
    pair = confirmed(_windows(report, live), dropped)
    if pair is None:
        said = "The drop stands alone: a second in a row, on a window that does not overlap, confirms it."
        return _reaction(report, policy, "unconfirmed", said)
    return _confirmed(report, policy, live, evidence=tuple(each.digest for each in pair))


def _confirmed(report: DriftReport, policy: Policy, live: Release, *, evidence: tuple[str, ...]) -> Reaction:
    """What follows from a drop that was confirmed; whatever keeps that from being done is a reason."""
    about = report.captured
    if policy == "off":
        said = "The drop is confirmed; by monitor.performance.rollback=off people are told of it alone."
        return _reaction(report, policy, "told", said, evidence=evidence)
    try:
        before = previous_release(about.model_name, about.environment)
        _require_another(before, live)
        if policy == "ask":
            return _proposed(report, before, evidence)
        return _rolled_back(report, before, evidence)
    except ShutterlineError as error:
        stays = f"The drop is confirmed, and version {about.version} stays live in {about.environment}"
        return _reaction(report, policy, "not_possible", f"{stays}: {error}", evidence=evidence)


def _windows(report: DriftReport, live: Release) -> Sequence[DriftReport]:
    """The report and those before it, on what was answered since the live release went live; newest first."""
    about = report.captured
    since = about.until - max(LOOKED_BACK, WINDOWS * (about.until - about.since))
    since = since if live.since is None else max(since, live.since)
    past = past_reports(about.model_name, about.environment, since=since)
    earlier = (each for each in past if each.captured.until < about.until)
    return [each for each in (report, *earlier) if each.captured.until > since]


def _is_of(report: DriftReport, release: Release | None) -> bool:
    """Whether a report is on the model of a release."""
    arm = release.candidate if release is not None else None
    return arm is not None and arm.model_digest == report.captured.model_digest


def _require_another(before: Release, live: Release) -> None:
    """Check that going back would change what answers.

    Raises:
        Refused: the release before has the same model, or what is live is not recorded yet.
    """
    was, now = before.candidate, live.candidate
    if was is not None and now is not None and was.model_digest == now.model_digest:
        raise Refused(
            f"version {was.version}, which was live before, is the same model. Release another one: "
            f"python run.py --deploy --environment {live.environment} --version N"
        )
    if not live.recorded:
        raise Refused(
            "its release is not recorded yet; the next command records it, and the next run looks again"
        )


def _proposed(report: DriftReport, before: Release, evidence: tuple[str, ...]) -> Reaction:
    about, version = report.captured, _version(before)
    rolling = active_deployer().rolling_out(about.model_name, about.environment)
    first = f", twice: the first ends the rollout of version {_version(rolling)}" if rolling else ""
    return _reaction(
        report,
        "ask",
        "proposed",
        f"The drop is confirmed. To put version {version} back: python run.py --rollback --environment "
        f"{about.environment}{first}",
        *report.performance.reasons,
        to_version=version,
        evidence=evidence,
    )


def _rolled_back(report: DriftReport, before: Release, evidence: tuple[str, ...]) -> Reaction:
    """Put the release before back, in the place of exactly what was looked at.

    Raises:
        Refused: something else is live by now, its own evidence does not allow it, or this account may not
            act.
        ShutterlineError: it cannot be done.
    """
    deployer, about = active_deployer(), report.captured
    why = f"{CONFIRMED}: {' '.join(report.performance.reasons)} (reports {', '.join(evidence)})"
    require_listed(acting_signer(), deployer.trusted_keys())  # what is changed has to be logged
    # Asked after the release before was read: what that is, is of this one.
    if not _is_of(report, deployer.current(about.model_name, about.environment)):
        raise Refused("another command changed what is live meanwhile. See what is: python run.py --status")
    said = []
    rolling = deployer.rolling_out(about.model_name, about.environment)
    if rolling is not None:
        end_rollout(rolling, by=PIPELINE, why=f"what it rolls out beside is rolled back: {why}")
        said.append(f"The rollout of version {_version(rolling)} was ended.")
    try:
        done = put_back(before, by=PIPELINE, why=why)
    except ShutterlineError as error:
        raise Refused(" ".join([*said, str(error)])) from error
    version = _version(done.release)
    said.append(f"Version {version} is live in {about.environment} again, in the place of {about.version}.")
    if done.unrecorded is not None:
        said.append(f"The registry does not know yet ({done.unrecorded}); the next command records it.")
    return _reaction(
        report,
        "automatic",
        "rolled_back",
        *said,
        *report.performance.reasons,
        to_version=version,
        evidence=evidence,
    )


def _version(release: Release) -> int | None:
    return release.candidate.version if release.candidate is not None else None


def _reaction(
    report: DriftReport,
    policy: Policy,
    outcome: ReactionOutcome,
    *reasons: str,
    to_version: int | None = None,
    evidence: tuple[str, ...] = (),
) -> Reaction:
    about = report.captured
    return Reaction(
        outcome=outcome,
        policy=policy,
        model_name=about.model_name,
        environment=about.environment,
        version=about.version,
        model_digest=about.model_digest,
        to_version=to_version,
        evidence=evidence or (report.digest,),
        reasons=reasons,
    )


def alert_of(reaction: Reaction) -> Alert | None:
    """What people are told of it; None where there is nothing to tell, or :func:`tell_of_rollbacks` does."""
    name = ALERTS.get(reaction.outcome)
    if name is None or reaction.outcome == "rolled_back":
        return None
    return Alert(
        name=name,
        severity=SEVERITY[name],
        model_name=reaction.model_name,
        environment=reaction.environment,
        subject=f"version {reaction.version}",
        reasons=reaction.reasons,
    )


def tell_of_rollbacks(model_name: str, *, now: datetime | None = None) -> None:
    """Tell people what a confirmed drop put back, each once, by what the deployer says is live.

    So whoever looks first tells it: the step that put it back, or, where that was cut off, the same step
    again or the next command. Where nothing serves, nothing is told.

    Args:
        model_name: the registered model.
        now: the time, with its zone; None: the clock's.

    Raises:
        ServiceUnreachable: what is live cannot be read.
    """
    try:
        deployer = active_deployer()
    except UsageError:
        return
    for environment in get_args(Environment):
        live = deployer.current(model_name, environment)
        alert = None if live is None else rollback_alert(live)
        if alert is not None:
            raise_alert(alert, now=now)


def rollback_alert(live: Release) -> Alert | None:
    """What people are told of a release that is live; None where no confirmed drop put it back."""
    now, left = live.candidate, live.champion
    if not live.restored or now is None or left is None or not live.why.startswith(CONFIRMED):
        return None
    replaced, name = left.version, ALERTS["rolled_back"]
    back = f"Version {now.version} is live in {live.environment} again, in the place of {replaced}."
    pending = () if live.recorded else ("The registry does not know yet; the next command records it.",)
    return Alert(
        name=name,
        severity=SEVERITY[name],
        model_name=live.model_name,
        environment=live.environment,
        subject=f"version {replaced}",
        reasons=(back, *pending, f"Why: {live.why}"),
        event=True,
        # Why names the two reports, which lead to one rollback alone.
        occurrence=json_digest([live.environment, now.model_digest, left.model_digest, live.why]),
    )


@step(enable_cache=False)
def react(report: DriftReport, settings: PerformanceSettings) -> Annotated[Reaction, "reaction"]:
    """Roll back, propose it, or do nothing, and tell people of what was done."""
    reaction = react_to(report, settings.rollback)
    alert = alert_of(reaction)
    if alert is not None:
        raise_alert(alert)
    about = report.captured
    try:
        tell_of_rollbacks(about.model_name)
    except ShutterlineError as error:  # the next look tells it
        logger.warning("Whether a release was put back is not known: %s", error)
    if dropped(report) is False:
        for name in ALERTS.values():
            clear_alert(
                name, about.model_name, about.environment, reason="The accuracy has not dropped any more."
            )
    return reaction

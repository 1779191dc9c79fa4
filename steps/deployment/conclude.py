"""Record a release that serves, or put the previous one back.

What is live is what the deployer holds; the registry's aliases follow it. A release whose record could not
be written stays pending beside the deployer's state, and the next command of any kind records it first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

from zenml import step

from materializers.audit_entry import Act
from materializers.audit_log import has_entry
from materializers.errors import (
    Refused,
    ServiceBusy,
    ServiceFailed,
    ServiceUnreachable,
    ShutterlineError,
    UsageError,
)
from materializers.evidence import (
    read_version,
    read_versions,
    registry_client,
    registry_errors,
    verify_return,
    version_with_alias,
    was_live_tag,
)
from materializers.observation import Observation
from materializers.release import Environment, Release
from steps.deployment.bring_up import bring_up
from steps.deployment.deployer import active_deployer
from steps.deployment.observe import judge_service
from steps.deployment.rollout import advance, evidence_of, log_lost_end, log_stage, since_of, take_out
from steps.deployment.schedule import stop_looking
from steps.deployment.settings import DeploymentSettings, EnvironmentSettings
from steps.deployment.tested import own_test
from steps.registry.aliases import CHALLENGER, PREVIOUS, live_alias
from steps.registry.audit import PIPELINE, record


def record_release(release: Release) -> Release:
    """Make the registry's aliases say what the deployer holds, and mark the release as recorded.

    It never moves traffic: a release that another command superseded meanwhile is returned as refused.

    Raises:
        ServiceUnreachable: the registry cannot be written; the release stays live and pending.
    """
    if not _is_live(release):
        return _superseded(release)
    _write_record(release)
    _log(release)
    deployer = active_deployer()
    if deployer.mark_recorded(release):
        return release.model_copy(update={"recorded": True})
    # Superseded while the aliases were written: they must say what is live now.
    now = deployer.current(release.model_name, release.environment)
    if now is not None:
        _write_record(now)
    return _superseded(release)


def _log(release: Release) -> None:
    """Write to the audit log what is live now, once.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: the log cannot be written; the release stays live and pending.
    """
    arm = release.candidate
    if arm is None:
        return
    replaced = release.champion
    subject = {
        **evidence_of(release, arm),
        "from_version": str(replaced.version) if replaced else "none",
        "since": since_of(release),
    }
    if release.restored:
        record("rollback", subject, by=release.by or PIPELINE, reason=release.why or "put back", once=True)
    else:
        rollout = {"rollout": release.rollout} if release.rollout else {}
        why = release.why or "released on its verdict"
        record("release", subject | rollout, by=PIPELINE, reason=why, once=True)


def was_logged(release: Release) -> bool:
    """Whether the audit log has a release, or a rollback, to exactly this evidence.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    arm, trusted = release.candidate, active_deployer().trusted_keys()
    acts: tuple[Act, ...] = ("release", "rollback")
    return arm is None or any(has_entry(act, evidence_of(release, arm), trusted) for act in acts)


def _is_live(release: Release) -> bool:
    now = active_deployer().current(release.model_name, release.environment)
    if now is None or now.candidate is None or release.candidate is None:
        return False
    return now.candidate.digest == release.candidate.digest


def _superseded(release: Release) -> Release:
    version = release.candidate.version if release.candidate else None
    reason = (
        f"Version {version} is not live in {release.environment} any more: another command superseded it. "
        "See what is: python run.py --status"
    )
    return release.model_copy(update={"status": "refused", "reasons": (reason,)})


def _write_record(release: Release) -> None:
    """Set the registry's aliases and tag for the release that is live.

    Raises:
        ServiceUnreachable: the registry cannot be written.
    """
    if release.candidate is None:
        return
    version, name = release.candidate.version, release.model_name
    before = active_deployer().previous(name, release.environment)
    entry = read_version(name, version)
    with registry_errors(f"record that version {version} is live in {release.environment}"):
        client = registry_client()
        client.set_model_version_tag(name, str(version), was_live_tag(release.environment), "true")
        client.set_registered_model_alias(name, live_alias(release.environment), str(version))
        if release.restored and release.champion is not None:
            # What was rolled back is no challenger: a release that names no version would bring it back.
            challenger = version_with_alias(name, CHALLENGER)
            if challenger is not None and challenger.version == release.champion.version:
                client.delete_registered_model_alias(name, CHALLENGER)
        if release.environment == "production":
            if CHALLENGER in entry.aliases:
                client.delete_registered_model_alias(name, CHALLENGER)
            if before is not None and before.candidate is not None:
                client.set_registered_model_alias(name, PREVIOUS, str(before.candidate.version))
            else:
                client.delete_registered_model_alias(name, PREVIOUS)


def restore_release(before: Release, *, by: str, why: str) -> Release:
    """Put an earlier release back; it is pending until :func:`record_release` has recorded it.

    What it replaces is kept in it, so that a rollback that was interrupted is known by what it left; and who
    puts it back and why, so that whichever command records it can say so.
    """
    deployer = active_deployer()
    current = deployer.current(before.model_name, before.environment)
    champion = current.candidate if current else None
    known = {"recorded": False, "restored": True, "champion": champion, "by": by, "why": why}
    # A release of the first format has no place for who and why.
    latest = {"format_version": Release.formats[-1]}
    return deployer.restore(before.model_copy(update=known | latest))


def conclude_release(applied: Release, answer: str, reasons: tuple[str, ...] = ()) -> Release:
    """Record the release; a service that does not answer as it, or not well enough, is taken out again.

    Args:
        applied: the release, with all the traffic.
        answer: what should become of it.
        reasons: why it is refused, where it is.

    Raises:
        ServiceFailed: the service did not answer as the released version; the release before it is live
            again, or nothing is.
        ServiceUnreachable: the registry cannot be written; the release stays live and pending.
    """
    if answer == "promote":
        refusal = _refusal(applied)
        return record_release(applied) if refusal is None else _taken_out_as_refused(applied, refusal)
    if answer == "refuse":
        return _taken_out_as_refused(applied, " ".join(reasons) or "It was refused.")
    if answer == "roll back":
        if not _is_live(applied):
            return _superseded(applied)
        version = applied.candidate.version if applied.candidate else None
        raise ServiceFailed(
            f"The service at {applied.url} did not answer a picture as version {version}; "
            f"{_take_out(applied, 'it answered no picture')}. Release it again: "
            f"python run.py --deploy --environment {applied.environment} --version {version}"
        )
    return applied


def _refusal(release: Release) -> str | None:
    """Why a release may not be recorded; None where it may, or where the registry lost its version.

    A person rejected it while it was coming up, the deployer's record names what was never verified, or it
    failed its own end-to-end test, and who tested it did not come to take it out.
    """
    arm, name, trusted = release.candidate, release.model_name, active_deployer().trusted_keys()
    if arm is None or all(entry.version != arm.version for entry in read_versions(name)):
        return None
    try:
        verify_return(arm, model_name=name, environment=release.environment, trusted=trusted)
    except Refused as refusal:
        return str(refusal)
    test = own_test(release, trusted)
    if test is not None and test.subject.get("outcome") != "passed":
        return (
            f"Version {arm.version} did not pass its end-to-end test in {release.environment}, as entry "
            f"{test.number} of the audit log says."
        )
    return None


def _was_tested(release: Release) -> bool:
    """Whether a release had its end-to-end test, where it has to have one: what is new in staging.

    What was put back had one then, and what rolled out was compared instead.
    """
    if release.environment != "staging" or release.restored or release.rollout:
        return True
    return own_test(release, active_deployer().trusted_keys()) is not None


def _taken_out_as_refused(release: Release, refusal: str) -> Release:
    if not _is_live(release):
        return _superseded(release)
    reason = f"It was up and not recorded yet; {_take_out(release, refusal)}. {refusal}"
    return release.model_copy(update={"status": "refused", "reasons": (reason,)})


def _take_out(applied: Release, why: str) -> str:
    """Put back what this release replaced, or leave nothing live; say which, also to the audit log."""
    where, before = applied.environment, _replaced(applied)
    if before is not None and before.candidate is not None:
        with suppress(ShutterlineError):  # whatever keeps it from coming back, this release must go
            restored = restore_release(before, by=PIPELINE, why=f"what replaced it was taken out: {why}")
            # What the registry does not take now, the next command records.
            with suppress(ServiceUnreachable):
                record_release(restored)
            return f"version {before.candidate.version} is live in {where} again"
    try:
        withdrawn = active_deployer().withdraw(applied)
        now = active_deployer().current(applied.model_name, where)
        last = active_deployer().previous(applied.model_name, where)
    except ShutterlineError as error:
        return f"it could not be taken out either: {error}"
    if now is not None and now.candidate is not None:
        # What was to come back did, although something after that failed; or another command was faster.
        return f"version {now.candidate.version} is live in {where} now"
    said = f"nothing is live in {where} now"
    if last is not None and last.candidate is not None:
        back = f"python run.py --rollback --environment {where}"
        said += f" (version {last.candidate.version} was before: {back})"
    return f"{said}{_log_withdrawal(applied, why) if withdrawn else ''}"


def _log_withdrawal(applied: Release, why: str) -> str:
    """Write to the audit log that a release was taken out; what is to be said where that cannot be."""
    try:
        if applied.candidate is not None:
            record("withdraw", evidence_of(applied, applied.candidate), by=PIPELINE, reason=why)
    except ShutterlineError as error:
        return f", and the audit log has no entry of that: {error}"
    return ""


def _replaced(applied: Release) -> Release | None:
    """The release that this one took over from; None where nothing was live.

    What was stopped before this release is no part of that: it stays stopped. Nor is what a rollback
    replaced: who rolled back did not want it.
    """
    before = active_deployer().previous(applied.model_name, applied.environment)
    if before is None or before.candidate is None or applied.champion is None or applied.restored:
        return None
    return before if before.candidate.version == applied.champion.version else None


def finish_pending(
    *, keep_going: bool, say: Callable[[str], None], rejected: tuple[str, int] | None = None
) -> list[Release]:
    """Record every live release that an interrupted command left unrecorded, and return those.

    It moves no traffic, but for one case: what the registry does not allow is taken out, unless
    ``keep_going``. Where the service does not answer, or nobody tested it who should have, the release stays
    pending.

    Args:
        keep_going: say what cannot be recorded and go on, so that no fault locks anyone out and who only
            looks changes nothing that serves.
        say: takes one line for each release that stays pending.
        rejected: the model and version that the command is about to reject, which is not recorded before.

    Raises:
        ShutterlineError: a release cannot be recorded, unless ``keep_going``.
    """

    @contextmanager
    def faults_told() -> Iterator[None]:
        try:
            yield
        except ShutterlineError as error:
            if not keep_going:
                raise
            say(str(error))

    live: list[Release] = []
    finished: list[Release] = []
    with faults_told():
        live = active_deployer().live()
    for release in live:
        arm = release.candidate
        if release.recorded or (arm and (release.model_name, arm.version) == rejected):
            continue
        with faults_told():
            refusal = _refusal(release)
            if refusal is not None:
                taken_out = None if keep_going else _taken_out_as_refused(release, refusal)
                say(" ".join(taken_out.reasons) if taken_out else _not_allowed(release, refusal))
            elif not _was_tested(release):
                say(_untested(release))
            elif _answers_now(release):
                done = _record_pending(release)
                finished += [done] if done.recorded else []
            else:
                say(_unanswered(release))
    return finished


def _answers_now(release: Release) -> bool:
    """Whether a release answers as its version; no command waits for one that does not, or not now."""
    with suppress(ServiceBusy):
        return judge_service(release, patiently=False) == "promote"
    return False


def _record_pending(release: Release) -> Release:
    """Record a release that is live and pending.

    Raises:
        Refused: the registry has no such version any more.
        ServiceUnreachable: the registry cannot be written.
    """
    if release.candidate is not None:
        try:
            read_version(release.model_name, release.candidate.version)
        except UsageError as error:
            raise Refused(
                f"{error}. It is live in {release.environment}, so the registry has lost it: put the "
                "registry back, or begin anew: python run.py --stop"
            ) from error
    return record_release(release)


def _not_allowed(release: Release, refusal: str) -> str:
    version = release.candidate.version if release.candidate else None
    return (
        f"Version {version} of {release.model_name} is live in {release.environment}, not recorded, and may "
        f"not be: {refusal} The next release takes it out: python run.py --deploy --environment "
        f"{release.environment} --version N; all that serves is stopped by: python run.py --stop"
    )


def _untested(release: Release) -> str:
    version = release.candidate.version if release.candidate else None
    flags = f"--environment {release.environment}"
    return (
        f"Version {version} of {release.model_name} is live in {release.environment} and not recorded yet: "
        "who released it was cut short before it was tested end to end. Test it: python run.py --deploy "
        f"{flags} --version {version}, or go back: python run.py --rollback {flags}"
    )


def _unanswered(release: Release) -> str:
    version = release.candidate.version if release.candidate else None
    flags = f"--environment {release.environment}"
    return (
        f"Version {version} of {release.model_name} is live in {release.environment} and not recorded yet; "
        f"{release.url} does not answer as that version. Release it again: python run.py --deploy {flags} "
        f"--version {version}, or go back: python run.py --rollback {flags}"
    )


def conclude_rollout(
    rolling: Release, answer: str, reasons: tuple[str, ...], settings: EnvironmentSettings
) -> Release:
    """Let a candidate serve on beside the champion, give it more of the traffic, or take it out.

    A refused look leaves it as it is. Whatever becomes of it, the champion answers in the end, for what the
    candidate has not of the traffic is the champion's.

    Args:
        rolling: what is rolling out.
        answer: what should become of it.
        reasons: why.
        settings: the shares that a candidate goes through.

    Raises:
        ServiceFailed: it got all the traffic and did not answer; the champion is live again. Or the champion
            does not answer, and could not be brought up.
        ServiceBusy: it got all the traffic and has no time to answer; it stays live, and pending.
        ServiceUnreachable: something cannot be read or changed; the next look goes on from there.
    """
    concluded = _carried_on(rolling, answer, reasons, settings)
    if concluded.status == "live":  # it has just answered
        return concluded
    again = bring_up(rolling.model_name, rolling.environment, done=" ".join(concluded.reasons))
    return (
        concluded if again is None else concluded.model_copy(update={"reasons": (*concluded.reasons, again)})
    )


def _carried_on(
    rolling: Release, answer: str, reasons: tuple[str, ...], settings: EnvironmentSettings
) -> Release:
    """What becomes of a candidate by a look's answer; what its proposal said is told where it goes on."""
    said = (*rolling.reasons, *reasons)
    if answer == "roll back":
        return take_out(rolling, reasons)
    log_stage(rolling)
    if answer == "refuse":
        return rolling.model_copy(update={"status": "refused", "reasons": said})
    if answer != "promote":
        return rolling.model_copy(update={"reasons": said})
    try:
        further = advance(rolling, settings)
    except Refused as refusal:
        return take_out(rolling, (str(refusal),))
    if further.status == "rolling_out":
        log_stage(further)
        return further.model_copy(update={"reasons": said})
    return conclude_release(further, judge_service(further))


def conclude_any(
    applied: Release | None,
    answer: str,
    reasons: tuple[str, ...],
    *,
    model_name: str,
    environment: Environment,
    settings: DeploymentSettings,
) -> Release | None:
    """Conclude a release in any mode; once nothing is rolling out any more, nothing looks at it either.

    Raises:
        ServiceFailed: it did not answer, and was taken out again.
        ServiceUnreachable: something cannot be read or changed.
    """
    try:
        if applied is None:
            log_lost_end(model_name, environment)
            return None
        if applied.status == "rolling_out":
            return conclude_rollout(applied, answer, reasons, settings.of(environment))
        return conclude_release(applied, answer, reasons)
    finally:
        rolled = applied is None or applied.status == "rolling_out"
        with suppress(ShutterlineError):  # it is told by what it stopped; the next look tries again
            if rolled and active_deployer().rolling_out(model_name, environment) is None:
                stop_looking(model_name, environment)


@step(enable_cache=False)
def conclude(
    applied: Release | None,
    observation: str,
    why: list[str],
    comparison: Observation | None,
    model_name: str,
    environment: Environment,
    settings: DeploymentSettings,
) -> Annotated[Release | None, "release"]:
    """End the release: recorded, or taken out again; or let what is rolling out go on.

    What was rolling out shows the figures over time that it was judged by.
    """
    release = conclude_any(
        applied,
        observation,
        tuple(why),
        model_name=model_name,
        environment=environment,
        settings=settings,
    )
    if release is None or comparison is None:
        return release
    return release.with_pictures(comparison.pictures)

"""What becomes of a candidate that serves beside the champion: a larger share, all of it, or none.

The deployer holds how far it is. Each share that it goes through stands in the audit log, and its end before
it is taken out, so that who goes on after somebody was killed in between finds why.
"""

from __future__ import annotations

from materializers.audit_entry import AuditEntry
from materializers.audit_log import has_entry, sound_entries
from materializers.errors import Refused, ServiceUnreachable, ShutterlineError
from materializers.release import Arm, Environment, Release
from steps.deployment.deployer import active_deployer
from steps.deployment.settings import EnvironmentSettings
from steps.registry.audit import PIPELINE, record


def evidence_of(release: Release, arm: Arm) -> dict[str, str]:
    """What is released where, and on what, as the audit log has it."""
    return {
        "model": release.model_name,
        "environment": release.environment,
        "version": str(arm.version),
        "model_digest": arm.model_digest,
        "verdict_digest": arm.verdict.digest,
        "approval_digest": arm.approval.digest if arm.approval else "none",
    }


def since_of(release: Release) -> str:
    """Since when a release is live, as the audit log has it: that tells it from others of the same model."""
    return release.since.isoformat() if release.since else "unknown"


def _share_of(rolling: Release, arm: Arm) -> dict[str, str]:
    """What rolls out where, on what evidence and at which share, as the audit log has it."""
    return {
        **evidence_of(rolling, arm),
        "rollout": rolling.rollout,
        "mode": rolling.mode,
        "share": f"{rolling.share:g}",
        "stage": str(rolling.stage),
    }


def log_stage(rolling: Release) -> None:
    """Write to the audit log at which share a candidate serves, once.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: the log cannot be read or written; the next look tries again.
    """
    arm = rolling.candidate
    if arm is None:
        return
    beside = str(rolling.champion.version) if rolling.champion else "none"
    subject = {**_share_of(rolling, arm), "beside": beside}
    if not has_entry("roll-out", subject, active_deployer().trusted_keys()):
        began = "began" if rolling.stage == 0 else "was observed, and answers more"
        record("roll-out", subject, by=PIPELINE, reason=f"its rollout {began}")


def advance(rolling: Release, settings: EnvironmentSettings) -> Release:
    """Give a candidate its next share of the traffic; after the last, all of it, so that it is live.

    Raises:
        Refused: its evidence does not allow it any more, something else is live than it rolled out beside, or
            its rollout was ended since it was observed.
        ServiceFailed: it does not serve; what is served is unchanged.
        ServiceUnreachable: the registry, the artifact store or the log cannot be read.
    """
    ended = ended_before(rolling)
    if ended is not None:  # logged, and perhaps not taken out yet
        raise Refused(f"It was ended by {ended.by}: {ended.reason}")
    share = settings.next_share(rolling)
    update = {
        "mode": "full" if share == 1 else rolling.mode,
        "share": share,
        "stage": rolling.stage + 1,
        "status": "proposed",
        "recorded": False,
        "why": f"released after its rollout {rolling.rollout} in mode {rolling.mode}",
    }
    return active_deployer().apply(rolling.model_copy(update=update))


def take_out(rolling: Release, reasons: tuple[str, ...], *, by: str = PIPELINE) -> Release:
    """End a rollout: the champion has all the traffic again.

    Args:
        rolling: as it is now.
        reasons: why.
        by: who ends it.

    Returns:
        The release as ``rolled_back``, or as ``refused`` where another command ended it meanwhile.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: what is served cannot be changed; or it was taken out and cannot be logged.
    """
    unlogged: ShutterlineError | None = None
    try:
        log_end(rolling, " ".join(reasons), by=by)
    except ServiceUnreachable as error:
        unlogged = error  # the candidate goes all the same
    if not active_deployer().end_rollout(rolling):
        version = rolling.candidate.version if rolling.candidate else None
        reason = (
            f"Version {version} is not rolling out in {rolling.environment} any more: another command ended "
            "that. See what is live: python run.py --status"
        )
        return rolling.model_copy(update={"status": "refused", "reasons": (reason,)})
    if unlogged is not None:
        raise ServiceUnreachable(
            f"The rollout in {rolling.environment} was ended ({' '.join(reasons)}), but stands in no log "
            f"yet: {unlogged}. The next look logs it: python run.py --observe --environment "
            f"{rolling.environment}"
        ) from unlogged
    return rolling.model_copy(update={"status": "rolled_back", "reasons": reasons})


def log_end(rolling: Release, reason: str, *, by: str) -> None:
    """Write to the audit log that a rollout ends, once.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: the log cannot be read or written.
    """
    arm = rolling.candidate
    if arm is not None and ended_before(rolling) is None:
        record("end-rollout", _share_of(rolling, arm), by=by, reason=reason)


def ended_before(rolling: Release) -> AuditEntry | None:
    """The audit log's entry of the end of this rollout, where a command that logged it did not come further.

    Raises:
        ServiceUnreachable: the log cannot be read.
    """
    subject = {"model": rolling.model_name, "environment": rolling.environment, "rollout": rolling.rollout}
    found = sound_entries("end-rollout", subject, active_deployer().trusted_keys())
    return found[-1] if found else None


def log_lost_end(
    model_name: str,
    environment: Environment,
    reason: str = "it was over, and nothing had logged why",
    *,
    by: str = PIPELINE,
) -> None:
    """Log the end of a rollout that is over and of which the log does not say how it ended.

    Args:
        model_name: the registered model.
        environment: where.
        reason: why it is over, where that is known.
        by: who ended it.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: the log cannot be read or written.
    """
    trusted, about = active_deployer().trusted_keys(), {"model": model_name, "environment": environment}
    begun = sound_entries("roll-out", about, trusted)
    if not begun or active_deployer().rolling_out(model_name, environment) is not None:
        return
    last = begun[-1].subject
    of_it = about | {"rollout": last["rollout"]}
    if any(has_entry(act, of_it, trusted) for act in ("release", "end-rollout")):
        return
    current = active_deployer().current(model_name, environment)
    if current is not None and current.rollout == last["rollout"]:
        return  # promoted, and about to be recorded
    subject = {key: value for key, value in last.items() if key != "beside"}
    record("end-rollout", subject, by=by, reason=reason)


def rollouts() -> list[Release]:
    """Everything that is rolling out beside what is live."""
    deployer = active_deployer()
    found = [deployer.rolling_out(live.model_name, live.environment) for live in deployer.live()]
    return [rolling for rolling in found if rolling is not None]

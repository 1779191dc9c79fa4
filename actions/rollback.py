"""Put an environment's previous release back: the deployer first, then the registry."""

from __future__ import annotations

from contextlib import suppress

from zenml import save_artifact
from zenml.client import Client

from actions.result import ActionResult
from materializers.errors import Refused, ServiceUnreachable, UsageError
from materializers.release import Environment, Release
from pipelines.config import Config
from steps.deployment.conclude import record_release, restore_release
from steps.deployment.deployer import active_deployer
from steps.deployment.rollout import take_out
from steps.deployment.schedule import stop_looking
from steps.registry.decisions import require_decided

BY_HAND = "rolled back by hand"
"""Why, where nobody said it."""


def roll_back(
    config: Config, environment: Environment, *, finished: list[Release], by: str, reason: str
) -> ActionResult:
    """Take out what is rolling out; else restore the release that was live before the current one.

    A rollback that was interrupted is finished.

    Args:
        config: names the model.
        environment: where.
        finished: the pending releases that this command found and recorded.
        by: who asks for it, for the audit log; empty: the account that is logged in.
        reason: why, for the audit log; may be empty.

    Raises:
        UsageError: there is none.
        Refused: its verdict, approval or model bytes were altered since, or a person rejected it; what is
            served is unchanged. Or another command superseded the rollback.
        ServiceFailed: its service did not come up; what is served is unchanged.
    """
    name = config.product.model
    rolling = active_deployer().rolling_out(name, environment)
    if rolling is not None:
        return _rolled_back(rolling, by=by or Client().active_user.name, why=reason or BY_HAND)
    restored = _begun(name, environment, finished) or restore_release(
        _allowed(_before(name, environment)),
        by=by or Client().active_user.name,
        why=reason or BY_HAND,
    )
    now, left = restored.candidate, restored.champion
    version = now.version if now else None
    reasons = [f"Version {version} is live in {environment} again."]
    if now and now.verdict.evidence.policy != config.policy.digest:
        reasons.append("The policy changed since its verdict; a rollback goes by the verdict of its time.")
    exit_code = 0
    try:
        restored = record_release(restored)
    except ServiceUnreachable as error:
        reasons.append(f"The registry does not know yet ({error}); the next command records it.")
        exit_code = error.exit_code
    if restored.status == "refused":
        raise Refused(" ".join(restored.reasons))
    save_artifact(restored, name=f"{name}-{environment}-release")
    return ActionResult(
        action="rollback",
        status="done",
        reasons=tuple(reasons),
        details={
            "environment": environment,
            "version": version,
            "from_version": left.version if left else None,
            "url": restored.url,
        },
        exit_code=exit_code,
    )


def end_rollout(rolling: Release, *, by: str, why: str) -> Release:
    """End a rollout for a person, and the looks at it; what is live stays.

    Args:
        rolling: as it is now.
        by: who ends it.
        why: that person's reason.

    Raises:
        Refused: another command ended it meanwhile.
        ServiceUnreachable: what is served cannot be changed, or it was changed and cannot be logged.
    """
    name, where = rolling.model_name, rolling.environment
    ended = take_out(rolling, (f"{why} ({by})",), by=by)
    if ended.status == "refused":
        raise Refused(" ".join(ended.reasons))
    stop_looking(name, where)
    save_artifact(ended.model_copy(update={"by": by, "why": why}), name=f"{name}-{where}-release")
    return ended


def _rolled_back(rolling: Release, *, by: str, why: str) -> ActionResult:
    """End a rollout in the place of a rollback.

    Raises:
        Refused: another command ended it meanwhile.
        ServiceUnreachable: what is served cannot be changed, or it was changed and cannot be logged.
    """
    end_rollout(rolling, by=by, why=why)
    where = rolling.environment
    version = rolling.candidate.version if rolling.candidate else None
    live = rolling.champion.version if rolling.champion else None
    return ActionResult(
        action="rollback",
        status="done",
        reasons=(
            f"Version {version} is not rolling out in {where} any more; version {live} has all the traffic "
            f"again. To go back to what was live before it: python run.py --rollback --environment {where}",
        ),
        details={
            "environment": where,
            "version": live,
            "from_version": version,
            "url": rolling.url,
        },
    )


def _before(model_name: str, environment: Environment) -> Release:
    """The release that was live before the current one.

    Raises:
        UsageError: there is none.
    """
    deployer = active_deployer()
    before = deployer.previous(model_name, environment)
    if before is None or before.candidate is None:
        raise UsageError(_nothing_before(deployer.current(model_name, environment), environment))
    return before


def _nothing_before(current: Release | None, environment: Environment) -> str:
    """Why there is nothing to go back to, and what else there is."""
    if current is None or current.candidate is None:
        return f"Nothing is or was live in {environment}, so there is nothing to roll back to."
    version, deploy = current.candidate.version, f"python run.py --deploy --environment {environment}"
    other = f"Release another one: {deploy} --version N, or take it down: python run.py --stop"
    if current.restored and current.champion is not None:
        replaced = current.champion.version
        other = f"It was put back in the place of version {replaced}; anew: {deploy} --version {replaced}"
    return (
        f"Version {version} is live in {environment}, and nothing that was live before it is kept, so there "
        f"is nothing to roll back to. {other}"
    )


def _allowed(before: Release) -> Release:
    """The release, if by the audit log nobody rejected it since; where that is out of reach, as it is.

    Raises:
        Refused: a person rejected it.
    """
    arm = before.candidate
    if arm is not None:
        with suppress(ServiceUnreachable):
            # In production, too, a rollback goes by the approval of its time.
            require_decided(before.model_name, arm, "staging", active_deployer().trusted_keys())
    return before


def _begun(model_name: str, environment: Environment, finished: list[Release]) -> Release | None:
    """What a rollback that was interrupted put back, whether it is recorded by now or not."""
    for release in finished:
        if release.restored and (release.model_name, release.environment) == (model_name, environment):
            return release
    current = active_deployer().current(model_name, environment)
    if current and current.restored and not current.recorded:
        # Starts nothing where it answers, and brings it up again where it does not.
        return active_deployer().restore(current)
    return None

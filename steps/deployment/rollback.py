"""Put an environment's previous release back, or end what rolls out: the deployer first, then the registry.

Whoever asks for it, a person or what monitoring confirmed, goes this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from zenml import save_artifact

from materializers.errors import Refused, ServiceUnreachable, UsageError
from materializers.evidence import require_not_rejected_by_log
from materializers.release import Environment, Release
from steps.deployment.conclude import record_release, restore_release
from steps.deployment.deployer import active_deployer
from steps.deployment.rollout import take_out
from steps.deployment.schedule import stop_looking


@dataclass(frozen=True)
class PutBack:
    """A release that was put back.

    Attributes:
        release: as it is live now.
        unrecorded: why the registry does not know it yet; None: it does.
    """

    release: Release
    unrecorded: ServiceUnreachable | None = None


def previous_release(model_name: str, environment: Environment) -> Release:
    """The release that was live before the current one, if by the audit log nobody rejected it since.

    Where the log is out of reach, it is given as it is: the deployer asks again, and puts nothing back then.

    Raises:
        UsageError: there is none.
        Refused: a person rejected it.
    """
    deployer = active_deployer()
    before = deployer.previous(model_name, environment)
    if before is None or before.candidate is None:
        raise UsageError(_nothing_before(deployer.current(model_name, environment), environment))
    with suppress(ServiceUnreachable):
        require_not_rejected_by_log(before.candidate, model_name, environment, deployer.trusted_keys())
    return before


def how_to_end(live: Release) -> str:
    """The command that takes what is live out of its environment."""
    where = f"python run.py --rollback --environment {live.environment}"
    if active_deployer().previous(live.model_name, live.environment) is not None:
        return where
    return f"python run.py --deploy --environment {live.environment} --version N, or: python run.py --stop"


def put_back(before: Release, *, by: str, why: str) -> PutBack:
    """Restore a release of :func:`previous_release`; one that is live again by now stays so.

    Args:
        before: the release.
        by: who asks for it, for the audit log.
        why: that one's reason.

    Raises:
        Refused: its verdict, approval or model bytes were altered since, or a person rejected it; what is
            served is unchanged. Or another command superseded it.
        ServiceFailed: its service did not come up; what is served is unchanged.
        ServiceUnreachable: the artifact store is needed and cannot be read.
    """
    return finish(restore_release(before, by=by, why=why))


def begun(model_name: str, environment: Environment, finished: Sequence[Release]) -> Release | None:
    """What a rollback that was interrupted put back, whether it is recorded by now or not.

    Args:
        model_name: the registered model.
        environment: where.
        finished: the pending releases that this command found and recorded.
    """
    for release in finished:
        if release.restored and (release.model_name, release.environment) == (model_name, environment):
            return release
    current = active_deployer().current(model_name, environment)
    if current and current.restored and not current.recorded:
        # Starts nothing where it answers, and brings it up again where it does not.
        return active_deployer().restore(current)
    return None


def finish(restored: Release) -> PutBack:
    """Record what was put back.

    Raises:
        Refused: another command superseded it.
    """
    unrecorded: ServiceUnreachable | None = None
    try:
        restored = record_release(restored)
    except ServiceUnreachable as error:
        unrecorded = error
    if restored.status == "refused":
        raise Refused(" ".join(restored.reasons))
    save_artifact(restored, name=f"{restored.model_name}-{restored.environment}-release")
    return PutBack(restored, unrecorded)


def end_rollout(rolling: Release, *, by: str, why: str) -> Release:
    """End a rollout, and the looks at it; what is live stays.

    Args:
        rolling: as it is now.
        by: who ends it.
        why: that one's reason.

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

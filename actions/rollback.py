"""``--rollback``: what a person asks for goes the way of every rollback, in the client's process."""

from __future__ import annotations

from zenml.client import Client

from actions.result import ActionResult
from materializers.release import Environment, Release
from pipelines.config import Config
from steps.deployment.bring_up import bring_up
from steps.deployment.deployer import active_deployer
from steps.deployment.rollback import begun, end_rollout, finish, previous_release, put_back

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
        ServiceFailed: its service did not come up; what is served is unchanged. Or a rollout was ended, and
            what is live does not answer.
    """
    name, by, why = config.product.model, by or Client().active_user.name, reason or BY_HAND
    rolling = active_deployer().rolling_out(name, environment)
    if rolling is not None:
        return _rolled_back(rolling, by=by, why=why)
    interrupted = begun(name, environment, finished)
    done = (
        finish(interrupted)
        if interrupted is not None
        else put_back(previous_release(name, environment), by=by, why=why)
    )
    now, left = done.release.candidate, done.release.champion
    version = now.version if now else None
    reasons = [f"Version {version} is live in {environment} again."]
    if now and now.verdict.evidence.policy != config.policy.digest:
        reasons.append("The policy changed since its verdict; a rollback goes by the verdict of its time.")
    if done.unrecorded is not None:
        reasons.append(f"The registry does not know yet ({done.unrecorded}); the next command records it.")
    return ActionResult(
        action="rollback",
        status="done",
        reasons=tuple(reasons),
        details={
            "environment": environment,
            "version": version,
            "from_version": left.version if left else None,
            "url": done.release.url,
        },
        exit_code=0 if done.unrecorded is None else done.unrecorded.exit_code,
    )


def _rolled_back(rolling: Release, *, by: str, why: str) -> ActionResult:
    """End a rollout in the place of a rollback; what has all the traffic again answers, or this fails.

    Raises:
        Refused: another command ended it meanwhile.
        ServiceFailed: it was ended, and what is live does not answer and could not be brought up.
        ServiceUnreachable: what is served cannot be changed, or it was changed and cannot be logged.
    """
    end_rollout(rolling, by=by, why=why)
    where = rolling.environment
    version = rolling.candidate.version if rolling.candidate else None
    live = rolling.champion.version if rolling.champion else None
    ended = f"Version {version} is not rolling out in {where} any more"
    again = bring_up(rolling.model_name, where, done=f"{ended}.")
    back = ""
    if active_deployer().previous(rolling.model_name, where) is not None:
        back = f" To go back to what was live before it: python run.py --rollback --environment {where}"
    return ActionResult(
        action="rollback",
        status="done",
        reasons=(
            f"{ended}; version {live} has all the traffic again.{back}",
            *((again,) if again is not None else ()),
        ),
        details={
            "environment": where,
            "version": live,
            "from_version": version,
            "url": rolling.url,
        },
    )

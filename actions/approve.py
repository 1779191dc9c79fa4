"""Approve or reject one version, by a person, on exactly the evidence that is there now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, get_args

from zenml import save_artifact
from zenml.client import Client

from actions.logged import log_act
from actions.result import ActionResult
from actions.wait import looked_at_by
from materializers.approval import Approval
from materializers.errors import ServiceUnreachable, ShutterlineError
from materializers.evidence import DECISION, read_version, registry_client, registry_errors, verify_evidence
from materializers.present_model import present_model
from materializers.release import Environment, Release
from materializers.signatures import Signer
from pipelines.config import Config
from serving.model_directory import model_digest
from steps.deployment.bring_up import bring_up
from steps.deployment.candidate import approval_artifact, gather_arm
from steps.deployment.conclude import conclude_release
from steps.deployment.deployer import active_deployer
from steps.deployment.rollback import end_rollout, how_to_end
from steps.deployment.rollout import log_lost_end
from steps.deployment.schedule import stop_looking
from steps.registry.approvers import require_approver, require_other_than_trainer
from steps.registry.decisions import require_gated
from steps.registry.model_card import keep_card, last_card, send_card
from steps.registry.presupposed import require_same_presupposed

Decision = Literal["approved", "rejected"]


def decide_version(config: Config, *, version: int, decision: Decision, by: str, reason: str) -> ActionResult:
    """Write an :class:`Approval` for this model, report and policy.

    It moves nothing, but for this: a version that is rejected does not go on rolling out, nor stay live where
    that is not recorded yet; where else it is live is said. The decision stands whatever becomes of that, and
    is logged first.

    Raises:
        Refused: an approval was asked for a version that its own evidence does not allow, or by an account
            that may not give it.
        UsageError: there is no such version.
        ServiceUnreachable: the registry cannot be read or written, or a rejection not logged.
    """
    name = config.product.model
    entry, actor = read_version(name, version), Client().active_user.name
    if decision == "approved":
        arm = gather_arm(entry, policy_digest=config.policy.digest)
        trusted = active_deployer().trusted_keys()
        require_approver(config.approval, actor)
        require_other_than_trainer(config.approval, actor, entry)
        with present_model(arm.model_uri, model_digest) as model:
            verify_evidence(arm, model_name=name, model=model, trusted=trusted)
        judged = require_gated(name, arm, trusted)
        require_same_presupposed(judged, config.presupposed, arm=arm, environment="production")
    # A rejection needs no evidence in order, only a name for what is rejected.
    approval = Approval(
        decision=decision,
        model_name=name,
        version=version,
        model_digest=entry.tag("model_digest"),
        report_digest=entry.tag("report_digest"),
        policy_digest=entry.tag("policy_digest"),
        actor=actor,
        by=by,
        reason=reason,
        at=datetime.now(UTC),
    ).signed_by(Signer.from_environment(actor))
    save_artifact(approval, name=approval_artifact(name, version))
    with registry_errors(f"record what was decided on version {version}"):
        client = registry_client()
        # First what everyone obeys: a rejection counts, an approval does not, if nothing follows.
        client.set_model_version_tag(name, str(version), DECISION, f"{decision} by {by}: {reason}")
        client.set_model_version_tag(name, str(version), "approval_digest", approval.digest)
    result = ActionResult(
        action="approve" if decision == "approved" else "reject",
        status="done",
        reasons=(f"Version {version} of {name} was {decision} by {by}.",),
        details={
            "version": version,
            "model_digest": approval.model_digest,
            "by": by,
            "actor": approval.actor,
            "approval": approval.digest,
        },
    )
    if decision == "rejected":
        result = _ended_where_it_serves(result, name, version, by, reason)
    card = last_card(name, version)
    if card is not None:
        card = card.with_decision(approval)
        keep_card(card)
        if "mlflow_run" in entry.tags:
            send_card(card, entry.tag("mlflow_run"))
    return result


def _ended_where_it_serves(
    result: ActionResult, model_name: str, version: int, by: str, reason: str
) -> ActionResult:
    """Log a rejection, then take its version out wherever it rolls out or came up and was not recorded yet.

    Said is where it is live and stays so, and where it could not be taken out.

    Raises:
        ServiceUnreachable: the rejection cannot be logged; the version was taken out all the same.
    """
    unlogged: ShutterlineError | None = None
    try:
        log_act(result, model=model_name, by=by, reason=reason)
    except ShutterlineError as error:
        unlogged = error  # the candidate goes all the same
    ended, exit_code = _end_rollouts(model_name, version, by, reason)
    live, not_read = _where_live(model_name, version, by, reason)
    if unlogged is not None:
        raise unlogged
    reasons = (*result.reasons, *ended, *live)
    return result.model_copy(update={"reasons": reasons, "exit_code": not_read or exit_code})


def _end_rollouts(model_name: str, version: int, by: str, reason: str) -> tuple[list[str], int]:
    """End every rollout of a version that was rejected: a sentence each, and the exit code of what failed."""
    said, exit_code = list[str](), 0
    for environment in get_args(Environment):
        back = f"python run.py --rollback --environment {environment}"
        try:
            rolling = active_deployer().rolling_out(model_name, environment)
        except ShutterlineError as error:
            said.append(f"Whether it rolls out in {environment} cannot be read: {error}. To end that: {back}")
            exit_code = error.exit_code
            continue
        if rolling is None or rolling.candidate is None or rolling.candidate.version != version:
            continue
        live = rolling.champion.version if rolling.champion else None
        try:
            end_rollout(rolling, by=by, why=f"rejected: {reason}")
        except ShutterlineError as error:
            said.append(
                f"Its rollout in {environment} was not ended in order: {error}. A look goes on from there, "
                f"and {looked_at_by(model_name, environment)}. At once: {back}"
            )
            exit_code = error.exit_code
            continue
        said.append(f"It rolls out in {environment} no more; version {live} has all the traffic again.")
        try:
            up = bring_up(model_name, environment, done="")
        except ShutterlineError as error:
            said.append(str(error))
            exit_code = error.exit_code
        else:
            said += [up] if up is not None else []
    return said, exit_code


def _where_live(model_name: str, version: int, by: str, reason: str) -> tuple[list[str], int]:
    """Where a version that was rejected is live: a sentence each, and the exit code of what failed.

    Where its release is not recorded yet, it is taken out.
    """
    said, exit_code = list[str](), 0
    for environment in get_args(Environment):
        try:
            live = _live(model_name, version, environment)
            if live is not None and not live.recorded:
                said += conclude_release(live, "refuse", (f"It was rejected by {by}: {reason}.",)).reasons
                if live.rollout:
                    log_lost_end(model_name, environment, f"rejected: {reason}", by=by)
                    stop_looking(model_name, environment)
                live = _live(model_name, version, environment)
                exit_code = exit_code if live is None else ServiceUnreachable.exit_code
            if live is not None:
                said.append(f"It is live in {environment}, and stays so until: {how_to_end(live)}")
        except ShutterlineError as error:
            said.append(f"Whether it is live in {environment} cannot be read or changed: {error}")
            exit_code = error.exit_code
    return said, exit_code


def _live(model_name: str, version: int, environment: Environment) -> Release | None:
    """The live release of an environment, if it is of this version."""
    live = active_deployer().current(model_name, environment)
    return live if live and live.candidate and live.candidate.version == version else None

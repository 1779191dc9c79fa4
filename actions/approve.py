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
from materializers.errors import ShutterlineError
from materializers.evidence import DECISION, read_version, registry_client, registry_errors, verify_evidence
from materializers.present_model import present_model
from materializers.release import Environment
from materializers.signatures import Signer
from pipelines.config import Config
from serving.model_directory import model_digest
from steps.deployment.candidate import approval_artifact, gather_arm
from steps.deployment.deployer import active_deployer
from steps.deployment.rollback import end_rollout
from steps.registry.approvers import require_approver, require_other_than_trainer
from steps.registry.decisions import require_gated
from steps.registry.model_card import keep_card, last_card, send_card
from steps.registry.presupposed import require_same_presupposed

Decision = Literal["approved", "rejected"]


def decide_version(config: Config, *, version: int, decision: Decision, by: str, reason: str) -> ActionResult:
    """Write an :class:`Approval` for this model, report and policy.

    It moves nothing, but for this: a version that is rejected does not go on rolling out. The decision stands
    whatever becomes of that, and is logged first.

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
        reasons=(f"Version {version} of {name} was {decision} by {by}. What is live is unchanged.",),
        details={"version": version, "by": by, "actor": approval.actor, "approval": approval.digest},
    )
    if decision == "rejected":
        result = _ended_where_it_rolls_out(result, name, version, by, reason)
    card = last_card(name, version)
    if card is not None:
        card = card.with_decision(approval)
        keep_card(card)
        if "mlflow_run" in entry.tags:
            send_card(card, entry.tag("mlflow_run"))
    return result


def _ended_where_it_rolls_out(
    result: ActionResult, model_name: str, version: int, by: str, reason: str
) -> ActionResult:
    """Log a rejection, then take its version out wherever it rolls out; say where that could not be done.

    Raises:
        ServiceUnreachable: the rejection cannot be logged; the version was taken out all the same.
    """
    unlogged: ShutterlineError | None = None
    try:
        log_act(result, model=model_name, by=by, reason=reason)
    except ShutterlineError as error:
        unlogged = error  # the candidate goes all the same
    ended, exit_code = _end_rollouts(model_name, version, by, reason)
    if unlogged is not None:
        raise unlogged
    return result.model_copy(update={"reasons": (*result.reasons, *ended), "exit_code": exit_code})


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
            said.append(f"It rolls out in {environment} no more; version {live} has all the traffic again.")
        except ShutterlineError as error:
            said.append(
                f"Its rollout in {environment} was not ended in order: {error}. A look goes on from there, "
                f"and {looked_at_by(model_name, environment)}. At once: {back}"
            )
            exit_code = error.exit_code
    return said, exit_code

"""Accept what was asked lately as what later windows are compared with, by a named person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from zenml import save_artifact
from zenml.client import Client

from actions.result import ActionResult
from materializers.errors import Refused
from materializers.rebased_reference import RebasedReference
from materializers.release import Environment
from pipelines.config import Config
from steps.monitoring.traffic.reference import reference_name
from steps.monitoring.traffic.window import accepted_traffic
from steps.registry.approvers import require_approver


def rebase_reference(config: Config, environment: Environment, *, by: str, reason: str) -> ActionResult:
    """Make a reference of the captured answers of the live version, which counts once it is in the log.

    Args:
        config: names the model, and says who may and how much traffic is taken.
        environment: where it serves.
        by: who accepts it.
        reason: why.

    Raises:
        UsageError: nothing is live there.
        Refused: the account that is logged in may not approve, or there are too few answers; nothing was
            changed.
        ServiceUnreachable: the store does not answer.
    """
    require_approver(config.approval, Client().active_user.name)
    name, settings, now = config.product.model, config.monitor, datetime.now(UTC)
    arm, answered, table = accepted_traffic(name, environment, settings=settings, now=now)
    until = now - timedelta(minutes=settings.window.settling_minutes)
    least = settings.reference.minimum_pictures
    if len(table) < least:
        raise Refused(
            f"Version {arm.version} answered {len(table):,} pictures in {environment} in the last "
            f"{settings.reference.hours:g} hours, and a reference takes {least:,} at least "
            "(monitor.reference.minimum_pictures). Nothing was changed. Wait for more traffic, or take more "
            f'of it: python run.py --rebase-reference --environment {environment} --by WHO --reason "…" '
            f"--set monitor.reference.hours={2 * settings.reference.hours:g}"
        )
    rebased = RebasedReference(
        model_name=name,
        environment=environment,
        version=arm.version,
        model_digest=arm.model_digest,
        since=until - timedelta(hours=settings.reference.hours),
        until=until,
        answered=answered,
        measured=int(table.rows["brightness"].notna().sum()),
        by=by,
        reason=reason,
        at=now,
        rows=table.row_digests(),
    ).with_reference(table)
    stored = save_artifact(rebased, name=reference_name(name, environment))
    return ActionResult(
        action="rebase-reference",
        status="done",
        reasons=(
            f"Windows of version {arm.version} in {environment} are compared with {len(table):,} pictures of "
            f"{rebased.since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC from now on.",
        ),
        details={
            "environment": environment,
            "version": arm.version,
            "model_digest": arm.model_digest,
            "reference": rebased.digest,
            "artifact": stored.version,
            "pictures": len(table),
            "answered": answered,
        },
    )

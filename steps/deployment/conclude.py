"""Record a release that serves, or put the previous one back.

What is live is what the deployer holds; the registry's aliases follow it. A release whose record could not
be written stays pending beside the deployer's state, and the next command of any kind records it first.
"""

from __future__ import annotations

from typing import Annotated

from zenml import step

from materializers.evidence import read_version, registry_client, registry_errors
from materializers.release import Release
from steps.deployment.deployer import active_deployer
from steps.deployment.observe import judge_service
from steps.registry.register import CHALLENGER, CHAMPION

STAGING, PREVIOUS = "staging", "previous"


def live_alias(environment: str) -> str:
    """The registry alias that names the version which is live in an environment."""
    return CHAMPION if environment == "production" else STAGING


def record_release(release: Release) -> Release:
    """Make the registry's aliases say what the deployer holds, and mark the release as recorded.

    Raises:
        ServiceUnreachable: the registry cannot be written; the release stays live and pending.
    """
    if release.candidate is None:
        return release
    version, name = release.candidate.version, release.model_name
    before = active_deployer().previous(name, release.environment)
    entry = read_version(name, version)
    with registry_errors(f"record that version {version} is live in {release.environment}"):
        client = registry_client()
        client.set_registered_model_alias(name, live_alias(release.environment), str(version))
        if release.environment == "production":
            if CHALLENGER in entry.aliases:
                client.delete_registered_model_alias(name, CHALLENGER)
            if before is not None and before.candidate is not None:
                client.set_registered_model_alias(name, PREVIOUS, str(before.candidate.version))
            else:
                client.delete_registered_model_alias(name, PREVIOUS)
    return active_deployer().apply(release.model_copy(update={"recorded": True}))


def restore_release(before: Release) -> Release:
    """Put an earlier release back; it is pending until :func:`record_release` has recorded it.

    What it replaces is kept in it, so that a rollback that was interrupted is known by what it left.
    """
    deployer = active_deployer()
    current = deployer.current(before.model_name, before.environment)
    champion = current.candidate if current else None
    return deployer.restore(
        before.model_copy(update={"recorded": False, "restored": True, "champion": champion})
    )


def conclude_release(applied: Release, observation: str) -> Release:
    """Record the release, or, where the observation says so, restore the one before."""
    if observation == "promote":
        return record_release(applied)
    if observation == "roll back":
        reason = f"The service at {applied.url} did not answer as the released version."
        before = active_deployer().previous(applied.model_name, applied.environment)
        if before is not None:
            record_release(restore_release(before))
        return applied.model_copy(update={"status": "refused", "reasons": (reason,)})
    return applied


def finish_pending() -> list[Release]:
    """Conclude every live release that an interrupted command left unrecorded."""
    pending = [release for release in active_deployer().live() if not release.recorded]
    return [conclude_release(release, judge_service(release)) for release in pending]


@step(enable_cache=False)
def conclude(applied: Release, observation: str) -> Annotated[Release, "release"]:
    """End the release: recorded, or rolled back."""
    return conclude_release(applied, observation)

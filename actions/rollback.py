"""Put an environment's previous release back: the deployer first, then the registry."""

from __future__ import annotations

from zenml import save_artifact

from actions.result import ActionResult
from materializers.errors import ServiceUnreachable, UsageError
from materializers.release import Environment
from pipelines.config import Config
from steps.deployment.conclude import record_release
from steps.deployment.deployer import active_deployer


def roll_back(config: Config, environment: Environment) -> ActionResult:
    """Restore the release that was live before the current one.

    Raises:
        UsageError: there is none.
        Refused: its verdict, approval or model bytes were altered since; what is served is unchanged.
        ServiceFailed: its service did not come up; what is served is unchanged.
    """
    deployer, name = active_deployer(), config.product.model
    before = deployer.previous(name, environment)
    if before is None or before.candidate is None:
        raise UsageError(f"Nothing was live in {environment} before, so there is nothing to roll back to.")
    left = deployer.current(name, environment)
    restored = deployer.restore(before)
    version = before.candidate.version
    reasons = [f"Version {version} is live in {environment} again."]
    if before.candidate.verdict.evidence.policy != config.policy.digest:
        reasons.append("The policy changed since its verdict; a rollback goes by the verdict of its time.")
    exit_code = 0
    try:
        restored = record_release(restored)
    except ServiceUnreachable as error:
        reasons.append(f"The registry does not know yet ({error}); the next command records it.")
        exit_code = error.exit_code
    save_artifact(restored, name=f"{name}-{environment}-release")
    return ActionResult(
        action="rollback",
        status="done",
        reasons=tuple(reasons),
        details={
            "environment": environment,
            "version": version,
            "from_version": left.candidate.version if left and left.candidate else None,
            "url": restored.url,
        },
        exit_code=exit_code,
    )

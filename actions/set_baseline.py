"""Set the accuracy that later ones are compared with, by a named person."""

from __future__ import annotations

from zenml.client import Client

from actions.result import ActionResult
from materializers.errors import Refused
from materializers.evaluation_report import EvaluationReport
from materializers.evidence import read_version, run_output, verify_evidence
from materializers.present_model import present_model
from pipelines.config import Config
from serving.model_directory import model_digest
from steps.deployment.candidate import gather_arm
from steps.deployment.deployer import active_deployer
from steps.registry.approvers import require_approver
from steps.registry.decisions import require_gated


def set_baseline(config: Config, *, version: int) -> ActionResult:
    """Take a version's accuracy on its own test pictures as the baseline, once that is in the log.

    Args:
        config: names the model, and says who may.
        version: whose accuracy.

    Raises:
        UsageError: there is no such version.
        Refused: the account that is logged in may not approve; its verdict did not pass, or its evidence was
            altered. The baseline stays.
        ServiceUnreachable: the registry or the store cannot be read.
    """
    require_approver(config.approval, Client().active_user.name)
    name, trusted = config.product.model, active_deployer().trusted_keys()
    entry = read_version(name, version)
    arm = gather_arm(entry, policy_digest=entry.tag("policy_digest"))  # of its time: it is not released here
    with present_model(arm.model_uri, model_digest) as model:
        verify_evidence(arm, model_name=name, model=model, trusted=trusted)
    require_gated(name, arm, trusted)
    report: EvaluationReport = run_output(entry.run_id, "evaluation")
    accuracy = report.accuracy.value
    if accuracy is None:
        raise Refused(f"Version {version} was measured on no test picture, so that it is no baseline.")
    return ActionResult(
        action="set-baseline",
        status="done",
        reasons=(
            f"The accuracy of later windows is compared with that of version {version} on its own "
            f"{report.accuracy.n:,} test pictures, {accuracy:.1%}, from now on.",
            "The business figure is compared with a new baseline, too: its first window with enough figures "
            "from now on.",
        ),
        details={
            "version": version,
            "model_digest": arm.model_digest,
            "report_digest": report.digest,
            "accuracy": accuracy,
        },
    )

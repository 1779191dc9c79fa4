"""Propose a release: the version, and the evidence that it may be served, compared with what is present."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from zenml import step
from zenml.client import Client

from materializers.approval import Approval
from materializers.classifier import fetch_model_directory
from materializers.errors import DamagedArtifact, Refused
from materializers.evaluation_report import EvaluationReport
from materializers.evidence import (
    PresentModel,
    RegisteredVersion,
    read_version,
    registry_client,
    registry_errors,
    run_output,
    verify_arm,
    version_with_alias,
)
from materializers.release import Arm, Environment, Mode, Release
from materializers.verdict import Opponent, Verdict, require_passed
from serving.model_directory import ModelDirectoryError, model_digest
from steps.deployment.deployer import active_deployer
from steps.registry.aliases import CHALLENGER, CHAMPION
from steps.registry.approvers import ApprovalSettings, require_approver, require_other_than_trainer
from steps.registry.decisions import require_decided, require_gated
from steps.registry.presupposed import Presupposed, require_same_presupposed


@contextmanager
def present_model(model_uri: str) -> Iterator[PresentModel]:
    """The model directory as the artifact store holds it now, on this machine until the context ends.

    Raises:
        ServiceUnreachable: the store cannot be read, or the model is gone from it.
        Refused: it is not a model directory.
    """
    with tempfile.TemporaryDirectory() as folder:
        fetch_model_directory(model_uri, Path(folder))
        try:
            digest = model_digest(Path(folder))
        except ModelDirectoryError as error:
            raise Refused(
                f"What lies at {model_uri} is no model: {error}. Train again: python run.py --train"
            ) from error
        yield PresentModel(Path(folder), digest)


def last_approval(entry: RegisteredVersion) -> Approval | None:
    """What a person last decided on this version, or None."""
    name = approval_artifact(entry.model_name, entry.version)
    found = Client().list_artifact_versions(artifact=name, sort_by="desc:created", size=1).items
    return found[0].load() if found else None


def approval_artifact(model_name: str, version: int) -> str:
    """The name of the artifact that holds the decisions on one version."""
    return f"{model_name}-{version}-approval"


def gather_arm(entry: RegisteredVersion, *, policy_digest: str) -> Arm:
    """Read a version's evidence and check that report and policy are still the ones it was judged by.

    Raises:
        Refused: the verdict did not pass, report or policy are not what it names, or the evidence cannot be
            read.
    """
    try:
        verdict: Verdict = run_output(entry.run_id, "verdict")
        report: EvaluationReport = run_output(entry.run_id, "evaluation")
        signature = _signature_of(entry)
        approval = last_approval(entry)
    except (DamagedArtifact, OSError) as error:
        raise Refused(f"The evidence of version {entry.version} cannot be read: {error}") from error
    require_passed(verdict)  # before anything else: what does not pass has no use for its other evidence
    if report.digest != verdict.evidence.report:
        raise Refused(
            f"The report of version {entry.version} has digest {report.digest[:12]}, its verdict names "
            f"{verdict.evidence.report[:12]}: it was altered. Train again: python run.py --train"
        )
    if policy_digest != verdict.evidence.policy:
        raise Refused(
            f"Version {entry.version} was judged by policy {verdict.evidence.policy[:12]}, the policy is now "
            f"{policy_digest[:12]}. Judge again by today's policy: python run.py --train"
        )
    return Arm(
        version=entry.version,
        model_digest=entry.tag("model_digest"),
        model_uri=entry.tag("model_uri"),
        verdict=verdict,
        approval=approval,
        signature=signature,
    )


def in_production(model_name: str, live: Arm | None) -> Opponent | None:
    """What a version is judged against now: what is live in production, or was last; None where nothing was.

    Raises:
        ServiceUnreachable: the registry cannot be read.
    """
    if live is not None:
        return Opponent(version=live.version, model=live.model_digest)
    last = version_with_alias(model_name, CHAMPION)
    return None if last is None else Opponent(version=last.version, model=last.tag("model_digest"))


def require_judged_against(now: Opponent | None, arm: Arm) -> None:
    """Check that a verdict was reached beside what is in production now; the same model may take its place.

    Raises:
        Refused: the verdict compared it with another version, or with none.
    """
    judged = arm.verdict.champion
    if judged != now and (now is None or now.model != arm.model_digest):
        raise Refused(
            f"Version {arm.version} was judged against {judged or 'no version'}, production is "
            f"{now or 'empty'} now: judge it again: python run.py --train"
        )


def _signature_of(entry: RegisteredVersion) -> str | None:
    """The gate's signature of a version; None where it made none.

    Raises:
        Refused: the run is gone.
        DamagedArtifact: what is stored in its place is no text.
    """
    try:
        signature = run_output(entry.run_id, "signature")
    except ValueError as error:
        raise DamagedArtifact(f"its signature is no JSON ({error})") from error
    if signature is not None and not isinstance(signature, str):
        raise DamagedArtifact("its signature is no text")
    return signature


def propose_release(
    model_name: str,
    environment: Environment,
    *,
    version: int | None,
    policy_digest: str,
    presupposed: Presupposed,
    approval: ApprovalSettings,
    mode: Mode = "full",
) -> Release:
    """The release of ``version`` (None: of the challenger), or a refused one that says why.

    Policy and what else the gate took for granted must be today's; who approved it is judged by today's
    ``approval`` settings.

    Raises:
        UsageError: there is no such version.
        ServiceUnreachable: the registry or the artifact store cannot be read.
    """
    current = active_deployer().current(model_name, environment)
    champion = current.candidate if current else None
    release = Release(model_name=model_name, environment=environment, mode=mode, champion=champion)
    if version is None:
        entry = version_with_alias(model_name, CHALLENGER)
        if entry is None and champion is not None:
            entry = read_version(model_name, champion.version)
        if entry is None:
            reason = f"No version of {model_name} passed the gate. Train one: python run.py --train"
            return release.model_copy(update={"status": "refused", "reasons": (reason,)})
    else:
        entry = read_version(model_name, version)
    try:
        arm = gather_arm(entry, policy_digest=policy_digest)
        release = release.model_copy(update={"candidate": arm})
        if environment == "production":  # before a person is asked to approve what is to be judged again
            require_judged_against(in_production(model_name, champion), arm)
        with present_model(arm.model_uri) as model:
            verify_arm(
                arm,
                model_name=model_name,
                environment=environment,
                model=model,
                trusted=active_deployer().trusted_keys(),
            )
        if environment == "production" and arm.approval is not None:
            require_approver(approval, arm.approval.actor)
            require_other_than_trainer(approval, arm.approval.actor, entry)
        trusted = active_deployer().trusted_keys()
        judged = require_gated(model_name, arm, trusted)
        require_same_presupposed(judged, presupposed, version=arm.version, environment=environment)
        require_decided(model_name, arm, environment, trusted)
    except Refused as refusal:
        return release.model_copy(update={"status": "refused", "reasons": (str(refusal),)})
    # Also the proof that the registry can be written, before anything that serves is touched.
    with registry_errors(f"record that version {entry.version} is proposed for {environment}"):
        # Twice, because the database is not written to where a value stays what it is.
        for value in ("being proposed", arm.verdict.digest):
            registry_client().set_model_version_tag(
                model_name, str(entry.version), f"proposed_{environment}", value
            )
    return release


@step(enable_cache=False)
def candidate(
    model_name: str,
    environment: Environment,
    mode: Mode,
    policy_digest: str,
    presupposed: Presupposed,
    approval: ApprovalSettings,
    version: int | None = None,
) -> Annotated[Release, "proposal"]:
    """Propose the release of one version, or refuse it."""
    return propose_release(
        model_name,
        environment,
        version=version,
        policy_digest=policy_digest,
        presupposed=presupposed,
        approval=approval,
        mode=mode,
    )

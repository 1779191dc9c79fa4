"""Propose a release: the version, and the evidence that it may be served, compared with what is present."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

from zenml import step
from zenml.client import Client

from materializers.approval import Approval
from materializers.errors import DamagedArtifact, Refused
from materializers.evaluation_report import EvaluationReport
from materializers.evidence import (
    RegisteredVersion,
    read_version,
    read_versions,
    registry_client,
    registry_errors,
    run_output,
    verify_arm,
    version_with_alias,
)
from materializers.present_model import present_model
from materializers.release import Arm, Environment, Release
from materializers.signatures import TrustedKeys
from materializers.verdict import Opponent, Verdict, require_passed
from serving.model_directory import model_digest
from steps.deployment.deployer import active_deployer
from steps.deployment.settings import DeploymentSettings, EnvironmentSettings
from steps.deployment.tested import require_end_to_end
from steps.registry.aliases import CHALLENGER, CHAMPION, live_alias
from steps.registry.approvers import ApprovalSettings, require_approver, require_other_than_trainer
from steps.registry.decisions import require_approval_logged, require_gated
from steps.registry.presupposed import Presupposed, require_same_presupposed


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
            f"{verdict.evidence.report[:12]}: it was altered. Train again: "
            "python run.py --train --source PATH"
        )
    _require_same_policy(verdict, policy_digest, version=entry.version)
    return Arm(
        version=entry.version,
        model_digest=entry.tag("model_digest"),
        model_uri=entry.tag("model_uri"),
        verdict=verdict,
        approval=approval,
        signature=signature,
    )


def _require_same_policy(verdict: Verdict, policy_digest: str, *, version: int) -> None:
    if policy_digest != verdict.evidence.policy:
        raise Refused(
            f"Version {version} was judged by policy {verdict.evidence.policy[:12]}, the policy is now "
            f"{policy_digest[:12]}: {verdict.judge_again}"
        )


def require_as_configured(
    entry: RegisteredVersion,
    arm: Arm,
    environment: Environment,
    *,
    policy_digest: str,
    presupposed: Presupposed,
    approval: ApprovalSettings,
    trusted: TrustedKeys,
) -> None:
    """Check that what is configured now would release a version on the evidence that it has.

    Args:
        entry: the version.
        arm: its evidence.
        environment: where it is to be released, or get more of the traffic.
        policy_digest: of today's policy.
        presupposed: what the gate would take for granted today.
        approval: who may approve for production today.
        trusted: the public keys of whoever may sign.

    Raises:
        Refused: it was judged by another policy or with other settings, or judged again since, or who
            approved it may not any more.
        ServiceUnreachable: the artifact store does not answer.
    """
    _require_same_policy(arm.verdict, policy_digest, version=arm.version)
    if environment == "production" and arm.approval is not None:
        require_approver(approval, arm.approval.actor)
        require_other_than_trainer(approval, arm.approval.actor, entry)
    judged = require_gated(entry.model_name, arm, trusted)
    require_same_presupposed(judged, presupposed, arm=arm, environment=environment)


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
            f"{now or 'empty'} now: {arm.verdict.judge_again}"
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
    settings: DeploymentSettings,
) -> Release:
    """The release of ``version`` (None: of what is rolling out, else of the challenger), or a refused one.

    A refused one says why. Policy and what else the gate took for granted must be today's; who approved it is
    judged by today's ``approval`` settings. What is rolling out already is proposed as it is: whether it may
    stay is asked when it is observed; ``reasons`` says where another mode is configured now. Beside it what
    is live may be released again, which repairs that.

    Raises:
        UsageError: there is no such version.
        ServiceUnreachable: the registry or the artifact store cannot be read.
    """
    deployer = active_deployer()
    rolling = deployer.rolling_out(model_name, environment)
    if rolling is not None and (version is None or _version(rolling) == version):
        return rolling.model_copy(update={"reasons": _goes_on(rolling, settings.of(environment))})
    current = deployer.current(model_name, environment)
    champion = current.candidate if current else None
    release = Release(model_name=model_name, environment=environment, champion=champion)
    if rolling is not None and (champion is None or champion.version != version):
        return _refused(release, _rolling_out_already(rolling, version))
    entry = _entry(model_name, environment, version, champion)
    if entry is None:
        return _refused(release, _nothing_to_release(model_name, environment))
    release = reaching(release, settings.of(environment), version=entry.version)
    try:
        arm = gather_arm(entry, policy_digest=policy_digest)
        release = release.model_copy(update={"candidate": arm})
        if environment == "production":  # before a person is asked to approve what is to be judged again
            require_judged_against(in_production(model_name, champion), arm)
        trusted = deployer.trusted_keys()
        with present_model(arm.model_uri, model_digest) as model:
            verify_arm(arm, model_name=model_name, environment=environment, model=model, trusted=trusted)
        require_as_configured(
            entry,
            arm,
            environment,
            policy_digest=policy_digest,
            presupposed=presupposed,
            approval=approval,
            trusted=trusted,
        )
        if environment == "production":
            require_approval_logged(model_name, arm, trusted)
            require_end_to_end(
                model_name, arm, presupposed=presupposed, hours=settings.end_to_end_hours, trusted=trusted
            )
    except Refused as refusal:
        return _refused(release, str(refusal))
    # Also the proof that the registry can be written, before anything that serves is touched.
    with registry_errors(f"record that version {entry.version} is proposed for {environment}"):
        # Twice, because the database is not written to where a value stays what it is.
        for value in ("being proposed", arm.verdict.digest):
            registry_client().set_model_version_tag(
                model_name, str(entry.version), f"proposed_{environment}", value
            )
    return release


def _entry(
    model_name: str, environment: Environment, version: int | None, champion: Arm | None
) -> RegisteredVersion | None:
    """The version that is asked for; without one the challenger, or else what is live, or was last."""
    if version is not None:
        return read_version(model_name, version)
    challenger = version_with_alias(model_name, CHALLENGER)
    if challenger is not None:
        return challenger
    if champion is not None:
        return read_version(model_name, champion.version)
    return version_with_alias(model_name, live_alias(environment))


def _nothing_to_release(model_name: str, environment: Environment) -> str:
    """Why no version is taken where none is named."""
    passed = [entry for entry in read_versions(model_name) if entry.tags.get("verdict") == "passed"]
    for entry in passed:
        if not entry.rejected:
            return (
                f"No version of {model_name} is new, and none was live in {environment}. Name one that "
                f"passed: python run.py --deploy --environment {environment} --version {entry.version}"
            )
    which = " that nobody rejected" if passed else ""
    return (
        f"No version of {model_name}{which} passed the gate. Train one: python run.py --train --source PATH"
    )


def _version(release: Release) -> int | None:
    return release.candidate.version if release.candidate else None


def _refused(release: Release, reason: str) -> Release:
    return release.model_copy(update={"status": "refused", "reasons": (reason,)})


def _goes_on(rolling: Release, settings: EnvironmentSettings) -> tuple[str, ...]:
    """That what rolls out keeps its mode, where another one is configured now."""
    if rolling.mode == settings.mode:
        return ()
    where = rolling.environment
    return (
        f"Version {_version(rolling)} rolls out in {where} already and goes on in mode {rolling.mode}, not "
        f"in mode {settings.mode} as is configured now. To begin anew in that, end it first: python run.py "
        f"--rollback --environment {where}",
    )


def _rolling_out_already(rolling: Release, wanted: int | None) -> str:
    where, asked = rolling.environment, f"version {wanted}"
    return (
        f"Version {_version(rolling)} is rolling out in {where} since {rolling.since:%Y-%m-%d %H:%M} UTC, "
        f"and one version at a time does, so that {asked} is not released there now. See how it does: "
        f"python run.py --status; end it: python run.py --rollback --environment {where}"
    )


def reaching(release: Release, settings: EnvironmentSettings, *, version: int) -> Release:
    """The release in the mode and at the share by which it reaches its environment at first."""
    champion, where = release.champion, release.environment
    if settings.mode == "full" or (champion is not None and champion.version == version):
        return release
    if champion is None:
        why = (
            f"released on its verdict; nothing is live in {where} that it could roll out beside, so that it "
            f"takes all traffic at once in the place of mode {settings.mode}"
        )
        return release.model_copy(update={"why": why})
    begin = {"mode": settings.mode, "share": settings.first_share(), "rollout": uuid4().hex[:12]}
    return release.model_copy(update=begin)


@step(enable_cache=False)
def candidate(
    model_name: str,
    environment: Environment,
    settings: DeploymentSettings,
    policy_digest: str,
    presupposed: Presupposed,
    approval: ApprovalSettings,
    version: int | None = None,
    only_look: bool = False,
) -> Annotated[Release | None, "proposal"]:
    """Propose the release of one version, or refuse it; to ``only_look``, what is rolling out."""
    if only_look:
        return active_deployer().rolling_out(model_name, environment)
    return propose_release(
        model_name,
        environment,
        version=version,
        policy_digest=policy_digest,
        presupposed=presupposed,
        approval=approval,
        settings=settings,
    )

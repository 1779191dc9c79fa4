"""What the registry and the run recorded of a version, and the check of it before anything is served.

The steps that propose a release and the deployers that carry it out both ask here, so that there is one
answer to "may this version be served?".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenml.client import Client

from materializers.approval import verify_approval
from materializers.audit_log import log_name, rejection_of
from materializers.errors import Refused, ServiceUnreachable, UsageError
from materializers.model_signature import verify_model
from materializers.report import Record
from materializers.signatures import TrustedKeys
from materializers.tracking_database import make_whole
from materializers.verdict import verify_verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from materializers.release import Arm, Environment


GAIN = "gain"
"""The registry's tag of how much more accurate a version was than the champion, on the same rows."""
DECISION = "decision"
"""The registry tag that says what a person last decided on a version, who, and why."""


def was_live_tag(environment: str) -> str:
    """The registry tag of every version that was ever live in an environment; it is never taken back."""
    return f"was_live_{environment}"


@dataclass(frozen=True)
class PresentModel:
    """A model directory as it lies on this machine now.

    Args:
        directory: where.
        digest: of its bytes.
    """

    directory: Path
    digest: str


class RegisteredVersion(Record):
    """One version of the registered model, as its registry entry recorded it."""

    model_name: str
    version: int
    created: datetime
    aliases: tuple[str, ...]
    tags: dict[str, str]

    def tag(self, key: str) -> str:
        """What its entry says under ``key``.

        Raises:
            Refused: nothing, so that somebody altered it.
        """
        if key not in self.tags:
            raise Refused(
                f"The registry's entry of version {self.version} of {self.model_name} lacks the tag {key!r}: "
                "it was altered. Put it back, or train again: python run.py --train --source PATH"
            )
        return self.tags[key]

    @property
    def rejected(self) -> bool:
        """Whether a person's last decision on it is a rejection."""
        return self.tags.get(DECISION, "").startswith("rejected")

    @property
    def run_id(self) -> str:
        """The ZenML run that made it."""
        return self.tag("zenml_run")


def registry_client() -> MlflowClient:
    """The MLflow client of the active stack's model registry.

    Raises:
        UsageError: the stack has no model registry.
        ServiceUnreachable: its database is gone.
    """
    registry: Any = Client().active_stack.model_registry
    if registry is None:
        raise UsageError("The active stack has no model registry: make stack, or zenml stack set NAME")
    tracker: Any = Client().active_stack.experiment_tracker
    make_whole(tracker.get_tracking_uri(), is_known=versions_were_logged)
    client: MlflowClient = registry.mlflow_client
    return client


def versions_were_logged() -> bool:
    """Whether the active store's audit log has the training of a version."""
    trained = Client().list_artifact_versions(artifact=log_name(), run_metadata='act:equals:"train"', size=1)
    return trained.total > 0


@contextmanager
def registry_errors(act: str) -> Iterator[None]:
    """Turn what MLflow and its database raise into one clear line.

    Raises:
        ServiceUnreachable: the registry did not do ``act``.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ServiceUnreachable(
            f"The model registry could not {act}: {first_line}. Look at the stack: zenml stack describe"
        ) from error


def read_versions(model_name: str) -> list[RegisteredVersion]:
    """Every version that ``register`` made of the model, the newest first; empty when there is none.

    A version without the tag ``identity`` was registered by someone else; there is no evidence of it here.

    Raises:
        ServiceUnreachable: the registry cannot be read.
    """
    with registry_errors(f"list the versions of {model_name}"):
        client = registry_client()
        found = client.search_model_versions(f"name='{model_name}'")
        if not found:
            return []
        aliases: dict[int, list[str]] = {}
        for alias, version in client.get_registered_model(model_name).aliases.items():
            aliases.setdefault(int(version), []).append(alias)
    versions = [
        RegisteredVersion(
            model_name=model_name,
            version=int(entry.version),
            created=datetime.fromtimestamp(entry.creation_timestamp / 1000, tz=UTC),
            aliases=tuple(sorted(aliases.get(int(entry.version), []))),
            tags=dict(entry.tags),
        )
        for entry in found
        if "identity" in entry.tags
    ]
    return sorted(versions, key=lambda version: version.version, reverse=True)


def model_names() -> list[str]:
    """The names of all registered models, whoever registered them, sorted.

    Raises:
        ServiceUnreachable: the registry cannot be read.
    """
    with registry_errors("list the models"):
        client = registry_client()
        page = client.search_registered_models()
        names = [model.name for model in page]
        while page.token:  # MLflow gives a hundred at a time
            page = client.search_registered_models(page_token=page.token)
            names += [model.name for model in page]
    return sorted(names)


def read_version(model_name: str, version: int) -> RegisteredVersion:
    """One version of the registered model.

    Raises:
        UsageError: there is no such version.
        ServiceUnreachable: the registry cannot be read.
    """
    versions = read_versions(model_name)
    for entry in versions:
        if entry.version == version:
            return entry
    there = ", ".join(str(entry.version) for entry in versions) or "none"
    raise UsageError(f"{model_name} has no version {version} (there is: {there}): python run.py --status")


def version_with_alias(model_name: str, alias: str) -> RegisteredVersion | None:
    """The version that carries ``alias``, or None."""
    return next((entry for entry in read_versions(model_name) if alias in entry.aliases), None)


def run_verdict_digest(run_id: str) -> str | None:
    """The verdict's digest as the ZenML run recorded it; None where it recorded none or is gone."""
    try:
        run = Client().get_pipeline_run(run_id, allow_name_prefix_match=False)
    except KeyError:
        return None
    recorded = run.run_metadata.get("verdict_digest")
    return str(recorded) if recorded is not None else None


def run_output(run_id: str, name: str) -> Any:
    """Load one output of a run as it is stored now.

    Raises:
        Refused: the run or the output is gone.
        DamagedArtifact: it cannot be read.
    """
    try:
        run = Client().get_pipeline_run(run_id, allow_name_prefix_match=False)
    except KeyError as error:
        raise Refused(
            f"Run {run_id} is gone, and with it the evidence of the version it made. "
            "Train again: python run.py --train --source PATH"
        ) from error
    for step_run in run.steps.values():
        if name in step_run.outputs:
            return step_run.outputs[name][0].load()
    raise Refused(f"Run {run.name} has no {name}. Train again: python run.py --train --source PATH")


def verify_arm(
    arm: Arm, *, model_name: str, environment: Environment, model: PresentModel, trusted: TrustedKeys
) -> None:
    """Check that one version may be served in one environment, on what is recorded and present now.

    Args:
        arm: the version with its verdict and approval.
        model_name: the registered model that the release is for.
        environment: production needs a person's approval beside the verdict.
        model: the model directory that is about to be served.
        trusted: the public keys of the gate and of whoever may approve.

    Raises:
        Refused: anything is missing, altered, about something else, or says no; or a person rejected it, as
            the registry or the audit log says.
        ServiceUnreachable: the registry or the audit log cannot be read, so nothing is released.
    """
    entry = verify_evidence(arm, model_name=model_name, model=model, trusted=trusted)
    _verify_person(arm, entry, environment, trusted)
    require_not_rejected_by_log(arm, model_name, environment, trusted)


def _verify_person(
    arm: Arm, entry: RegisteredVersion, environment: Environment, trusted: TrustedKeys
) -> None:
    """Check what persons decided on a version whose evidence is in order."""
    if environment == "production":
        verify_approval(
            arm.approval,
            version=arm.version,
            verdict=arm.verdict,
            recorded=entry.tags.get("approval_digest"),
            trusted=trusted,
        )
    _require_not_rejected(read_versions(entry.model_name), arm, environment)


def verify_return(
    arm: Arm,
    *,
    model_name: str,
    environment: Environment,
    trusted: TrustedKeys,
    registry_may_be_down: bool = False,
) -> None:
    """Check that registry and audit log allow what a deployer holds of an earlier time to be live again.

    A deployer's own record is one, the registry's is the other, so that neither is enough when it is altered:
    the version was live in the environment before, or its evidence allows it today. That nobody rejected it
    the signed log has to say, whatever the registry does. The model's bytes are not looked at here: whoever
    serves them does.

    Args:
        arm: the version with its verdict and approval.
        model_name: the registered model that it is of.
        environment: where.
        trusted: the public keys of the gate and of whoever may approve.
        registry_may_be_down: whether the log alone is enough where the registry cannot be read.

    Raises:
        Refused: the registry says otherwise, or does not know the version; or a person rejected it, as one of
            the two says.
        ServiceUnreachable: the registry or the audit log cannot be read.
    """
    with suppress(*((ServiceUnreachable,) if registry_may_be_down else ())):
        _verify_known(arm, model_name, environment, trusted)
    require_not_rejected_by_log(arm, model_name, environment, trusted)


def _verify_known(arm: Arm, model_name: str, environment: Environment, trusted: TrustedKeys) -> None:
    """Check that the registry allows a version to be live again."""
    versions = read_versions(model_name)
    _require_not_rejected(versions, arm, environment)
    entry = next((one for one in versions if one.version == arm.version), None)
    if entry is None:
        raise Refused(
            f"The registry knows no version {arm.version} of {model_name}, so it is not put back in "
            f"{environment}: put the registry back, or begin anew: python run.py --stop"
        )
    was_live = entry.tags.get(was_live_tag(environment)) == "true"
    if not was_live or entry.tags.get("model_digest") != arm.model_digest:
        entry = _verify_records(arm, model_name=model_name, model_digest=arm.model_digest)
        _verify_person(arm, entry, environment, trusted)


def require_not_rejected_by_log(
    arm: Arm, model_name: str, environment: Environment, trusted: TrustedKeys
) -> None:
    """Check that by the audit log, signed and no tag of the registry, no rejection holds for a version.

    Raises:
        Refused: one does.
        ServiceUnreachable: the log cannot be read, so that nobody can tell.
    """
    entry = rejection_of(model_name, arm.version, arm.model_digest, trusted)
    if entry is not None:
        decided = f"was rejected by {entry.by.strip()} ({entry.reason.strip()}), as entry {entry.number} of "
        other = entry.subject.get("version")
        if other != str(arm.version):
            decided = f"is the same model as version {other}, which {decided}"
        raise Refused(_release_another(f"{decided}the audit log says", arm.version, environment))


def _require_not_rejected(versions: list[RegisteredVersion], arm: Arm, environment: Environment) -> None:
    """Check that no person's last decision on a version, or on another one with its model, is a rejection.

    A model that was rejected stays so under each number that a training gives it, until a person decides on
    that number.

    Raises:
        Refused: it is one.
    """
    own = next((entry for entry in versions if entry.version == arm.version), None)
    if own is not None and own.rejected:
        raise Refused(_rejected(own, arm.version, environment))
    approval = arm.approval
    if approval and approval.decision == "rejected" and approval.model_digest == arm.model_digest:
        raise Refused(_release_another(f"was rejected by {approval.by}", arm.version, environment))
    if own is None or DECISION not in own.tags:
        same = [e for e in versions if e.rejected and e.tags.get("model_digest") == arm.model_digest]
        if same:
            raise Refused(_rejected(same[0], arm.version, environment))


def _rejected(entry: RegisteredVersion, version: int, environment: Environment) -> str:
    decided = f"was {entry.tag(DECISION)}"
    if entry.version != version:
        decided = f"is the same model as version {entry.version}, which {decided}"
    return _release_another(decided, version, environment)


def _release_another(decided: str, version: int, environment: Environment) -> str:
    return (
        f"Version {version} {decided}. Release another one: python run.py --deploy --environment "
        f"{environment} --version N, or decide again: "
        f'python run.py --approve {version} --by WHO --reason "…"'
    )


def verify_evidence(
    arm: Arm, *, model_name: str, model: PresentModel, trusted: TrustedKeys
) -> RegisteredVersion:
    """Check a version's model, verdict, signature and records, whatever persons decided; return its entry.

    Raises:
        Refused: anything is missing, altered, about something else, or says no.
        ServiceUnreachable: the registry cannot be read.
    """
    entry = _verify_records(arm, model_name=model_name, model_digest=model.digest)
    verify_signature(arm, model, trusted)
    return entry


def verify_signature(arm: Arm, model: PresentModel, trusted: TrustedKeys) -> None:
    """Check that the gate signed this model with this verdict.

    Raises:
        Refused: it did not.
    """
    if arm.signature is None:
        raise Refused(
            f"The gate signed no model of version {arm.version}: it is of before models were signed. Train "
            "again: python run.py --train --source PATH"
        )
    verify_model(model.directory, arm.verdict, arm.signature, trusted)


def _verify_records(arm: Arm, *, model_name: str, model_digest: str) -> RegisteredVersion:
    """Check that verdict, registry and run say the same of a model with this digest; return its entry.

    Raises:
        Refused: they do not, or the verdict says no.
        ServiceUnreachable: the registry cannot be read.
    """
    entry = read_version(model_name, arm.version)
    if arm.model_digest != model_digest or entry.tags.get("model_digest") != model_digest:
        raise Refused(
            f"Version {arm.version} was registered with model {entry.tags.get('model_digest', 'none')[:12]}, "
            f"the release pins {arm.model_digest[:12]}, the model present is {model_digest[:12]}: "
            "it was changed after the gate. Train again: python run.py --train --source PATH"
        )
    if arm.verdict.model_name != model_name:
        raise Refused(f"The verdict is about {arm.verdict.model_name}, the release is of {model_name}.")
    recorded = {
        "registry": entry.tags.get("verdict_digest"),
        "ZenML run": run_verdict_digest(entry.run_id) if "zenml_run" in entry.tags else None,
    }
    verify_verdict(arm.verdict, model_digest=model_digest, recorded=recorded)
    evidence = arm.verdict.evidence
    for tag, named in {
        "report_digest": evidence.report,
        "policy_digest": evidence.policy,
        "data_version": evidence.data,
        "code_digest": evidence.code,
    }.items():
        if entry.tags.get(tag) != named:
            raise Refused(
                f"The verdict of version {arm.version} names {tag.replace('_', ' ')} {named[:12]}, "
                f"the registry recorded {entry.tags.get(tag, 'none')[:12]}. "
                "Train again: python run.py --train --source PATH"
            )
    return entry

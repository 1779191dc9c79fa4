"""Register a judged model once, with everything that its verdict stands on.

The version's tags are the registry's own record: a deployer compares what it is given with them. They are
written in the one call that creates the version, so that a killed run leaves a whole version or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

from zenml import get_step_context, log_metadata, step
from zenml.client import Client
from zenml.exceptions import EntityExistsError
from zenml.model.utils import link_artifact_version_to_model_version

from materializers.approval import Change
from materializers.classifier import FAILED_TO_LEARN, Classifier
from materializers.evaluation_report import EvaluationReport
from materializers.evidence import GAIN, RegisteredVersion, read_versions, registry_client, registry_errors
from materializers.report import json_digest
from materializers.splits import TEST, Splits
from materializers.tuning_report import TuningReport
from materializers.verdict import Verdict
from steps.data.stored import active_store
from steps.deployment.deployer import active_deployer
from steps.evaluation.comparison.tested_rows import sample_of
from steps.monitoring.alerts.refused import is_unattended, tell_of_verdict
from steps.registry.aliases import CHALLENGER, CHAMPION
from steps.registry.approvers import ApprovalSettings
from steps.registry.audit import PIPELINE, record
from steps.registry.change import require_approved
from steps.registry.decisions import last_judgement
from steps.registry.model_card import keep_card, last_card, make_card, send_card
from steps.registry.presupposed import DECLARED, SERVING, Presupposed
from steps.registry.unsent import send_unsent
from steps.training.fitting.training_key import remove_checkpoints

LINKED_OUTPUTS = (
    "quarantine",
    "dataset",
    "data_report",
    "splits",
    "tuning",
    "split_report",
    "classifier",
    "evaluation",
    "verdict",
    "signature",
)

LEARNT = ("model_digest", "data_version", "splits_digest", "configuration_digest", "code_digest")
JUDGED = (
    "model_digest",
    "verdict",
    "verdict_digest",
    "report_digest",
    "policy_digest",
    DECLARED,
    SERVING,
)
"""The tags that the audit log names of what was trained, and of what the gate said."""


AGAINST = "judged_against"
"""The tag that names version and model of the champion which a verdict was reached beside."""


def version_tags(
    classifier: Classifier,
    evaluation: EvaluationReport,
    verdict: Verdict,
    splits: Splits,
    *,
    run_id: str,
    source_name: str,
    compliance: str,
    presupposed: Presupposed,
    origin: str,
    tracked: str | None,
) -> dict[str, str]:
    """The registry's record of one version.

    ``identity`` names data, configuration, policy, what was presupposed, code and model: the same identity is
    the same version.
    ``status`` is there where the training was given up.
    """
    record, champion = classifier.record, verdict.champion
    failed = {} if record.failure is None else {"status": FAILED_TO_LEARN}
    identity = (record.data, record.splits, record.configuration, verdict.evidence.policy, record.code)
    return {
        **failed,
        "identity": json_digest([*identity, presupposed.digest, record.model_digest]),
        "zenml_run": run_id,
        "verdict": verdict.outcome,
        "verdict_digest": verdict.digest,
        "model_digest": record.model_digest,
        "model_uri": classifier.model_uri,
        "report_digest": evaluation.digest,
        "policy_digest": verdict.evidence.policy,
        "data_version": record.data,
        "splits_digest": record.splits,
        "configuration_digest": record.configuration,
        "code_digest": record.code,
        **({"lock_digest": record.lock} if record.lock else {}),
        "architecture": record.architecture,
        "source_name": source_name,
        "compliance_digest": compliance,
        **presupposed.recorded,
        **gain_over_champion(evaluation),
        AGAINST: f"{champion.version}:{champion.model}" if champion is not None else "nothing",
        "origin": origin,
        **({"mlflow_run": tracked} if tracked else {}),
        "accuracy": f"{evaluation.accuracy.value or 0.0:.4f}",
        "f1_macro": f"{evaluation.f1_macro.value or 0.0:.4f}",
        **{
            name: f"{value:.2f}"
            for name, value in evaluation.latency_ms.items()
            if name == "latency_p99_ms" and value is not None
        },
        "test_rows": sample_of(splits.image_ids(TEST)),
    }


def gain_over_champion(evaluation: EvaluationReport) -> dict[str, str]:
    """The tag that says how much more accurate it is than the champion; none where there was none."""
    compared = evaluation.champion
    if compared is None or compared.version is None or compared.overall is None:
        return {}
    difference = compared.overall.difference.value
    return {} if difference is None else {GAIN: f"{difference:.4f}"}


def register_version(model_name: str, tags: dict[str, str]) -> RegisteredVersion:
    """Create the version, or find the one with the same identity.

    A repeated judgement of the same model replaces the recorded one where it came to something else, or was
    reached beside another champion: a version that is refused now is never released anew on the verdict that
    passed before, and what is live stays live. One that is ``not_assessed`` came to nothing: it replaces only
    another like it and moves no alias, so that neither what passed is lost nor what was refused forgotten.

    Raises:
        ServiceUnreachable: the registry cannot be read or written.
    """
    from mlflow.exceptions import MlflowException

    known = read_versions(model_name)
    same = next((entry for entry in known if entry.tags.get("identity") == tags["identity"]), None)
    with registry_errors(f"register a version of {model_name}"):
        client = registry_client()
        if same is None:
            if not known:
                try:
                    client.create_registered_model(model_name)
                except MlflowException as error:
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
            client.create_model_version(model_name, source=tags["model_uri"], tags=tags)
        elif _is_news(tags, same):
            # The outcome last: killed in between, the same judgement finds it different again and goes on.
            for key in sorted(tags, key=lambda name: name in ("verdict", AGAINST)):
                client.set_model_version_tag(model_name, str(same.version), key, tags[key])
    entry = next(e for e in read_versions(model_name) if e.tags.get("identity") == tags["identity"])
    with registry_errors(f"set the aliases of version {entry.version}"):
        if tags["verdict"] == "passed" and CHAMPION not in entry.aliases:
            client.set_registered_model_alias(model_name, CHALLENGER, str(entry.version))
        elif entry.tag("verdict") != "passed" and CHALLENGER in entry.aliases:
            client.delete_registered_model_alias(model_name, CHALLENGER)
    return entry


def _is_news(tags: dict[str, str], known: RegisteredVersion) -> bool:
    """Whether a judgement of the same model says something that the recorded one does not."""
    if tags["verdict"] == "not_assessed":
        return known.tag("verdict") == "not_assessed"
    if tags["verdict"] != known.tag("verdict"):
        return True
    against = tags.get(AGAINST)
    # Beside itself, where it is in production already, it says nothing new.
    return against != known.tags.get(AGAINST) and not (against or "").endswith(f":{tags['model_digest']}")


def log_version(
    entry: RegisteredVersion, before: Sequence[RegisteredVersion], judged_now: Mapping[str, str]
) -> None:
    """Write to the audit log what was trained and what the gate said of it; once, however often it is judged.

    A judgement that came to nothing replaces none, and is logged all the same.

    Args:
        entry: the version.
        before: the versions before this run registered anything, the newest first.
        judged_now: the tags of this run's own judgement.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: the log cannot be written.
    """
    about = {"model": entry.model_name, "version": str(entry.version)}
    policy = entry.tag("policy_digest")
    last = next((one.tags.get("policy_digest") for one in before if one.version != entry.version), None)
    if last is not None and last != policy:
        changed = {**about, "from": last, "to": policy}
        record("change-policy", changed, by=PIPELINE, reason="it judged a version", once=True)
    learnt = {key: entry.tag(key) for key in LEARNT}
    record("train", {**about, **learnt}, by=PIPELINE, reason=entry.tag("origin"), once=True)
    judged = {key: entry.tag(key) for key in JUDGED}
    said = last_judgement(entry.model_name, entry.version, active_deployer().trusted_keys())
    # The last entry counts, so that what was said before, and then otherwise, is said again.
    if said is None or said.subject != {**about, **judged}:
        record("gate", {**about, **judged}, by=PIPELINE, reason=entry.tag("verdict"))
    if judged_now["verdict_digest"] != judged["verdict_digest"] and judged_now["verdict"] == "not_assessed":
        nothing = {**about, **{key: judged_now[key] for key in JUDGED}}
        record("gate", nothing, by=PIPELINE, reason="not_assessed, which replaces no verdict", once=True)


def zenml_version(version: int) -> str:
    """The name of the ZenML model version of a registered version; ZenML keeps bare numbers to itself."""
    return f"v{version}"


def link_zenml_version(entry: RegisteredVersion, run: Any) -> None:
    """Give the ZenML model a version of the same number, and link what it was made from."""
    client, name = Client(), zenml_version(entry.version)
    with suppress(EntityExistsError):
        client.create_model(entry.model_name)
    try:
        version = client.create_model_version(entry.model_name, name=name)
    except EntityExistsError:
        version = client.get_model_version(entry.model_name, name)
    for step_run in run.steps.values():
        for output, artifacts in step_run.outputs.items():
            if output in LINKED_OUTPUTS:
                link_artifact_version_to_model_version(artifacts[0], version)
    log_metadata(
        metadata={
            key: entry.tag(key) for key in ("verdict", "verdict_digest", "model_digest", "data_version")
        },
        model_name=entry.model_name,
        model_version=name,
    )


def tracked_run_of(artifact: Any) -> str | None:
    """The MLflow run that was open while the step ran that made an artifact; None where it is not known."""
    if artifact.producer_step_run_id is None:
        return None
    producer = Client().get_run_step(artifact.producer_step_run_id)
    # As the tracker's hook wrote it; by component, where another one wrote the same.
    found = producer.run_metadata.get("mlflow_run_id")
    return str(found) if found is not None else None


@step(enable_cache=False, experiment_tracker=True)
def register(
    classifier: Classifier | None,
    evaluation: EvaluationReport | None,
    verdict: Verdict | None,
    splits: Splits | None,
    tuning: TuningReport | None,
    model_name: str,
    source_name: str,
    purpose: str,
    compliance: str,
    presupposed: Presupposed,
    approval: ApprovalSettings,
    origin: Literal["train", "continuous"],
) -> Annotated[int | None, "version"]:
    """Register the model in the stack's registry; a version that passed becomes the challenger.

    What the experiment tracker lost of it is sent before.

    Raises:
        ServiceUnreachable: tracker or registry cannot be read or written; what was made is kept.
        Refused: by now it is another kind of model than production's, which nobody approved.
    """
    if classifier is None or evaluation is None or verdict is None or splits is None:
        return None
    context = get_step_context()
    (trained,), (tuned,) = context.inputs["classifier"], context.inputs["tuning"]
    send_unsent(
        classifier,
        evaluation,
        tuning,
        training_run=tracked_run_of(trained),
        tuning_run=None if tuning is None else tracked_run_of(tuned),
    )
    tracked = tracked_run_of(context.inputs["evaluation"][0])
    change = Change(
        architecture=classifier.record.architecture,
        source_name=source_name,
        policy=verdict.evidence.policy,
        compliance=compliance,
    )
    require_approved(model_name, change, approval)
    run = context.pipeline_run
    tags = version_tags(
        classifier,
        evaluation,
        verdict,
        splits,
        run_id=str(run.id),
        source_name=source_name,
        compliance=compliance,
        presupposed=presupposed,
        origin=origin,
        tracked=tracked,
    )
    # First the run, then the registry: a version in the registry always finds its digest in its run.
    log_metadata(
        metadata={"verdict_digest": verdict.digest, "verdict": verdict.outcome},
        run_id_name_or_prefix=run.id,
    )
    before = read_versions(model_name)
    entry = register_version(model_name, tags)
    log_version(entry, before, tags)
    card = make_card(entry, classifier.record, evaluation, verdict, splits, purpose=purpose)
    kept = last_card(model_name, entry.version)
    if kept is not None:  # what persons decided on it stays on it
        card = card.model_copy(update={"decisions": kept.decisions})
    if kept is None or kept.digest != card.digest:
        keep_card(card)
    if tracked is not None:
        send_card(card, tracked)
    link_zenml_version(entry, Client().get_pipeline_run(run.id))
    remove_checkpoints(active_store(), classifier.record)
    tell_of_verdict(entry, verdict, unattended=is_unattended(origin, run))
    return entry.version

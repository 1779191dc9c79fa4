"""From the pictures to the served model: what a version was made of, and everything done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actions.result import ActionResult
from materializers.errors import DamagedArtifact, Refused, ServiceUnreachable
from materializers.evidence import RegisteredVersion, read_version, run_output
from materializers.report import counted
from materializers.verdict import Verdict, derive_outcome
from pipelines.config import Config
from steps.deployment.deployer import active_deployer
from steps.registry.agreement import disagreements
from steps.registry.audit import verify_log

if TYPE_CHECKING:
    from materializers.audit_entry import AuditEntry
    from materializers.data_report import DataReport
    from materializers.image_dataset import ImageDataset

DIGESTS = {
    "data": "data_version",
    "splits": "splits_digest",
    "configuration": "configuration_digest",
    "code": "code_digest",
    "lock": "lock_digest",
    "policy": "policy_digest",
    "model": "model_digest",
    "evaluation report": "report_digest",
    "verdict": "verdict_digest",
    "approval": "approval_digest",
}
"""What the record calls each digest → the registry's tag; what a version does not have is left out."""


def show_lineage(config: Config, version: int) -> ActionResult:
    """The record of one version that an auditor asks for; refused where its parts say different things.

    The verdict is the stored one, derived again from its numbers; the registry's tags, which anyone can edit
    who can write there, are compared with the audit log, and that is verified.

    Raises:
        UsageError: there is no such version.
        ServiceUnreachable: the registry or the artifact store cannot be read.
    """
    entry = read_version(config.product.model, version)
    digests = {name: entry.tags[tag] for name, tag in DIGESTS.items() if tag in entry.tags}
    data, checked = _data(entry)
    trusted = active_deployer().trusted_keys()
    logged, findings = verify_log(trusted)
    history = [_event(each) for each in logged if _is_about(each, entry)]
    verdict, doubt = _verdict(entry)
    findings += [*doubt, *disagreements(entry.model_name, [entry], trusted)]
    live = _live(entry)
    return ActionResult(
        action="lineage",
        status="refused" if findings else "done",
        exit_code=Refused.exit_code if findings else 0,
        reasons=(
            *findings,
            f"Version {version} of {entry.model_name}, registered {entry.created:%Y-%m-%d %H:%M} UTC",
            f"pictures: {data}",
            f"checks of the data: {checked}",
            f"made by run {entry.tags.get('zenml_run', 'unknown')}; tracked as "
            f"{entry.tags.get('mlflow_run', 'none')}",
            f"network {entry.tag('architecture')}; the gate's verdict: {verdict}",
            f"live in: {', '.join(live) or 'nothing'}",
        ),
        details={
            "version": version,
            "model": entry.model_name,
            "registered": entry.created.isoformat(),
            "pictures": data,
            "data_checks": checked,
            "architecture": entry.tag("architecture"),
            "source_name": entry.tag("source_name"),
            "verdict": verdict,
            "run": entry.tags.get("zenml_run"),
            "tracked_run": entry.tags.get("mlflow_run"),
            "model_uri": entry.tag("model_uri"),
            "digests": digests,
            "live_in": live,
            "history": history,
        },
    )


def _data(entry: RegisteredVersion) -> tuple[str, str]:
    """The pictures that a version learnt from, and what their checks said, each in words."""
    try:
        dataset: ImageDataset = run_output(entry.run_id, "dataset")
        report: DataReport = run_output(entry.run_id, "data_report")
    except (Refused, DamagedArtifact) as error:
        return f"not to be read any more ({error})", "not to be read any more"
    sources = dataset.index["source"].astype(str).str.partition("/")[0].value_counts()
    named = ", ".join(f"{count:,} of {name}" for name, count in sources.items())
    forgotten = counted(len(dataset.tombstones), "picture")
    checked = f"{report.outcome}, {counted(len(report.set_aside), 'row')} set aside"
    return f"{len(dataset):,} ({named}); {forgotten} forgotten since", checked


def _verdict(entry: RegisteredVersion) -> tuple[str, list[str]]:
    """The outcome of the stored verdict by its own numbers, and why it may not be believed."""
    try:
        verdict: Verdict = run_output(entry.run_id, "verdict")
    except (Refused, DamagedArtifact) as error:
        return "not to be read any more", [f"The verdict of version {entry.version} cannot be read: {error}"]
    derived, recorded = derive_outcome(verdict.rules), entry.tag("verdict_digest")
    if (verdict.digest, verdict.outcome) == (recorded, derived):
        return derived, []
    return derived, [
        f"The stored verdict of version {entry.version} says {verdict.outcome}, its numbers {derived}; it "
        f"has digest {verdict.digest[:12]}, recorded was {recorded[:12]}: it was altered. Train again: "
        "python run.py --train --source PATH"
    ]


def _is_about(logged: AuditEntry, entry: RegisteredVersion) -> bool:
    """Whether an entry of the audit log is about a version."""
    subject = logged.subject
    return subject.get("model") == entry.model_name and str(entry.version) in (
        subject.get("version"),
        subject.get("from_version"),
    )


def _event(logged: AuditEntry) -> dict[str, Any]:
    return {
        "number": logged.number,
        "at": logged.at.isoformat(),
        "act": logged.act,
        "by": logged.by,
        "actor": logged.actor,
        "reason": logged.reason,
        "subject": logged.subject,
    }


def _live(entry: RegisteredVersion) -> list[str]:
    """Where the deployer serves the version now."""
    try:
        live = active_deployer().live()
    except ServiceUnreachable as error:
        return [f"not to be known ({error})"]
    return [
        f"{release.environment} ({release.url})"
        for release in live
        if release.candidate is not None
        and (release.model_name, release.candidate.version) == (entry.model_name, entry.version)
    ]

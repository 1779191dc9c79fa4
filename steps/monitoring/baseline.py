"""The accuracy that later ones are compared with, which moves by a recorded act alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from materializers.audit_entry import AuditEntry
from materializers.audit_log import sound_entries
from materializers.errors import DamagedArtifact, Refused
from materializers.evaluation_report import EvaluationReport
from materializers.evidence import RegisteredVersion, run_output
from materializers.signatures import TrustedKeys
from steps.deployment.deployer import active_deployer
from steps.evaluation.comparison.opponents import releases_to_production


@dataclass(frozen=True)
class Baseline:
    """What a version came to on its own test pictures.

    Attributes:
        version: the registered version.
        accuracy: the share of its test pictures that it had right.
        since: from when on it is the baseline.
    """

    version: int
    accuracy: float
    since: datetime


def baseline_of(model_name: str, registered: Sequence[RegisteredVersion]) -> Baseline | None:
    """That of ``--set-baseline``, the newest sound entry; else that of the first version in production.

    It does not move with each promotion, so that a slow decline adds up. None where no version was in
    production yet. Tags of the registry, which anyone can edit who can write there, do not move it either.

    Raises:
        Refused: an entry of the audit log cannot be read, or the report of the first version in production
            is gone or is none that the gate judged.
        ServiceUnreachable: the log cannot be read.
    """
    trusted = active_deployer().trusted_keys()
    acts = sound_entries("set-baseline", {"model": model_name}, trusted)
    if acts:
        said = acts[-1].subject
        return Baseline(int(said["version"]), float(said["accuracy"]), acts[-1].at)
    known = {str(entry.version): entry for entry in registered}
    for release in releases_to_production(model_name):
        first = known.get(release.subject["version"])
        if first is not None:
            return Baseline(first.version, _judged_accuracy(first, release, trusted), release.at)
    return None


def _judged_accuracy(first: RegisteredVersion, release: AuditEntry, trusted: TrustedKeys) -> float:
    """That of the report which the gate judged, by its signed entry in the log, of the model that went live.

    Raises:
        Refused: there is no such report any more.
        ServiceUnreachable: the log cannot be read.
    """
    whose = f"The accuracy of version {first.version}, the first in production, is the baseline, and"
    mend = "Set another: python run.py --set-baseline N --by WHO --reason TEXT"
    try:
        report: EvaluationReport = run_output(first.run_id, "evaluation")
    except (Refused, DamagedArtifact) as error:
        raise Refused(f"{whose} cannot be read any more: {error}. {mend}") from error
    about = {"model": release.subject["model"], "version": str(first.version), "report_digest": report.digest}
    judged = sound_entries("gate", about, trusted)
    if report.model != release.subject.get("model_digest") or not judged or report.accuracy.value is None:
        raise Refused(
            f"{whose} its report {report.digest[:12]} is none that the gate judged of the model that was "
            f"released: it was altered or put in the place of another. See python run.py --audit. {mend}"
        )
    return report.accuracy.value

"""Examine a model directory and the libraries that it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from materializers.evaluation.security import AdvisoryAudit, BillOfMaterials, Security
from steps.evaluation.examined import Examined
from steps.evaluation.security.advisories import judge_audit, run_audit
from steps.evaluation.security.sbom import bill_of_materials
from steps.evaluation.security.scan import scan_directory
from steps.evaluation.security.settings import SecuritySettings


def assess_security(
    examined: Examined, settings: SecuritySettings, *, audit: AdvisoryAudit | None = None
) -> tuple[Security, dict[str, bytes]]:
    """Scan the serving directory, list the libraries, and judge what is known against them.

    Args:
        examined: the model.
        settings: what may be in it, and whom to ask.
        audit: of the libraries, as :func:`~steps.evaluation.security.advisories.recent_audit` gives it; None:
            they are asked about now, and the answer is kept nowhere.

    Returns:
        The section without the signature, which follows the verdict; no pictures.
    """
    return assess_directory(examined.classifier.serving_directory, settings, audit=audit), {}


def assess_directory(
    directory: Path, settings: SecuritySettings, *, audit: AdvisoryAudit | None = None
) -> Security:
    """The same of a serving directory alone."""
    if audit is None:
        audit = run_audit(settings)
    judged, reason = judge_audit(audit, settings, datetime.now(UTC))
    return Security(
        files=len(list(directory.iterdir())),
        unexpected=scan_directory(
            directory, domains=settings.operator_domains, largest_mb=settings.largest_model_mb
        ),
        bills=_bills(settings),
        audited_at=None if audit.not_run else audit.at,
        packages=audit.packages,
        advisories=judged,
        advisories_not_assessed=reason,
    )


def bills_of_materials(bills: Sequence[BillOfMaterials]) -> dict[str, bytes]:
    """The bills that a report names, CycloneDX JSON, by the name of the file that each is to be stored under.

    One whose lock file is another one by now is left out: it would be the bill of other libraries.
    """
    found = {}
    for bill in bills:
        with suppress(OSError):
            now, text = bill_of_materials(bill.lock)
            if now == bill:
                found[f"{bill.lock.replace('/', '-')}.cdx.json"] = text
    return found


def _bills(settings: SecuritySettings) -> tuple[BillOfMaterials, ...]:
    """What the report keeps of them; none where a lock file cannot be read, on which no rule depends."""
    try:
        return tuple(bill_of_materials(lock)[0] for lock in settings.locks)
    except OSError:
        return ()

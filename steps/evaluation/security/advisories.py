"""Ask for known vulnerabilities of every locked package, by pip-audit, and judge what it finds.

"Nothing found" counts only where the source would have found something: pip-audit takes a package that the
source does not know as skipped, ends well, and says that it knows of no vulnerability. So it is first asked
about a package that is known to be vulnerable, and a package that it skips makes the audit incomplete.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from materializers.evaluation.security import Advisory, AdvisoryAudit, JudgedAdvisory
from steps.evaluation.security.accepted import judge_advisory
from steps.evaluation.security.locks import PROJECT, canonical_name, lock_digests, pinned
from steps.evaluation.security.settings import SecuritySettings

KNOWN_TO_BE_VULNERABLE = "jinja2==2.10"
"""CVE-2019-10906 and later ones."""
ARTIFACT = "advisory-audit"
"""The ZenML artifact that keeps finished audits."""
NAMED = 3
"""Packages that a message names."""


class NotRun(Exception):
    """The audit could not ask, or not about everything; says why in one sentence."""


def run_audit(settings: SecuritySettings) -> AdvisoryAudit:
    """Ask about every package of the lock files, now.

    Args:
        settings: which lock files, which source, and how long it may take.

    Returns:
        What was found; or why nothing could be asked. It is never empty because nobody answered.
    """
    now = datetime.now(UTC)
    made = AdvisoryAudit(at=now, source=settings.advisory_source, locks={}, packages=0)
    try:
        locks = lock_digests(settings.locks)
        _require_knowledge(settings)
        found = [advisory for lock in settings.locks for advisory in _ask(lock, settings)]
    except NotRun as reason:
        return made.model_copy(update={"not_run": f"not run: {reason}"})
    except OSError as error:
        return made.model_copy(update={"not_run": f"not run: a lock file cannot be read ({error})"})
    packages = sum(len(pinned(lock)) for lock in settings.locks)
    return made.model_copy(update={"locks": locks, "packages": packages, "found": tuple(found)})


def recent_audit(settings: SecuritySettings) -> AdvisoryAudit:
    """A finished audit of these lock files: the stored one while it is fresh, else a new one, which is kept.

    Where a new one cannot be made, the stored one counts as long as it is not too old.
    """
    if not settings.audit_advisories:
        return _switched_off(settings)
    stored = _stored_audit(settings)
    fresh = timedelta(hours=settings.audit_again_after_hours)
    if stored is not None and datetime.now(UTC) - stored.at < fresh:
        return stored
    made = run_audit(settings)
    if made.not_run is None:
        from zenml import save_artifact

        save_artifact(made, name=ARTIFACT)
        return made
    return stored or made


def judge_audit(
    audit: AdvisoryAudit, settings: SecuritySettings, now: datetime
) -> tuple[tuple[JudgedAdvisory, ...], str | None]:
    """What an audit comes to today.

    Args:
        audit: of whenever.
        settings: what is accepted, the lock files that have to be the audited ones, and how old an audit
            may be.
        now: the time by which audit and acceptances are judged.

    Returns:
        Every finding with its standing, and why the audit does not count; None where it does.
    """
    if audit.not_run is not None:
        return (), audit.not_run
    judged = tuple(judge_advisory(each, settings.accepted, now.date()) for each in audit.found)
    days = (now - audit.at) / timedelta(days=1)
    if days < 0:
        return judged, f"the audit says that it was made on {audit.at:%Y-%m-%d}, which is to come"
    if days > settings.oldest_audit_days:
        reason = (
            f"the audit of {audit.at:%Y-%m-%d} is {days:.0f} days old, at most {settings.oldest_audit_days} "
            "may be: run this where the source of advisories answers"
        )
        return judged, reason
    try:
        present = lock_digests(settings.locks)
    except OSError as error:
        return judged, f"a lock file cannot be read ({error})"
    if audit.locks != present:
        return judged, f"the lock files changed since the audit of {audit.at:%Y-%m-%d}"
    return judged, None


def _switched_off(settings: SecuritySettings) -> AdvisoryAudit:
    reason = "not run: switched off (evaluate.security.audit_advisories)"
    return AdvisoryAudit(
        at=datetime.now(UTC), source=settings.advisory_source, locks={}, packages=0, not_run=reason
    )


def _stored_audit(settings: SecuritySettings) -> AdvisoryAudit | None:
    """The newest stored audit of these lock files, unless it is too old; None where there is none."""
    from zenml.client import Client

    page = Client().list_artifact_versions(artifact=ARTIFACT, sort_by="desc:created", size=1)
    for artifact in page.items:
        audit = artifact.load()
        if isinstance(audit, AdvisoryAudit):
            _, reason = judge_audit(audit, settings, datetime.now(UTC))
            return audit if reason is None else None
    return None


def _require_knowledge(settings: SecuritySettings) -> None:
    """Check that the source of advisories answers, and knows of any.

    Raises:
        NotRun: it does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "requirements.txt"
        asked.write_text(KNOWN_TO_BE_VULNERABLE)
        (answer,) = _pip_audit(asked, settings)
    if not answer.get("vulns"):
        raise NotRun(
            f"{settings.advisory_source} knows of no advisory even of {KNOWN_TO_BE_VULNERABLE}, so that it "
            "would call everything clean; as it seems, it is a mirror without advisories"
        )


def _ask(lock: str, settings: SecuritySettings) -> list[Advisory]:
    """The advisories of one lock file.

    Raises:
        NotRun: the source did not answer, or does not know every package.
    """
    answers = _pip_audit(PROJECT / lock, settings)
    told = {canonical_name(each["name"]) for each in answers if "skip_reason" not in each}
    missing = sorted({canonical_name(name) for name, _ in pinned(lock)} - told)
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise NotRun(
            f"{settings.advisory_source} did not tell of {', '.join(missing[:NAMED])}{more} of {lock}"
        )
    return [
        Advisory(
            id=found["id"],
            aliases=tuple(sorted(found["aliases"])),
            package=answer["name"],
            version=answer["version"],
            lock=lock,
            fixed_in=tuple(found["fix_versions"]),
        )
        for answer in answers
        for found in sorted(answer["vulns"], key=lambda each: str(each["id"]))
    ]


def _pip_audit(requirements: Path, settings: SecuritySettings) -> list[dict[str, Any]]:
    """What pip-audit answers of each package of a file with exact versions.

    Raises:
        NotRun: it did not answer; the last line that it wrote says why.
    """
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", str(requirements)),
        *("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"),
        *("--vulnerability-service", settings.advisory_source),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=settings.audit_timeout_s
        )
    except subprocess.TimeoutExpired as error:
        raise NotRun(f"pip-audit took more than {settings.audit_timeout_s:g} s") from error
    try:
        answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError) as error:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise NotRun(f"pip-audit did not answer: {said}") from error
    return answers

"""An audit is never clean because nobody was asked, or because nobody answered."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from zenml import save_artifact
from zenml.client import Client

from materializers.evaluation.security import Advisory, AdvisoryAudit
from steps.evaluation.security import advisories
from steps.evaluation.security.accepted import AcceptedAdvisory
from steps.evaluation.security.advisories import judge_audit, recent_audit, run_audit
from steps.evaluation.security.locks import lock_digests, pinned
from steps.evaluation.security.settings import SecuritySettings

LOCK = "serving/requirements.lock"
SETTINGS = SecuritySettings(locks=(LOCK,))
NOW = datetime.now(UTC)
VULNERABLE = {"id": "PYSEC-2026-7", "aliases": ["CVE-2026-1"], "fix_versions": ["14.0"], "description": "…"}
KNOWN = {"name": "jinja2", "version": "2.10", "vulns": [VULNERABLE]}


def answers(**vulnerable: list[Any]) -> list[dict[str, Any]]:
    """What pip-audit prints of the lock file."""
    return [
        {"name": name.lower(), "version": version, "vulns": vulnerable.get(name, [])}
        for name, version in pinned(LOCK)
    ]


def source(
    monkeypatch: pytest.MonkeyPatch, of_lock: list[dict[str, Any]], known: dict[str, Any] = KNOWN
) -> None:
    """Have a source of advisories answer so: of the package known to be vulnerable, and of the lock."""

    def pip_audit(requirements: Path, _: SecuritySettings) -> list[dict[str, Any]]:
        return of_lock if requirements.name == Path(LOCK).name else [known]

    monkeypatch.setattr(advisories, "_pip_audit", pip_audit)


def test_what_the_source_knows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With package, version, lock file, other names and the release that mends it."""
    source(monkeypatch, answers(pillow=[VULNERABLE]))
    audit = run_audit(SETTINGS)
    assert audit.not_run is None
    assert (audit.packages, audit.locks) == (len(pinned(LOCK)), lock_digests((LOCK,)))
    (found,) = audit.found
    assert (found.id, found.aliases, found.package, found.fixed_in) == (
        "PYSEC-2026-7",
        ("CVE-2026-1",),
        "pillow",
        ("14.0",),
    )
    assert (found.version, found.lock) == ("13.0.0", LOCK)


@pytest.mark.parametrize(
    "known",
    [
        {"name": "jinja2", "version": "2.10", "vulns": []},
        {"name": "jinja2", "skip_reason": "Dependency not found on PyPI and could not be audited"},
    ],
    ids=["clean", "skipped"],
)
def test_a_mirror_without_advisories_is_no_clean_audit(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, Any]
) -> None:
    """pip-audit itself says there that no vulnerability is known, and ends with 0."""
    source(monkeypatch, answers(), known)
    assert str(run_audit(SETTINGS).not_run).startswith(
        "not run: pypi knows of no advisory even of jinja2==2.10"
    )


@pytest.mark.parametrize("how", ["skipped", "left out"])
def test_a_package_that_the_source_does_not_know_is_no_clean_package(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whether it is named as skipped or not named at all."""
    told = answers()
    told[3] = {"name": told[3]["name"], "skip_reason": "not found"}
    source(monkeypatch, told if how == "skipped" else [each for each in told if "vulns" in each])
    name = pinned(LOCK)[3][0]
    assert run_audit(SETTINGS).not_run == f"not run: pypi did not tell of {name} of {LOCK}"


def test_without_a_network_the_audit_was_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pip-audit, behind a proxy that is not there."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    audit = run_audit(SETTINGS)
    assert str(audit.not_run).startswith("not run: pip-audit did not answer:")
    assert (audit.packages, audit.found) == (0, ())


def test_an_audit_that_takes_too_long_was_not_run() -> None:
    """Nobody waits for it longer than the settings allow."""
    audit = run_audit(SETTINGS.model_copy(update={"audit_timeout_s": 0.01}))
    assert audit.not_run == "not run: pip-audit took more than 0.01 s"


def test_a_lock_file_that_is_gone_was_not_audited() -> None:
    """Such as in an image that was built without it."""
    audit = run_audit(SecuritySettings(locks=("none.lock",)))
    assert str(audit.not_run).startswith("not run: a lock file cannot be read")


def audit_of(days: float, **known: Any) -> AdvisoryAudit:
    """An audit of the present lock file so many days ago that found one advisory."""
    found = Advisory(
        id="PYSEC-2026-7", aliases=("CVE-2026-1",), package="pillow", version="13.0.0", lock=LOCK
    )
    about: dict[str, Any] = {
        "at": NOW - timedelta(days=days),
        "source": "pypi",
        "locks": lock_digests((LOCK,)),
        "packages": 45,
        "found": (found,),
    }
    return AdvisoryAudit(**(about | known))


ACCEPTING = SETTINGS.model_copy(
    update={
        "accepted": (
            AcceptedAdvisory(
                id="CVE-2026-1",
                package="pillow",
                reason="its reader is switched off",
                expires=(NOW + timedelta(days=1)).date(),
            ),
        )
    }
)


@pytest.mark.parametrize(
    ("audit", "reason"),
    [
        (audit_of(6.9), None),
        (audit_of(7.1), "is 7 days old, at most 7"),
        (audit_of(30), "is 30 days old, at most 7"),
        (audit_of(1, locks={LOCK: "00" * 32}), "the lock files changed since the audit of"),
        (audit_of(1, not_run="not run: no network"), "not run: no network"),
    ],
    ids=["fresh", "too old", "far too old", "other locks", "not run"],
)
def test_only_a_recent_audit_of_these_locks_counts(audit: AdvisoryAudit, reason: str | None) -> None:
    """Anything else is not assessed, and says why."""
    said = judge_audit(audit, ACCEPTING, NOW)[1]
    assert (said is None) == (reason is None)
    assert (reason or "") in (said or "")


def test_an_acceptance_ends_with_its_day() -> None:
    """The same audit and list, two days later."""
    for days, standing in ((0, "accepted"), (2, "expired")):
        (judged,), _ = judge_audit(audit_of(1), ACCEPTING, NOW + timedelta(days=days))
        assert judged.standing == standing


@pytest.fixture
def no_audits(zenml_client: Client, own_stack: str) -> None:
    """A store in which no audit of another test is kept."""
    for each in zenml_client.list_artifact_versions(artifact=advisories.ARTIFACT).items:
        zenml_client.zen_store.delete_artifact_version(each.id)


def test_a_finished_audit_is_kept_and_taken_again(no_audits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of requests are not made for each model."""
    source(monkeypatch, answers(pillow=[VULNERABLE]))
    first = recent_audit(SETTINGS)
    source(monkeypatch, answers())
    assert recent_audit(SETTINGS) == first
    again = recent_audit(SETTINGS.model_copy(update={"audit_again_after_hours": 0.0}))
    assert again.found == ()


def test_without_a_network_the_last_audit_counts_for_seven_days(
    no_audits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it does not, nor does one of other lock files."""
    source(monkeypatch, answers(), {"name": "jinja2", "vulns": []})
    assert recent_audit(SETTINGS).not_run is not None
    for days, counts in ((6, True), (8, False)):
        save_artifact(audit_of(days), name=advisories.ARTIFACT)
        assert (recent_audit(SETTINGS).not_run is None) == counts
    save_artifact(audit_of(1, locks={LOCK: "00" * 32}), name=advisories.ARTIFACT)
    assert recent_audit(SETTINGS).not_run is not None


def test_an_audit_that_is_switched_off_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which setting switches it on."""
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: sys.exit("asked"))
    audit = recent_audit(SETTINGS.model_copy(update={"audit_advisories": False}))
    assert audit.not_run == "not run: switched off (evaluate.security.audit_advisories)"

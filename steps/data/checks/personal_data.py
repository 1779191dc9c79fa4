"""Check for personal data in columns and pictures; no value that was found is told in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from materializers.data_report import Check
from steps.data.personal_data.columns import Finding, Kind
from steps.data.personal_data.pictures import NotInstalled, PictureKind, PicturesFindings
from steps.data.personal_data.settings import PersonalDataSettings, Policy

SHOWN = 5
WHAT: dict[PictureKind, str] = {"faces": "a face", "texts": "readable text"}


def check_columns(
    findings: Sequence[Finding], settings: PersonalDataSettings, missing: Mapping[Kind, str]
) -> Check:
    """Check the columns of a delivery.

    Args:
        findings: what ``scan_columns`` found.
        settings: the policy.
        missing: what ``missing_packages`` says; a kind that nobody looked for makes it ``not_assessed``.

    Returns:
        ``personal_data: columns``; measured are findings in rows, a row with two kinds counts twice.
    """
    rows = sum(finding.rows for finding in findings)
    where = "; ".join(
        f"{finding.column}: {finding.kind} in {finding.rows:,} rows (such as {', '.join(finding.examples)})"
        for finding in findings
    )
    if missing and not (rows and settings.columns == "refuse"):
        names = ", ".join(f"{kind} needs {package}" for kind, package in missing.items())
        found = f" Found without it: {where}." if rows else ""
        reason = (
            f"Nobody looked for all personal data in the columns: {names}, which is not installed.{found} "
            "Install it: make setup"
        )
        return _not_assessed("columns", settings.columns, reason)
    if not rows:
        return _passed(
            "columns", settings.columns, "The columns hold no e-mail address, phone number or name; 0 may."
        )
    mends: dict[Policy, str] = {
        "refuse": "Take it out of the delivery, name a column of brands in "
        "validate.personal_data.allowed_columns, or set validate.personal_data.columns=mask.",
        "mask": "Each is replaced by its kind in brackets, and nothing else is.",
        "warn": "Take it out of the delivery, or set validate.personal_data.columns=mask.",
    }
    reason = f"Personal data in columns, 0 rows may have any. {where}. {mends[settings.columns]}"
    return _found("columns", settings.columns, rows, reason)


def check_pictures(
    found: Sequence[tuple[str, PicturesFindings]],
    pictures: int,
    settings: PersonalDataSettings,
    missing: Mapping[PictureKind, NotInstalled],
) -> list[Check]:
    """Check the pictures of a delivery.

    Args:
        found: where each examined picture came from, and what was found in it.
        pictures: how many the delivery has.
        settings: the policy.
        missing: what ``missing_detectors`` says.

    Returns:
        ``personal_data: faces`` and ``personal_data: texts``; measured are pictures. A kind that nothing
        looked for is ``not_assessed``.
    """
    return [_pictures_of(kind, found, pictures, settings, missing.get(kind)) for kind in WHAT]


def _pictures_of(
    kind: PictureKind,
    found: Sequence[tuple[str, PicturesFindings]],
    pictures: int,
    settings: PersonalDataSettings,
    missing: NotInstalled | None,
) -> Check:
    policy = settings.pictures
    looked = [(where, findings.faces if kind == "faces" else findings.texts) for where, findings in found]
    examined = [(where, boxes) for where, boxes in looked if boxes is not None]
    small = len(looked) - len(examined)
    extent = f"{len(examined):,} of {pictures:,} pictures were examined for {WHAT[kind]}"
    if missing is not None:
        reason = f"{extent}: {missing.package} is not installed ({missing.reason}). Install it: make setup"
        return _not_assessed(kind, policy, reason)
    if small:
        extent += f" ({small:,} are too small)"
    if not examined and pictures:
        return _not_assessed(kind, policy, f"{extent}, so that nobody knows whether there is one.")
    with_it = [where for where, boxes in examined if boxes]
    if not with_it:
        return _passed(kind, policy, f"{extent}, and none has; 0 may.")
    shown = ", ".join(with_it[:SHOWN]) + (", …" if len(with_it) > SHOWN else "")
    mends: dict[Policy, str] = {
        "refuse": "Look at them, take them out of the delivery, or set validate.personal_data.pictures=mask.",
        "mask": "Those parts are filled, and the pictures encoded anew.",
        "warn": "Look at them; validate.personal_data.pictures=mask fills those parts.",
    }
    reason = f"{extent}, and {len(with_it):,} have, 0 may: {shown}. {mends[policy]}"
    return _found(kind, policy, len(with_it), reason)


def _passed(what: str, policy: Policy, reason: str) -> Check:
    return _check(what, policy, 0, reason, "passed")


def _found(what: str, policy: Policy, measured: int, reason: str) -> Check:
    return _check(what, policy, measured, reason, "refused" if policy == "refuse" else "warned")


def _not_assessed(what: str, policy: Policy, reason: str) -> Check:
    return _check(what, policy, None, reason, "not_assessed")


def _check(what: str, policy: Policy, measured: float | None, reason: str, outcome: str) -> Check:
    """A check; what is to be refused or masked must not go by unseen, so that both are severe."""
    return Check.model_validate(
        {
            "name": f"personal_data: {what}",
            "outcome": outcome,
            "severity": "warn" if policy == "warn" else "refuse",
            "measured": measured,
            "limit": 0,
            "reason": reason,
        }
    )

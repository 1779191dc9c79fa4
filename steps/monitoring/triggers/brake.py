"""The brake: after some retrainings in a row that came to nothing, a person is asked before the next."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from materializers.evidence import GAIN, RegisteredVersion, was_live_tag
from materializers.trigger_decision import Hold

if TYPE_CHECKING:
    from materializers.signatures import TrustedKeys

ORIGIN = "continuous"

logger = logging.getLogger("shutterline.monitoring")


def in_vain(versions: Sequence[RegisteredVersion], released: int = 0) -> list[RegisteredVersion]:
    """The retrainings in a row, the newest first, that were refused or no better.

    Better is what passed and was more accurate than the champion on the same rows, had none beside it, or
    went to production, whatever the numbers. What a person trained is no retraining, and ends no row.

    Args:
        versions: of the model, the newest first.
        released: the version up to which a person has looked at them, by the last release of the brake.
    """
    row: list[RegisteredVersion] = []
    for version in versions:
        if version.version <= released:
            break
        if version.tags.get("origin") != ORIGIN:
            continue
        if _is_better(version):
            break
        row.append(version)
    return row


def _is_better(version: RegisteredVersion) -> bool:
    if was_live_tag("production") in version.tags:
        return True
    return version.tags.get("verdict") == "passed" and _gained(version)


def _gained(version: RegisteredVersion) -> bool:
    """Whether it was more accurate than the champion, or had none beside it; no number is no gain."""
    gain = version.tags.get(GAIN)
    try:
        return gain is None or float(gain) > 0
    except ValueError:
        logger.warning(
            "Version %d counts as no better: its tag %s is %r, which is no number",
            version.version,
            GAIN,
            gain,
        )
        return False


def last_release(model_name: str, trusted: TrustedKeys) -> int:
    """The version up to which a person released the brake last, by the audit log; 0 where nobody did.

    Raises:
        ServiceUnreachable: the log cannot be read.
    """
    from materializers.audit_log import sound_entries

    found = sound_entries("release-brake", {"model": model_name}, trusted)
    return max((int(entry.subject["version"]) for entry in found), default=0)


def brake_hold(row: Sequence[RegisteredVersion], brake_after: int) -> Hold:
    """Whether so many retrainings in a row came to nothing that a person is asked first.

    Args:
        row: of :func:`in_vain`, the newest first.
        brake_after: how many.
    """
    braked = len(row) >= brake_after
    said = f"{len(row)} retrainings in a row were refused or no better, the brake is at {brake_after}"
    if braked:
        named = ", ".join(str(version.version) for version in reversed(row))
        said += (
            f" (versions {named}): look at why, then: python run.py --release-brake --by WHO --reason TEXT"
        )
    return Hold(
        name="brake",
        value=len(row),
        limit=brake_after,
        holds=braked,
        reason=said,
        version=row[0].version if row else None,
    )

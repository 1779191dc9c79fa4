"""The versions that a model is compared with: what is in production, and the anchor that does not move."""

from __future__ import annotations

from collections.abc import Sequence

from materializers.errors import DamagedArtifact, Refused
from materializers.evidence import RegisteredVersion, run_output, was_live_tag
from materializers.splits import Splits
from steps.evaluation.comparison.settings import Anchor
from steps.registry.aliases import CHAMPION
from steps.registry.audit import read_log


def find_champion(model_name: str, versions: Sequence[RegisteredVersion]) -> RegisteredVersion | None:
    """The version that is in production by the registry; None where none ever was.

    Raises:
        Refused: a version was in production, by the registry or the audit log, and the registry does not say
            which is now.
        ServiceUnreachable: the audit log cannot be read.
    """
    named = next((entry for entry in versions if CHAMPION in entry.aliases), None)
    if named is not None:
        return named
    if lost := _were_live(versions):
        raise Refused(
            f"Version {lost[0].version} was in production, but the registry's alias {CHAMPION!r} names none: "
            "put the alias back, or: python run.py --status"
        )
    released = _released(model_name)
    if released is not None:
        raise Refused(
            f"Version {released} was released to production by the audit log, and the registry knows of "
            "none: put the registry back, or: python run.py --audit"
        )
    return None


def find_anchor(versions: Sequence[RegisteredVersion], which: Anchor) -> RegisteredVersion | None:
    """The version that small losses are summed up against; None where none was ever in production.

    Args:
        versions: of the model.
        which: the first that went to production, or the one of them whose accuracy was best then.
    """
    live = _were_live(versions)
    if not live:
        return None
    if which == "first":
        return min(live, key=lambda entry: entry.version)
    return max(live, key=lambda entry: (float(entry.tag("accuracy")), -entry.version))


def splits_of(entry: RegisteredVersion) -> Splits:
    """The splits that a version learnt from, as they are stored now.

    Raises:
        DamagedArtifact: they are not what was registered.
        Refused: they are gone, or its entry was altered.
    """
    splits: Splits = run_output(entry.run_id, "splits")
    if splits.digest != entry.tag("splits_digest"):
        raise DamagedArtifact(
            f"The splits of version {entry.version} are not those that it learnt from: nobody can tell which "
            "pictures it knows. Put the previous release back: python run.py --rollback"
        )
    return splits


def _were_live(versions: Sequence[RegisteredVersion]) -> list[RegisteredVersion]:
    return [entry for entry in versions if entry.tags.get(was_live_tag("production")) == "true"]


def _released(model_name: str) -> str | None:
    """The version of the last release to production that the audit log has; None where it has none."""
    found = [
        each.entry.subject
        for each in read_log()
        if each.entry is not None and each.entry.act in ("release", "rollback")
    ]
    wanted = {"model": model_name, "environment": "production"}
    released = [subject["version"] for subject in found if wanted.items() <= subject.items()]
    return released[-1] if released else None

"""The accuracy that later ones are compared with, which moves by a recorded act alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from materializers.evidence import RegisteredVersion
from steps.deployment.deployer import active_deployer
from steps.evaluation.comparison.opponents import releases_to_production
from steps.registry.audit import sound_entries


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
    production yet.

    Raises:
        Refused: an entry of the audit log cannot be read.
        ServiceUnreachable: the log cannot be read.
    """
    acts = sound_entries("set-baseline", {"model": model_name}, active_deployer().trusted_keys())
    if acts:
        said = acts[-1].subject
        return Baseline(int(said["version"]), float(said["accuracy"]), acts[-1].at)
    known = {str(entry.version): entry for entry in registered}
    for release in releases_to_production(model_name):
        first = known.get(release.subject["version"])
        if first is not None:
            return Baseline(first.version, float(first.tag("accuracy")), release.at)
    return None

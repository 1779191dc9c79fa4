"""The versions that a model is compared with: what is in production, and the anchor that does not move.

Each is asked now, through the same code, about the same pictures; what its report said then is not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from materializers.errors import DamagedArtifact, Refused
from materializers.evidence import RegisteredVersion, run_output, was_live_tag
from materializers.splits import TRAIN, VALIDATION, Splits
from materializers.verdict import Opponent
from steps.evaluation.answers import each_answer
from steps.registry.aliases import CHAMPION
from steps.registry.registered_model import predictor_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from materializers.image_dataset import ImageDataset

Anchor = Literal["first", "best"]


@dataclass(frozen=True)
class Answered:
    """What an opponent answered to n pictures.

    Args:
        opponent: which version it is.
        classes: the names that it knows.
        labels: ``(n,)`` str, its answers; the empty one for a picture that it refuses.
        learnt: the pictures that it learnt from or was chosen by.
        data: the version of the data that it learnt from.
    """

    opponent: Opponent
    classes: tuple[str, ...]
    labels: NDArray[np.str_]
    learnt: frozenset[str]
    data: str


def find_champion(versions: Sequence[RegisteredVersion]) -> RegisteredVersion | None:
    """The version that is in production by the registry; None where none ever was.

    Raises:
        Refused: a version was in production and the registry does not say which is now.
    """
    named = next((entry for entry in versions if CHAMPION in entry.aliases), None)
    if named is None and (lost := _were_live(versions)):
        raise Refused(
            f"Version {lost[0].version} was in production, but the registry's alias {CHAMPION!r} names none: "
            "put the alias back, or: python run.py --status"
        )
    return named


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


def ask(
    entry: RegisteredVersion, dataset: ImageDataset, image_ids: Sequence[str], *, batch_size: int
) -> Answered:
    """Ask a registered version about pictures.

    Args:
        entry: the version.
        dataset: holds the pictures.
        image_ids: n of them.
        batch_size: pictures at a time.

    Raises:
        DamagedArtifact: its model or its splits are not what was registered.
        Refused: they are gone, or its entry was altered.
        ServiceUnreachable: the artifact store cannot be read.
    """
    splits: Splits = run_output(entry.run_id, "splits")
    if splits.digest != entry.tag("splits_digest"):
        raise DamagedArtifact(
            f"The splits of version {entry.version} are not those that it learnt from: nobody can tell which "
            "pictures it knows. Put the previous release back: python run.py --rollback"
        )
    learnt = frozenset((*splits.image_ids(TRAIN), *splits.image_ids(VALIDATION)))
    with predictor_of(entry) as predictor:
        given = each_answer(predictor, dataset, image_ids, batch_size=batch_size)
        labels = [getattr(answer, "label", "") for answer in given]
        classes = predictor.metadata.classes
    return Answered(
        opponent=Opponent(version=entry.version, model=entry.tag("model_digest")),
        classes=classes,
        labels=np.array(labels, dtype=np.str_),
        learnt=learnt,
        data=entry.tag("data_version"),
    )


def _were_live(versions: Sequence[RegisteredVersion]) -> list[RegisteredVersion]:
    return [entry for entry in versions if entry.tags.get(was_live_tag("production")) == "true"]

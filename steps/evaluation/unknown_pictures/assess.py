"""Measure whether the served model is less sure of pictures that are none of its classes.

Two scores are compared on the same pictures: the probability of the answer, by which serving abstains, and
how alike an embedding is to known ones. Where the second is much better, a threshold on the probability is
not what keeps unknown pictures out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materializers.evaluation.unknown_pictures import UnknownPictures
from steps.evaluation.intervals import Array
from steps.evaluation.unknown_pictures import far, near
from steps.evaluation.unknown_pictures.detection import FAR, KNOWN, NEAR, detections
from steps.evaluation.unknown_pictures.pictures import scores_picture
from steps.evaluation.unknown_pictures.scoring import NotFinite, Scored, Scorer, joined, known_embeddings
from steps.evaluation.unknown_pictures.settings import UnknownPicturesSettings

if TYPE_CHECKING:
    from steps.evaluation.captioned_sheet import Tile
    from steps.evaluation.examined import Examined

SCORES, SHEET = "unknown_scores", "unknown_pictures"
BATCH = 64
"""Pictures that are held at once."""


def assess_unknown_pictures(
    examined: Examined, settings: UnknownPicturesSettings
) -> tuple[UnknownPictures, dict[str, bytes]]:
    """Measure whether the served model is less sure of unknown pictures than of test pictures.

    Args:
        examined: the model and its test pictures.
        settings: how many, and how they are compared.

    Returns:
        The numbers; the spread of the scores and an example of each kind as pictures.
    """
    from steps.evaluation.captioned_sheet import captioned_sheet

    if not settings.pictures:
        return UnknownPictures(not_assessed="none is made: --set evaluate.unknown.pictures=300"), {}
    positions = examined.sample(settings.pictures, settings.seed)
    if len(positions) < settings.min_pictures:
        return UnknownPictures(not_assessed=_too_few(len(positions), settings)), {}
    bank = known_embeddings(examined.classifier)
    scorer = Scorer(examined.predictor, None if isinstance(bank, str) else bank, settings.neighbours)
    try:
        scored, tiles = score_pictures(examined, positions, scorer, settings.seed)
    except NotFinite:
        return UnknownPictures(not_assessed="the network's answer to a made picture is not a number"), {}
    threshold = examined.predictor.metadata.abstention_threshold
    kinds = detections(scored, threshold, resamples=settings.bootstrap_resamples, seed=settings.seed)
    found = UnknownPictures(
        known=len(positions),
        near=kinds.pop(NEAR),
        far=kinds.pop(FAR),
        kinds=kinds,
        embedding_not_assessed=bank if isinstance(bank, str) else None,
    )
    return found, {SCORES: scores_picture(scored, threshold), SHEET: captioned_sheet(tiles)}


def score_pictures(
    examined: Examined, positions: NDArray[np.int64], scorer: Scorer, seed: int
) -> tuple[dict[str, Scored], list[Tile]]:
    """Score test pictures and what is made for each of them, some at a time.

    Args:
        examined: has the pictures.
        positions: ``(m,)`` in its ``image_ids``, m > 0.
        scorer: scores them.
        seed: of what is made.

    Returns:
        The scores of m known, m near and m far pictures, row by row, and an example of each kind.

    Raises:
        NotFinite: an answer is not a number.
    """
    generator = np.random.default_rng(seed)
    parts: dict[str, list[Scored]] = {KNOWN: [], NEAR: [], FAR: []}
    tiles: dict[str, Tile] = {}
    for start in range(0, len(positions), BATCH):
        batch = positions[start : start + BATCH]
        pixels = examined.pixels(batch)
        parts[KNOWN].append(scorer(pixels, [KNOWN] * len(batch)))
        made, kinds, partners = near.near_pictures(pixels, examined.true[batch], generator)
        parts[NEAR].append(scorer(made, kinds))
        ids = [examined.image_ids[position] for position in batch.tolist()]
        shown = [(ids[row], ids[partner]) for row, partner in enumerate(partners.tolist())]
        tiles = dict(_examples(made, kinds, parts[NEAR][-1].sure, shown)) | tiles
        height, width = pixels.shape[1:3]
        blank, kinds = far.far_pictures(len(batch), height, width, generator)
        parts[FAR].append(scorer(blank, kinds))
        tiles = dict(_examples(blank, kinds, parts[FAR][-1].sure, [()] * len(batch))) | tiles
    return {name: joined(each) for name, each in parts.items()}, list(tiles.values())


def _examples(
    pixels: NDArray[np.uint8], kinds: list[str], sure: Array, shown: Sequence[tuple[str, ...]]
) -> Iterator[tuple[str, Tile]]:
    """The first picture of each kind, with the probability of its answer."""
    from steps.evaluation.captioned_sheet import Tile

    for kind in dict.fromkeys(kinds):
        row = kinds.index(kind)
        lines = (kind, f"answered {sure[row]:.3f}")
        yield kind, Tile(Image.fromarray(pixels[row]), lines, tuple(dict.fromkeys(shown[row])))


def _too_few(count: int, settings: UnknownPicturesSettings) -> str:
    mend = "test more pictures"
    if settings.pictures < settings.min_pictures:
        mend = f"--set evaluate.unknown.pictures={settings.min_pictures}"
    return f"{count} test pictures are compared, {settings.min_pictures} at least say something: {mend}"

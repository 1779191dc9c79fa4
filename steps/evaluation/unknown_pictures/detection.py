"""Measure whether the served model is less sure of pictures that are none of its classes.

Two scores are compared on the same pictures: the probability of the answer, by which serving abstains
(Hendrycks and Gimpel 2017), and how alike an embedding is to those of validation pictures (Sun et al. 2022).
Where the second is much better, a threshold on the probability is not what keeps unknown pictures out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from materializers.errors import DamagedArtifact
from materializers.evaluation.unknown_pictures import Detection, UnknownPictures
from materializers.report import Record
from materializers.splits import VALIDATION
from steps.evaluation.intervals import Array, drawn_weights, wilson, with_interval
from steps.evaluation.metrics import roc_auc
from steps.evaluation.unknown_pictures import far, near

if TYPE_CHECKING:
    from materializers.classifier import Classifier
    from serving.predictor import Predictor
    from steps.evaluation.captioned_sheet import Tile
    from steps.evaluation.examined import Examined

SCORES, SHEET = "unknown_scores", "unknown_pictures"
BATCH = 64
"""Pictures that are held at once."""
KNOWN, NEAR, FAR = "known", "near", "far"


class UnknownPicturesSettings(Record):
    """How many pictures are made, and how they are compared."""

    pictures: int = Field(default=300, ge=0, le=10_000)
    """Test pictures; as many near and far unknown ones are made. 0: none."""
    min_pictures: int = Field(default=50, ge=20)
    """With fewer test pictures nothing is assessed: the interval would be as wide as the answer."""
    neighbours: int = Field(default=10, ge=1, le=1000)
    """The similarity of an embedding is that to its neighbour of this rank."""
    bootstrap_resamples: int = Field(default=1000, ge=100, le=100_000)
    """Resamples behind each 95 % interval."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the sample, of what is made, and of the resamples."""


@dataclass(frozen=True)
class Scored:
    """Some pictures and what the model makes of them.

    Args:
        kinds: ``(m,)`` str, of each picture.
        sure: ``(m,)`` float64, the probability of the answer.
        alike: ``(m,)`` float64, the similarity of the embedding; None: there is nothing to compare with.
    """

    kinds: NDArray[np.str_]
    sure: Array
    alike: Array | None

    def of(self, rows: NDArray[np.int64]) -> Scored:
        """Those in these rows."""
        return Scored(self.kinds[rows], self.sure[rows], None if self.alike is None else self.alike[rows])

    def rows_by_kind(self) -> dict[str, NDArray[np.int64]]:
        """The rows of each kind, in the order in which kinds come."""
        return {kind: np.flatnonzero(self.kinds == kind) for kind in dict.fromkeys(self.kinds.tolist())}


class NotFinite(Exception):
    """The network's answer is not a number."""


class Scorer:
    """What scores pictures: the served model, and the embeddings that others are compared with.

    Args:
        predictor: the served model.
        bank: ``(b, d)`` float32, embeddings of pictures that it knows; None: there are none.
        neighbours: as in the settings.
    """

    def __init__(self, predictor: Predictor, bank: NDArray[np.float32] | None, neighbours: int) -> None:
        self._predictor = predictor
        self._bank = None if bank is None else _unit(bank)
        self._rank = neighbours

    def __call__(self, pixels: NDArray[np.uint8], kinds: list[str]) -> Scored:
        """Score pictures.

        Args:
            pixels: ``(m, height, width, 3)`` uint8.
            kinds: m.

        Raises:
            NotFinite: an answer is not a number.
        """
        from serving.predictor import probabilities

        logits, embeddings = self._predictor.scores(pixels)
        if not (np.isfinite(logits).all() and np.isfinite(embeddings).all()):
            raise NotFinite
        sure = probabilities(logits, self._predictor.metadata.temperature).max(axis=1)
        alike = None
        if self._bank is not None:
            rank = min(self._rank, len(self._bank))
            similarity = _unit(embeddings) @ self._bank.T
            alike = np.partition(similarity, -rank, axis=1)[:, -rank].astype(np.float64)
        return Scored(np.array(kinds), sure, alike)


def known_embeddings(classifier: Classifier) -> NDArray[np.float32] | str:
    """The embeddings ``(b, d)`` float32 of validation pictures in the drift reference, or why there are none.

    Test pictures are left out: those are what unknown ones are compared with.
    """
    try:
        reference = classifier.reference()
    except DamagedArtifact as error:
        return str(error)
    if reference is None:
        return "the model has no drift reference, whose embeddings others are compared with: train again"
    rows = reference.rows[reference.rows["embedded"]]
    bank = reference.embeddings[(rows["split"] == VALIDATION).to_numpy()]
    return bank if len(bank) else "the model's drift reference has no embedding of a validation picture"


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
    return {name: _joined(each) for name, each in parts.items()}, list(tiles.values())


def detections(
    scored: dict[str, Scored], threshold: float, *, resamples: int, seed: int
) -> dict[str, Detection]:
    """How well the near pictures, the far ones, and those of each kind are told from the known ones.

    Args:
        scored: m known, m near and m far pictures; row i of the near ones was made of row i of the known.
        threshold: of the served model.
        resamples: how many bootstrap resamples; each draws a near picture as often as
            the (first) one that it was made of.
        seed: of the resamples.

    Returns:
        By ``near``, ``far`` and kind.
    """
    known = scored[KNOWN]
    m = len(known.sure)
    groups = {
        name: (side, rows)
        for side in (NEAR, FAR)
        for name, rows in {side: np.arange(m), **scored[side].rows_by_kind()}.items()
    }
    drawn: dict[str, list[Array]] = {name: [] for name in groups}
    first = drawn_weights(m, resamples=resamples, seed=seed)
    second = drawn_weights(m, resamples=resamples, seed=seed + 1)
    for here, there in zip(first, second, strict=True):
        for name, (side, rows) in groups.items():
            weights = np.concatenate([here, (here if side == NEAR else there)[:, rows]], axis=1)
            drawn[name].append(_areas(known, scored[side].of(rows), weights))
    found = {}
    for name, (side, rows) in groups.items():
        unknown, n = scored[side].of(rows), m + len(rows)
        points = _areas(known, unknown, np.ones((1, n)))[:, 0].tolist()
        both = np.concatenate(drawn[name], axis=1)
        metrics = [with_interval(point, each, n) for point, each in zip(points, both, strict=True)]
        answered = wilson(int((unknown.sure >= threshold).sum()), len(rows))
        alike = metrics[1] if len(metrics) > 1 else None
        found[name] = Detection(auroc=metrics[0], embedding_auroc=alike, answered=answered)
    return found


def scores_picture(scored: dict[str, Scored], threshold: float) -> bytes:
    """How the probability of an answer is spread over known, near and far pictures.

    Args:
        scored: by name.
        threshold: of the served model.
    """
    from matplotlib.figure import Figure

    from steps.evaluation.pictures import encode

    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, each in scored.items():
        axes.ecdf(each.sure, label=name, linewidth=1.2)
    if threshold:
        axes.axvline(threshold, color="grey", linestyle=":", label=f"threshold {threshold:.4g}")
    axes.set(xlabel="probability of the answer", ylabel="share of the pictures at or below it")
    axes.set(xlim=(0, 1.01), title="Test pictures and unknown ones")
    axes.legend(fontsize="small", loc="upper left")
    return encode(figure)


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


def _areas(known: Scored, unknown: Scored, weights: Array) -> Array:
    """The AUROC of each score ``(scores, resamples)``, under ``weights`` of known and then unknown rows."""
    pairs = [(known.sure, unknown.sure)]
    if known.alike is not None and unknown.alike is not None:
        pairs.append((known.alike, unknown.alike))
    is_known = np.arange(weights.shape[1]) < len(known.sure)
    return np.stack([roc_auc(weights, is_known, np.concatenate(pair)) for pair in pairs])


def _examples(
    pixels: NDArray[np.uint8], kinds: list[str], sure: Array, shown: Sequence[tuple[str, ...]]
) -> Iterator[tuple[str, Tile]]:
    """The first picture of each kind, with the probability of its answer."""
    from steps.evaluation.captioned_sheet import Tile

    for kind in dict.fromkeys(kinds):
        row = kinds.index(kind)
        lines = (kind, f"answered {sure[row]:.3f}")
        yield kind, Tile(Image.fromarray(pixels[row]), lines, tuple(dict.fromkeys(shown[row])))


def _joined(parts: Sequence[Scored]) -> Scored:
    """All scores in one."""
    alike = [part.alike for part in parts if part.alike is not None]
    return Scored(
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.sure for part in parts]),
        np.concatenate(alike) if alike else None,
    )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors ``(n, d)`` of length 1; one that is all 0 stays so."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny))


def _too_few(count: int, settings: UnknownPicturesSettings) -> str:
    mend = "test more pictures"
    if settings.pictures < settings.min_pictures:
        mend = f"--set evaluate.unknown.pictures={settings.min_pictures}"
    return f"{count} test pictures are compared, {settings.min_pictures} at least say something: {mend}"

"""What is detected in windows of 500 photographs that differ: corrupted, of a new class, of another mix.

EfficientNet-Lite0 with a ridge head learns from a part of the clothing photographs but for one class; a part
of the others is the reference, and windows are drawn from the rest, so that no picture is on two sides. Where
nothing differs the reference is drawn anew, too: of one reference all windows err together. Every picture is
encoded anew, clean ones too, lest its bytes tell that it was changed.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional as v2

from benchmarks.claim import Claim, at_least, at_most, not_measured
from benchmarks.dataset.photographs import FOLDER
from benchmarks.monitoring.answered import answered, taken, together
from benchmarks.monitoring.trials import outcomes
from benchmarks.training.labelled import Labelled, labelled, lite0
from materializers.drift_reference import DriftReference
from materializers.splits import TEST, TRAIN, VALIDATION, Splits
from serving.predictor import Predictor
from steps.evaluation.robustness.corruptions import corrupt, picture_seed
from steps.evaluation.robustness.settings import Corruption
from steps.monitoring.drift.settings import DriftSettings
from steps.monitoring.drift.signals import drift_signals
from steps.training.train import train_classifier

LEARNT, REFERENCE, N, TRIALS = 1000, 700, 500, 100
QUICK_TRIALS, QUICK_REST = 10, 1000
"""Windows, and pictures that they are drawn from: each is answered anew for every corruption."""
CORRUPTIONS: tuple[Corruption, ...] = ("noise", "blur", "fog", "contrast", "jpeg", "brightness")
SEVERITIES = (2, 3)
SATURATION = 0.6
"""The share of the colour that is left."""
NEW_SHARE, RAISED = 0.20, 0.20
DETECTED, DETECTED_SATURATION, FALSE_ALARMS = 0.95, 0.80, 0.05
QUALITY = 95
Change = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """A claim for each kind of difference; quick: few trials."""
    if not FOLDER.is_dir():
        return [not_measured("detection", f"there are no photographs at {FOLDER}")]
    folder.mkdir()
    data = labelled()
    counts = Counter(data.labels)
    commonest, new = counts.most_common(2)[0][0], counts.most_common(2)[1][0]
    known = [name for name in data.classes if name != new]
    splits = _split(data, new)
    train_classifier(
        data.dataset,
        splits,
        known,
        lite0(head="ridge", threads=2),
        configuration="",
        code="",
        directory=folder,
    )
    predictor = Predictor.load(folder / "serving")
    reference = _answers(predictor, data, splits.image_ids(VALIDATION))
    rest = splits.image_ids(TEST)[: QUICK_REST if quick else None]
    clean = _answers(predictor, data, rest)
    trials = QUICK_TRIALS if quick else TRIALS
    changes: dict[str, Change] = {
        f"{name} at severity {severity}": partial(_corrupted, name, severity)
        for name in CORRUPTIONS
        for severity in SEVERITIES
    }
    claims = [
        at_most(
            f"nothing differs, n = {N}, {trials} windows: taken for drift",
            float(np.mean(outcomes(partial(_false_alarm, together(reference, clean)), trials))),
            FALSE_ALARMS,
            "",
        )
    ]
    for name, change in {**changes, "saturation": _faded}.items():
        window = _answers(predictor, data, rest, change)
        share = _detected(reference, partial(_any_rows, window), trials)
        limit = DETECTED_SATURATION if name == "saturation" else DETECTED
        claims.append(at_least(f"{name}, n = {N}, {trials} windows: detected", share, limit, ""))
    others = [each for each, label in zip(data.image_ids, data.labels, strict=True) if label == new]
    strange = _answers(predictor, data, others)
    claims += [
        at_least(
            f"a new class as {NEW_SHARE:.0%} of the window, n = {N}, {trials} windows: detected",
            _detected(reference, partial(_with_new, clean, strange), trials),
            DETECTED,
            "",
        ),
        at_least(
            f"the share of one class raised by {RAISED:.0%}, n = {N}, {trials} windows: detected",
            _detected(reference, partial(_raised, clean, commonest), trials),
            DETECTED,
            "",
        ),
    ]
    return claims


def _split(data: Labelled, new: str) -> Splits:
    """To learn from, a reference, and the rest; the new class is in none of them."""
    rows = [
        (image_id, label) for image_id, label in zip(data.image_ids, data.labels, strict=True) if label != new
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    sides = np.full(len(rows), TEST, dtype=object)
    sides[order[:LEARNT]] = TRAIN
    sides[order[LEARNT : LEARNT + REFERENCE]] = VALIDATION
    members = pd.DataFrame(rows, columns=["image_id", "label"])
    return Splits(members.assign(split=sides))


def _answers(
    predictor: Predictor, data: Labelled, image_ids: Sequence[str], change: Change | None = None
) -> DriftReference:
    """The answers on pictures as they are sent: each decoded, changed and encoded again."""
    pictures = []
    for image_id, encoded in zip(image_ids, data.dataset.pictures(image_ids), strict=True):
        with Image.open(io.BytesIO(encoded)) as image:
            pixels = np.asarray(image.convert("RGB"))
        if change is not None:
            pixels = change(pixels, picture_seed(image_id, 0))
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
        pictures.append(buffer.getvalue())
    return answered(predictor, pictures, data.dataset.labels(image_ids))


def _corrupted(
    corruption: Corruption, severity: int, pixels: NDArray[np.uint8], seed: int
) -> NDArray[np.uint8]:
    changed: NDArray[np.uint8] = corrupt(pixels[None], corruption, severity, [seed])[0]
    return changed


def _faded(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    faded: NDArray[np.uint8] = v2.adjust_saturation(image, SATURATION).numpy().transpose(1, 2, 0)
    return faded


def _detected(
    reference: DriftReference, window: Callable[[np.random.Generator], DriftReference], trials: int
) -> float:
    """The share of windows that are taken for drift."""
    return float(np.mean(outcomes(partial(_drifts, reference, window), trials)))


def _false_alarm(pool: DriftReference, seed: int) -> bool:
    """Whether pictures that differ in nothing are taken for drift, the reference drawn anew, too."""
    drawn = np.random.default_rng(seed).permutation(len(pool))
    window = taken(pool, drawn[REFERENCE : REFERENCE + N])
    return _drifts(taken(pool, drawn[:REFERENCE]), lambda draw: window, seed)


def _drifts(
    reference: DriftReference, window: Callable[[np.random.Generator], DriftReference], seed: int
) -> bool:
    drawn = window(np.random.default_rng(seed))
    signals = drift_signals(reference, drawn, threshold=0.0, settings=DriftSettings(), seed=seed)
    return any(signal.outcome == "drift" for signal in signals)


def _any_rows(answers: DriftReference, draw: np.random.Generator) -> DriftReference:
    return taken(answers, draw.permutation(len(answers))[:N])


def _with_new(known: DriftReference, new: DriftReference, draw: np.random.Generator) -> DriftReference:
    of_new = round(NEW_SHARE * N)
    return together(
        taken(known, draw.permutation(len(known))[: N - of_new]),
        taken(new, draw.permutation(len(new))[:of_new]),
    )


def _raised(answers: DriftReference, label: str, draw: np.random.Generator) -> DriftReference:
    """A window in which one class is so many points more common."""
    of_class = (answers.rows["label"] == label).to_numpy()
    more = round((of_class.mean() + RAISED) * N)
    chosen = draw.permutation(np.flatnonzero(of_class))[:more]
    others = draw.permutation(np.flatnonzero(~of_class))[: N - more]
    return taken(answers, np.concatenate([chosen, others]))

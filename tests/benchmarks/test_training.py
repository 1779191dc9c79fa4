"""What the training's benchmarks compare is told apart by what the pictures show, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.dataset.generated import jpeg
from benchmarks.training import labelled
from benchmarks.training.labelled import Features, Labelled, accuracy, lite0, split
from benchmarks.training.probe import Probe
from benchmarks.training.ridge import CLOSED_FORM, PEERS, compared
from materializers.image_dataset import ImageDataset
from materializers.splits import SPLITS, TEST, TRAIN, VALIDATION

CLASSES = ("hat", "shirt", "shoes")
PER_CLASS = 60


@pytest.fixture(scope="module")
def some() -> Labelled:
    """Rows without pictures."""
    count = PER_CLASS * len(CLASSES)
    index = pd.DataFrame(
        {
            "image_id": [f"{number:064x}" for number in range(count)],
            "label": [CLASSES[number % len(CLASSES)] for number in range(count)],
        }
    )
    return Labelled("nothing", ImageDataset(index, {}), CLASSES)


def features_of(some: Labelled, apart: float = 4.0) -> Features:
    """A cloud a class, whose centres differ."""
    numbers = np.array([CLASSES.index(label) for label in some.labels])
    drawn = np.random.default_rng(0).normal(size=(len(numbers), 20)).astype(np.float32)
    drawn[np.arange(len(numbers)), numbers] += apart
    return Features(drawn, numbers, {each: place for place, each in enumerate(some.image_ids)}, len(CLASSES))


def test_splits_share_no_picture_and_have_every_class_as_often(some: Labelled) -> None:
    """Another seed is another split; the same one is the same."""
    splits = split(some, 0, 126)
    assert {name: len(splits.image_ids(name)) for name in SPLITS} == {TRAIN: 126, VALIDATION: 27, TEST: 27}
    assert (splits.counts()[list(SPLITS)] == [42, 9, 9]).all(axis=None)
    assert split(some, 0, 126).digest == splits.digest
    assert split(some, 1, 126).digest != splits.digest


def test_both_ways_learn_from_the_same_rows_and_are_asked_about_others(some: Labelled) -> None:
    """What is easy to tell apart, all tell apart; each is timed once a split."""
    found = compared(some, features_of(some), seeds=2, learnt=120)
    assert found.keys() == {CLOSED_FORM, *PEERS}
    for measured in found.values():
        assert len(measured.seconds) == len(measured.accuracies) == 2
        assert min(measured.accuracies) > 0.9


def test_the_probe_takes_the_strength_that_validation_pictures_prefer(some: Labelled) -> None:
    """Of those that are tried, none is better on them."""
    kept, splits = features_of(some, apart=1.0), split(some, 0, 90)
    train, validation = (kept.of(splits.image_ids(name)) for name in (TRAIN, VALIDATION))

    def right(inverse_strengths: tuple[float, ...]) -> float:
        probe = Probe(train, validation, inverse_strengths)
        return accuracy(probe(validation.inputs), validation.labels)

    tried = (0.001, 0.1, 100.0)
    each = [right((value,)) for value in tried]
    assert min(each) < max(each)
    assert right(tried) == max(each)


def test_settings_are_the_products_but_for_what_is_changed() -> None:
    """One thread, so that CPU time is time."""
    settings = lite0(head="ridge")
    assert (settings.architecture, settings.weights, settings.freeze_backbone) == (
        "efficientnet_lite0",
        "package",
        True,
    )
    assert (settings.head, settings.threads) == ("ridge", 1)


@pytest.mark.parametrize("photographs", [True, False])
def test_claims_say_which_pictures_they_are_about(
    photographs: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The photographs beside the project where they are there, else the sample."""
    folder = tmp_path / "images"
    if photographs:
        folder.mkdir()
        rows = ["image,label"]
        for number in range(6):
            (folder / f"{number}.jpg").write_bytes(jpeg(number))
            rows.append(f"{number}.jpg,{CLASSES[number % 3]}")
        (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    monkeypatch.setattr(labelled, "FOLDER", folder)
    found = labelled.labelled.__wrapped__()
    expected = (6, CLASSES) if photographs else (3600, ("bags", "dresses", "footwear", "tops", "trousers"))
    assert (len(found.dataset), found.classes) == expected
    assert ("photographs" in found.name) is photographs

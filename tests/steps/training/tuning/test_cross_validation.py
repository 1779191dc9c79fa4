"""Folds: stratified, grouped, measured by a model that never saw them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset, Picture
from materializers.tuning_report import Fold
from steps.training.material import new_head
from steps.training.tuning.cross_validation import (
    check_folds,
    cross_validate,
    groups_of_pictures,
    split_folds,
    spread,
)
from steps.training.tuning.search import CrossValidationSettings
from tests.steps.training.examples import picture, settings
from tests.steps.training.studies import FEATURES, Points, point_material

FIVE = CrossValidationSettings(folds=5)


def test_a_group_is_in_one_fold_and_every_class_in_each() -> None:
    """Also where groups are of different sizes; every picture is measured once."""
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 60, 300))
    labels = groups % 3
    folds = split_folds(labels, groups, 5, 0)
    measured = np.concatenate([held_out for _, held_out in folds])
    assert sorted(measured.tolist()) == list(range(300))
    for others, held_out in folds:
        assert not set(groups[others]) & set(groups[held_out])
        shares = np.bincount(labels[held_out], minlength=3) / len(held_out)
        assert shares == pytest.approx(np.bincount(labels) / 300, abs=0.12)


def test_products_near_duplicates_and_pictures_alone_are_groups() -> None:
    """As for the splits."""
    dataset = ImageDataset.from_pictures(
        Picture(picture("dark", seed), "dark", 16, 16, 1, f"{seed}.png") for seed in range(5)
    )
    index = dataset.index.copy()
    index["group"] = pd.array(["vase", "vase", None, None, None], dtype="string").astype(index["group"].dtype)
    index["cluster"] = pd.array([None, "c", "c", None, None], dtype="string")
    joined = ImageDataset(index, dataset.shards, as_it_is=True)
    groups = groups_of_pictures(joined, index["image_id"].tolist()[::-1])[::-1]
    assert len(set(groups[:3])) == 1
    assert len(set(groups)) == 3


@pytest.mark.parametrize(("folds", "said"), [(5, "folds=3"), (4, "folds=3")])
def test_more_folds_than_a_class_has_groups_are_refused(folds: int, said: str) -> None:
    """The class, its groups, and what to set instead."""
    labels = np.array([0] * 10 + [1] * 6)
    groups = np.array([*range(10), 10, 10, 11, 11, 12, 12])
    with pytest.raises(UsageError) as refusal:
        check_folds(labels, groups, ["dark", "light"], folds)
    assert "light has 3 groups" in str(refusal.value)
    assert f"--set cross_validate.{said}" in str(refusal.value)
    check_folds(labels, groups, ["dark", "light"], 3)


def test_a_class_with_one_group_has_no_folds() -> None:
    """Then none is what can be set."""
    with pytest.raises(UsageError, match=r"--set cross_validate\.folds=0"):
        check_folds(np.array([0, 0, 1]), np.array([0, 1, 2]), ["dark", "light"], 2)


def test_each_fold_is_measured_and_the_same_seed_gives_the_same() -> None:
    """All pictures together, and figures a model reaches that learnt something."""
    material = point_material()
    groups = np.arange(150)
    trained = settings(epochs=5, learning_rate=0.05)
    folds = cross_validate(material, groups, trained, FIVE)
    assert [fold.number for fold in folds] == [1, 2, 3, 4, 5]
    assert sum(fold.n for fold in folds) == 150
    assert all(0.4 < fold.accuracy <= 1 and 0.3 < fold.f1_macro <= 1 for fold in folds)
    assert cross_validate(material, groups, trained, FIVE) == folds


def test_a_fold_decides_nothing_about_its_own_training() -> None:
    """Labels of the held-out fold may be anything: weights and epochs stay the same."""
    models: list[nn.Module] = []

    def measured(scramble: bool) -> list[Fold]:
        material = point_material()
        labels = material.everything.labels
        held_out = torch.from_numpy(split_folds(labels.numpy(), np.arange(150), 5, 0)[0][1])

        def new_model(trained: object) -> nn.Module:
            models.append(Points(0.1))
            if scramble:  # once the division is made
                labels[held_out] = (labels[held_out] + 1) % 3
            return models[-1]

        only_first = type(material)(material.train, material.validation, new_model, material.everything)
        return cross_validate(
            only_first,
            np.arange(150),
            settings(epochs=4),
            FIVE,
            stored=lambda number: (
                None if number == 1 else Fold(number=number, n=1, accuracy=0, f1_macro=0, epochs=1)
            ),
        )

    honest, scrambled = measured(False)[0], measured(True)[0]
    assert honest.epochs == scrambled.epochs
    assert honest.accuracy != scrambled.accuracy
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_fold_that_was_measured_is_not_measured_again() -> None:
    """What was kept of a killed run is taken, the rest is measured and kept."""
    known = Fold(number=1, n=30, accuracy=0.25, f1_macro=0.2, epochs=7)
    kept: list[Fold] = []
    folds = cross_validate(
        point_material(),
        np.arange(150),
        settings(epochs=1),
        FIVE,
        stored=lambda number: known if number == 1 else None,
        keep=kept.append,
    )
    assert folds[0] == known
    assert kept == folds[1:]


def test_a_head_in_closed_form_is_fitted_in_each_fold() -> None:
    """As it will be trained: no epochs, and figures as good."""
    given = point_material()
    new_model = partial(new_head, features=FEATURES, classes=3)
    material = type(given)(given.train, given.validation, new_model, given.everything)
    folds = cross_validate(material, np.arange(150), settings(head="ridge", freeze_backbone=True), FIVE)
    assert all(fold.epochs == 0 and fold.accuracy > 0.4 for fold in folds)


def test_mean_and_deviation() -> None:
    """The deviation is that of a sample."""
    found = spread([0.8, 0.9, 1.0])
    assert found.mean == pytest.approx(0.9)
    assert found.deviation == pytest.approx(0.1)

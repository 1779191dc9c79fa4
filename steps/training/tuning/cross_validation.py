"""Cross-validation: how far the figures of one configuration scatter with the pictures it learns from.

Each fold of the training and validation pictures is measured once, by a model that never saw it: the epoch is
chosen, and the training stopped, on pictures taken from the other folds, about as many as validation has. So
nothing about a fold decides how its own model is trained. Test pictures are not touched. What tuning chose,
it chose on validation pictures, which are in the folds too: after tuning the mean is slightly too high.

With a second phase (``fine_tuning``) trials and folds measure the first alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from materializers.errors import UsageError
from materializers.tuning_report import Fold, Spread
from steps.data.groups import connected
from steps.training.device import training_device
from steps.training.fitting.loop import fit, reproducible
from steps.training.fitting.measuring import measure
from steps.training.fitting.ridge import fit_ridge
from steps.training.inputs.examples import Part

if TYPE_CHECKING:
    from torch import nn

    from materializers.image_dataset import ImageDataset
    from steps.training.material import Material
    from steps.training.networks.network import HeadOnly
    from steps.training.settings import TrainSettings
    from steps.training.tuning.search import CrossValidationSettings

INNER_PARTS = 6
"""Of the other folds one part in six chooses the epoch: 15 % of 85 %, as the product's splits have it."""
Integers = npt.NDArray[np.int64]


def groups_of_pictures(dataset: ImageDataset, image_ids: Sequence[str]) -> Integers:
    """Which pictures belong together: a product, near-duplicates, the same file; as for the splits.

    Args:
        dataset: its index says so.
        image_ids: the pictures.

    Returns:
        Each picture's group, ``(n,)``; a picture without a group is one of its own.
    """
    index = dataset.index
    rows = index.iloc[pd.Index(index["image_id"]).get_indexer(pd.Index(image_ids))]
    return connected(rows.reset_index(drop=True)).codes


def check_folds(labels: Integers, groups: Integers, classes: Sequence[str], folds: int) -> None:
    """Refuse more folds than the smallest class has groups: one would have none of it.

    Raises:
        UsageError: there are more.
    """
    counts = groups_of_classes(labels, groups, len(classes))
    smallest = int(counts.argmin())
    if counts[smallest] < folds:
        mend = max(int(counts[smallest]), 0)
        raise UsageError(
            f"cross_validate.folds is {folds}, and {classes[smallest]} has {counts[smallest]} groups of "
            f"pictures to learn from: not one a fold. --set cross_validate.folds={mend if mend > 1 else 0}"
        )


def groups_of_classes(labels: Integers, groups: Integers, classes: int) -> Integers:
    """How many groups each class has a picture in, ``(classes,)``."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    return np.bincount(pairs[0], minlength=classes)


def cross_validate(
    material: Material,
    groups: Integers,
    settings: TrainSettings,
    folds: CrossValidationSettings,
    *,
    stored: Callable[[int], Fold | None] = lambda number: None,
    keep: Callable[[Fold], None] = lambda fold: None,
    on_fold: Callable[[], None] = lambda: None,
) -> list[Fold]:
    """Train and measure once a fold, stratified by class; a group is in one fold.

    Args:
        material: ``everything`` is divided.
        groups: of each of its examples, ``(n,)``.
        settings: of every training.
        folds: how many, and the seed that divides.
        stored: a fold that was measured before, by its number from 1.
        keep: called with each that is measured now.
        on_fold: called once a fold.
    """
    labels = material.everything.labels.numpy()
    found = []
    for number, (others, held_out) in enumerate(split_folds(labels, groups, folds.folds, folds.seed), 1):
        fold = stored(number)
        if fold is None:
            fold = _measured(material, groups, settings, (number, others, held_out), folds.seed)
            keep(fold)
        found.append(fold)
        on_fold()
    return found


def split_folds(labels: Integers, groups: Integers, folds: int, seed: int) -> list[tuple[Integers, Integers]]:
    """Positions outside and inside each fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter: Any = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer groups than parts is in some parts only; of folds this was refused before.
        warnings.simplefilter("ignore", UserWarning)
        return list(splitter.split(labels, labels, groups))


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of at least two folds."""
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Spread(mean=mean, deviation=math.sqrt(variance))


def _measured(
    material: Material,
    groups: Integers,
    settings: TrainSettings,
    fold: tuple[int, Integers, Integers],
    seed: int,
) -> Fold:
    """Train on the other folds, and measure this one."""
    number, others, held_out = fold
    everything = material.everything
    labels = everything.labels.numpy()[others]
    counts = groups_of_classes(labels, groups[others], everything.classes)
    parts = max(2, min(INNER_PARTS, int(counts.min())))
    learnt, choosing = split_folds(labels, groups[others], parts, seed)[0]
    train, validation, tested = (
        Part(everything, torch.from_numpy(positions))
        for positions in (others[learnt], others[choosing], held_out)
    )
    # A fold has fewer pictures to learn from than the training, which a batch may just fit.
    fitting = settings.model_copy(update={"batch_size": min(settings.batch_size, len(train))})
    failure = None
    with reproducible(settings.seed, settings.threads):
        model = material.new_model(settings)
        model.to(training_device())
        if settings.head == "ridge":
            fit_ridge(cast("nn.Linear", cast("HeadOnly", model).head), train, validation)
            epochs = 0
        else:
            result = fit(model, train, validation, fitting)
            epochs, failure = len(result.epochs), result.failure
        tally = measure(model, tested, settings.batch_size)
    _, _, f1_macro = tally.macro()
    return Fold(
        number=number,
        n=len(tested),
        accuracy=tally.accuracy,
        f1_macro=f1_macro,
        epochs=epochs,
        failure=failure,
    )

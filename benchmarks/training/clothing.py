"""Photographs of clothes learnt by EfficientNet-Lite0: how well, beside a linear probe, and at what cost."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import mean, median

from torch import nn

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.dataset.timing import cpu_seconds
from benchmarks.training.labelled import (
    SEEDS,
    Features,
    Labelled,
    accuracy,
    features,
    labelled,
    lite0,
    split,
)
from benchmarks.training.probe import Probe
from materializers.feature_cache import FeatureCache
from materializers.splits import TEST, TRAIN, VALIDATION, Splits
from steps.training.fitting.loop import fit, reproducible
from steps.training.fitting.measuring import measure as measured
from steps.training.inputs.batches import Pictures
from steps.training.networks.network import HeadOnly, build_network
from steps.training.phases import learn
from steps.training.settings import FineTuning
from steps.training.train import train_classifier
from tests.materializers.stores import disk_store

LEARNT_SHARE = 0.70
HEADS = ("mlp", "linear", "ridge")
"""The first is the product's."""
FINE_TUNING = FineTuning(blocks=3, learning_rate=0.0001, epochs=3)
FINE_TUNED_SEEDS = 3
QUICK_SEEDS = 2
BATCH = 32
EPOCH_BATCHES, QUICK_BATCHES = 8, 4
"""Of an epoch of fine-tuning everything, whose time is scaled to all of its batches."""
ROUNDS = 3


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """Accuracy and cost; features are kept below the folder, which is empty.

    Quick: two splits, one round, and no fine-tuning, which takes ten minutes a split.
    """
    data = labelled()
    cost = _cost(folder, data, splits_of(data, 1)[0], quick=quick)
    cache = FeatureCache(disk_store(folder))
    kept = features(data, cache)
    return [
        *_frozen(data, kept, splits_of(data, QUICK_SEEDS if quick else SEEDS), cache),
        cost,
        *([] if quick else [_fine_tuned(data, kept, splits_of(data, FINE_TUNED_SEEDS), cache)]),
    ]


def splits_of(data: Labelled, seeds: int) -> list[Splits]:
    """As many splits, each 70, 15 and 15 %."""
    learnt = round(LEARNT_SHARE * len(data.dataset))
    return [split(data, seed, learnt) for seed in range(seeds)]


def _frozen(data: Labelled, kept: Features, every: list[Splits], cache: FeatureCache) -> list[Claim]:
    """Each head beside the probe, on the same splits."""
    probe = mean(_probed(kept, splits) for splits in every)
    return [
        at_least(
            f"accuracy on test pictures, {data.name}, EfficientNet-Lite0 at 224, frozen, head {head}"
            f"{' (the default)' if head == HEADS[0] else ''}, mean of {len(every)} splits, beside a linear "
            "probe with scikit-learn on the same features, its C chosen on validation pictures",
            mean(frozen_accuracy(data, kept, splits, cache, head) for splits in every),
            probe - 0.01,
            "",
            peer=probe,
        )
        for head in HEADS
    ]


def frozen_accuracy(
    data: Labelled, kept: Features, splits: Splits, cache: FeatureCache, head: str = HEADS[0]
) -> float:
    """Train a head on features that the cache has, and ask it about the test pictures' features."""
    learnt = learn(data.dataset, splits, data.classes, lite0(head=head), cache=cache)
    test = kept.of(splits.image_ids(TEST))
    return measured(HeadOnly(learnt.network.head), test, BATCH).accuracy


def _probed(kept: Features, splits: Splits) -> float:
    train, validation, test = (kept.of(splits.image_ids(name)) for name in (TRAIN, VALIDATION, TEST))
    return accuracy(Probe(train, validation)(test.inputs), test.labels)


def _fine_tuned(data: Labelled, kept: Features, every: list[Splits], cache: FeatureCache) -> Claim:
    """The last blocks learn too, beside the same head on the frozen backbone."""
    settings = lite0(fine_tuning=FINE_TUNING.model_dump())
    found = []
    for splits in every:
        learnt = learn(data.dataset, splits, data.classes, settings, cache=cache)
        test = Pictures(data.dataset, splits.image_ids(TEST), data.classes, settings)
        found.append(measured(learnt.network, test, BATCH).accuracy)
    frozen = mean(frozen_accuracy(data, kept, splits, cache) for splits in every)
    return at_least(
        f"accuracy on test pictures, {data.name}, the same with the last {FINE_TUNING.blocks} blocks "
        f"fine-tuned, {FINE_TUNING.epochs} epochs at {FINE_TUNING.learning_rate:g}, mean of {len(every)} "
        "splits, beside frozen",
        mean(found),
        frozen + 0.01,
        "",
        peer=frozen,
    )


def _cost(folder: Path, data: Labelled, splits: Splits, *, quick: bool) -> Claim:
    """CPU of a training from no features at all to the calibrated model, beside fine-tuning everything."""
    batches = QUICK_BATCHES if quick else EPOCH_BATCHES
    trained, epoch = list[float](), list[float]()
    for number in range(1 if quick else ROUNDS):
        epoch.append(_epoch_of_everything(data, splits, batches))
        # What the first round computes is kept for what comes after.
        store = folder / f"round-{number}" if number else folder
        trained.append(cpu_seconds(partial(_train, store, data, splits)))
    return at_most(
        f"the whole training of {data.name}, frozen, from no features to a calibrated export, CPU, one "
        f"thread, beside one epoch of fine-tuning everything by the same loop, measured on {batches} batches "
        f"of {BATCH} and scaled",
        median(trained),
        0.4 * median(epoch),
        "s",
        peer=median(epoch),
    )


def _train(store: Path, data: Labelled, splits: Splits) -> None:
    directory = store / "model"
    directory.mkdir(parents=True)
    train_classifier(
        data.dataset,
        splits,
        list(data.classes),
        lite0(),
        configuration="benchmark",
        code="benchmark",
        directory=directory,
        store=disk_store(store),
    )


def _epoch_of_everything(data: Labelled, splits: Splits, batches: int) -> float:
    """CPU seconds of an epoch in which every weight learns; validation pictures are measured in it too."""
    settings = lite0(freeze_backbone=False, epochs=1, batch_size=BATCH)
    learnt, checked = splits.image_ids(TRAIN), splits.image_ids(VALIDATION)
    share = batches * BATCH / len(learnt)

    def learn_some(model: nn.Module, pictures: int) -> None:
        train, validation = (
            Pictures(data.dataset, image_ids[: round(count)], data.classes, settings)
            for image_ids, count in ((learnt, pictures), (checked, pictures / len(learnt) * len(checked)))
        )
        fit(model, train, validation, settings)

    with reproducible(settings.seed, settings.threads):
        model = build_network(settings, len(data.classes))
        learn_some(model, BATCH)  # warms up
        return cpu_seconds(lambda: learn_some(model, batches * BATCH)) / share

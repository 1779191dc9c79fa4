"""The training loop: what it keeps, when it slows down, when it stops."""

import copy
import itertools
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from materializers.classifier import EpochMetrics
from steps.training.batches import Pictures
from steps.training.examples import Rows
from steps.training.loop import fit, reproducible
from steps.training.measuring import Tally, measure
from steps.training.networks import Network, build_network
from steps.training.settings import Augmentation, Learning, TrainSettings
from tests.steps.training.examples import CLASSES, dataset, settings, splits


class Features(torch.nn.Module):
    """A linear model of three features; they are the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.linear(features), features


ANYTHING_GOES = Learning(after_epochs=1000, loss_limit=1e9)
PLAIN = Augmentation(flip=0, rotation=0, crop=1, brightness=0, contrast=0)


def given(split: str, chosen: TrainSettings) -> Pictures:
    pictures = dataset()
    return Pictures(pictures, splits(pictures).image_ids(split), CLASSES, chosen)


def trained(**differences: Any) -> tuple[Network, Pictures, tuple[EpochMetrics, ...], int]:
    """A network, its validation pictures, its epochs and the best one."""
    chosen = settings(**differences)
    validation = given("validation", chosen)
    with reproducible(chosen.seed, chosen.threads):
        network = build_network(chosen, len(CLASSES))
        result = fit(network, given("train", chosen), validation, chosen)
    return network, validation, result.epochs, result.best_epoch


def test_it_learns_and_keeps_the_best_epochs_weights() -> None:
    """Afterwards the network measures exactly what its best epoch measured, and that is the highest."""
    network, validation, epochs, best = trained(epochs=8, learning_rate=0.01, augmentation=PLAIN)
    kept = measure(network, validation, 8)
    assert kept.accuracy == epochs[best - 1].val_accuracy == max(epoch.val_accuracy for epoch in epochs)
    assert kept.loss == epochs[best - 1].val_loss
    assert kept.accuracy >= 0.9
    assert epochs[-1].loss < epochs[0].loss


def test_it_stops_early_when_validation_accuracy_stops_growing() -> None:
    """With a learning rate that moves nothing, it ends as many epochs after the best as its patience."""
    _, _, epochs, best = trained(
        epochs=30, learning_rate=1e-12, early_stopping_patience=3, dropout=0, learning=ANYTHING_GOES
    )
    assert len(epochs) == best + 3 < 30


def test_the_learning_rate_falls_on_a_plateau() -> None:
    """With a patience of 0, each epoch whose loss is not the lowest yet halves the next one's rate."""
    _, _, epochs, _ = trained(
        epochs=10,
        learning_rate=0.3,
        plateau_patience=0,
        plateau_factor=0.5,
        early_stopping_patience=50,
        learning=ANYTHING_GOES,
    )
    lowest, fallen = float("inf"), 0
    for epoch, following in itertools.pairwise(epochs):
        falls = epoch.val_loss >= lowest * (1 - 1e-4)
        assert following.learning_rate == epoch.learning_rate * (0.5 if falls else 1)
        lowest, fallen = min(lowest, epoch.val_loss), fallen + falls
    assert 0 < fallen < len(epochs) - 1


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    """It names the epoch and the command that mends it; the model has the weights that it began with."""
    chosen = settings(learning_rate=1.0)
    network = build_network(chosen, len(CLASSES))
    before = copy.deepcopy(network.state_dict())
    pictures = given("validation", chosen)
    endless = Rows(torch.full((16, 16, 16, 3), torch.inf), torch.zeros(16, dtype=torch.int64), 3)
    result = fit(network, endless, pictures, chosen)
    assert result.failure is not None
    assert re.match(r"epoch 1: .*--set train.learning_rate=0.1", result.failure)
    assert (result.best_epoch, result.epochs) == (0, ())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_features_are_learnt_from_as_they_are() -> None:
    """A model of features is trained like one of pictures, and a last batch of one counts."""
    chosen = settings(batch_size=8, epochs=2, learning_rate=0.1)
    labels = torch.arange(17) % 3
    rows = Rows(torch.nn.functional.one_hot(labels, 3).float(), labels, 3)
    done: list[None] = []
    fit(Features(), rows, rows, chosen, on_batch=lambda: done.append(None))
    assert len(done) == 2 * 3


def test_a_last_batch_of_one_picture_is_left_out() -> None:
    """Batch normalisation over one vector would fail: 9 pictures in batches of 8 are one batch."""
    chosen = settings(preprocessing={"height": 8, "width": 8}, batch_size=8, epochs=1)
    pictures = dataset(3)
    nine = Pictures(pictures, pictures.index["image_id"].tolist(), CLASSES, chosen)
    done: list[None] = []
    fit(build_network(chosen, 3), nine, nine, chosen, on_batch=lambda: done.append(None))
    assert len(done) == 1


def test_each_epoch_is_reported_once() -> None:
    """The callback sees every epoch in order."""
    chosen = settings(epochs=2)
    seen: list[int] = []
    pictures = given("validation", chosen)
    fit(build_network(chosen, 3), pictures, pictures, chosen, on_epoch=lambda epoch: seen.append(epoch.epoch))
    assert seen == [1, 2]


def test_reproducible_leaves_torch_as_it_was() -> None:
    """Threads, determinism and the random state are the caller's again, after an error too."""
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    with pytest.raises(KeyError), reproducible(0, threads + 1):
        assert torch.get_num_threads() == threads + 1
        assert torch.are_deterministic_algorithms_enabled()
        torch.rand(5)
        raise KeyError
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(1), expected)


def test_macro_metrics_agree_with_scikit_learn() -> None:
    """Precision, recall and F1 of an epoch, a class without an answer included."""
    from sklearn.metrics import precision_recall_fscore_support

    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3])
    answers = torch.tensor([0, 1, 1, 1, 0, 0, 1, 3])
    tally = Tally(torch.zeros(4, 4, dtype=torch.int64))
    tally.add(1.0, torch.nn.functional.one_hot(answers, 4).float(), labels)
    expected = precision_recall_fscore_support(labels, answers, average="macro", zero_division=0)
    assert tally.macro() == pytest.approx(expected[:3])
    assert tally.accuracy == pytest.approx(4 / 8)

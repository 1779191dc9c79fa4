"""The training loop: what it keeps, when it slows down, when it stops."""

import copy
import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from materializers.classifier import EpochMetrics
from materializers.errors import UsageError
from steps.training.fitting.chance import mix
from steps.training.fitting.learning import enough_memory, not_learning, warn_of_missing
from steps.training.fitting.loop import fit, reproducible
from steps.training.fitting.measuring import Tally, measure
from steps.training.inputs.batches import Pictures
from steps.training.inputs.examples import Part, Rows
from steps.training.networks.network import Network, build_network
from steps.training.settings import Augmentation, Learning, TrainSettings
from tests.steps.training.examples import CLASSES, dataset, settings, splits


class Linear(torch.nn.Module):
    """A linear model of features; they are the embedding."""

    def __init__(self, length: int, classes: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(length, classes)

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


def features(count: int, classes: int = 3, *, noise: float = 0.3, length: int = 4) -> Rows:
    """Features that tell the classes, which come equally often."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    inputs = torch.nn.functional.one_hot(labels, length).float()
    return Rows(inputs + noise * torch.randn(count, length, generator=generator), labels, classes)


def linear(length: int = 4, classes: int = 3) -> Linear:
    torch.manual_seed(0)
    return Linear(length, classes)


class Recorded(Rows):
    """Rows that record the order that they are asked for in."""

    order: list[int]

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The same batches."""
        self.order = order.tolist()
        return super().batches(order, size)


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
    fit(Linear(3, 3), rows, rows, chosen, on_batch=lambda: done.append(None))
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
    memory: Any = torch.utils.deterministic
    threads, filled = torch.get_num_threads(), memory.fill_uninitialized_memory
    with pytest.raises(KeyError), reproducible(0, threads + 1):
        assert torch.get_num_threads() == threads + 1
        assert torch.are_deterministic_algorithms_enabled()
        torch.rand(5)
        raise KeyError
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert memory.fill_uninitialized_memory == filled
    assert torch.equal(torch.rand(1), expected)


def test_macro_metrics_agree_with_scikit_learn() -> None:
    """Precision, recall and F1 of an epoch, a class without an answer included."""
    from sklearn.metrics import precision_recall_fscore_support

    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3])
    answers = torch.tensor([0, 1, 1, 1, 0, 0, 1, 3])
    tally = Tally.of_batch(1.0, torch.nn.functional.one_hot(answers, 4).float(), labels)
    expected = precision_recall_fscore_support(labels, answers, average="macro", zero_division=0)
    assert tally.macro() == pytest.approx(expected[:3])
    assert tally.accuracy == pytest.approx(4 / 8)


def test_a_cosine_falls_from_the_rate_to_almost_nothing() -> None:
    """Each epoch's rate is that of the closed form; the last epoch still learns."""
    rows = features(24)
    chosen = settings(epochs=6, schedule="cosine", learning_rate=0.1, learning=ANYTHING_GOES)
    rates = [epoch.learning_rate for epoch in fit(linear(), rows, rows, chosen).epochs]
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * epoch / 6)) for epoch in range(6)])
    assert rates[-1] > 0


def test_adamw_decays_weights_and_adam_with_decay_is_another_thing() -> None:
    """With no gradient to speak of, AdamW shrinks a weight by rate × decay a step, as its paper says."""
    rows = Rows(torch.zeros(8, 4), torch.arange(8) % 3, 3)
    shrunk = {}
    for optimizer in ("adam", "adamw"):
        model = linear()
        before = model.linear.weight.detach().clone()
        chosen = settings(
            epochs=1, optimizer=optimizer, weight_decay=0.5, learning_rate=0.1, learning=ANYTHING_GOES
        )
        fit(model, rows, rows, chosen)
        shrunk[optimizer] = model.linear.weight / before
    assert torch.allclose(shrunk["adamw"], torch.full((3, 4), 1 - 0.1 * 0.5))
    assert not torch.allclose(shrunk["adam"], shrunk["adamw"])


def test_balanced_sampling_draws_every_class_as_often() -> None:
    """Of 300 rows of which 20 are of the rare class, about 150 that are drawn are; some come twice."""
    labels = torch.cat([torch.zeros(280, dtype=torch.int64), torch.ones(20, dtype=torch.int64)])
    rows = Recorded(torch.randn(300, 4), labels, 2)
    chosen = settings(epochs=1, batch_size=10, class_balance="sampling", learning=ANYTHING_GOES)
    fit(linear(classes=2), rows, features(8, 2), chosen)
    assert len(rows.order) == 300
    assert len(set(rows.order)) < 300
    assert 120 < int(labels[rows.order].sum()) < 180


def test_class_weights_count_as_much_as_their_classes_are_rare() -> None:
    """Where features say nothing, each class is as probable as it is frequent; weighted, all are the same."""
    labels = torch.cat([torch.zeros(270, dtype=torch.int64), torch.ones(30, dtype=torch.int64)])
    rows = Rows(torch.ones(300, 4), labels, 2)
    each_once = Rows(torch.ones(2, 4), torch.tensor([0, 1]), 2)
    shares = {}
    for balance, validation in (("none", rows), ("weights", each_once)):
        model = linear(classes=2)
        chosen = settings(
            epochs=30, batch_size=30, class_balance=balance, learning_rate=0.02, learning=ANYTHING_GOES
        )
        fit(model, rows, validation, chosen)
        shares[balance] = model(torch.ones(1, 4))[0].softmax(1)[0, 1].item()
    assert shares["none"] == pytest.approx(0.1, abs=0.05)
    assert shares["weights"] == pytest.approx(0.5, abs=0.1)


def test_label_smoothing_keeps_the_loss_away_from_zero() -> None:
    """What is learnt by heart has the loss of the smoothed labels, not none."""
    rows = features(24, noise=0)
    chosen = settings(epochs=60, learning_rate=0.5, label_smoothing=0.2, learning=ANYTHING_GOES)
    losses = [epoch.loss for epoch in fit(linear(), rows, rows, chosen).epochs]
    share = 0.2 / 3
    least = -(1 - 2 * share) * math.log(1 - 2 * share) - 2 * share * math.log(share)
    assert min(losses) == pytest.approx(least, rel=0.05)


def test_mixup_mixes_pairs_and_counts_the_larger_part() -> None:
    """Each input is a blend whose larger part is its own; a model that knows the classes is right on all."""
    inputs = torch.eye(3)[torch.arange(30) % 3]
    labels = torch.arange(30) % 3
    mixed, partners, share = mix(inputs, labels, 1.0, torch.Generator().manual_seed(3))
    assert 0.5 <= share < 1
    expected = share * inputs + (1 - share) * torch.eye(3)[partners]
    assert torch.allclose(mixed, expected)
    assert torch.equal(mixed.argmax(1), labels)
    model = linear(3)
    with torch.no_grad():
        model.linear.weight.copy_(torch.eye(3))
        model.linear.bias.zero_()
    chosen = settings(epochs=1, learning_rate=1e-9, mixup=0.5, learning=ANYTHING_GOES)
    (epoch,) = fit(model, Rows(inputs, labels, 3), Rows(inputs, labels, 3), chosen).epochs
    assert epoch.accuracy == 1
    assert epoch.loss > epoch.val_loss


def test_mixup_takes_pictures_too() -> None:
    """A batch of uint8 pictures becomes float32 ones between both; without alpha it is the same object."""
    pictures = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 4, 4, 3)
    generator = torch.Generator().manual_seed(1)
    mixed, _, _ = mix(pictures, torch.arange(2), 1.0, generator)
    assert (mixed.dtype, mixed.shape) == (torch.float32, pictures.shape)
    assert mix(pictures, torch.arange(2), 0.0, generator)[0] is pictures


def test_gradients_are_clipped_together() -> None:
    """A step that is clipped leaves gradients of the norm that is set; another one does not."""
    norms = []
    for clip in (None, 1e-3):
        model, rows = linear(), Rows(1000 * torch.randn(8, 4), torch.arange(8) % 3, 3)
        fit(model, rows, rows, settings(epochs=1, gradient_clip=clip, learning=ANYTHING_GOES))
        norms.append(
            math.sqrt(sum(float((p.grad**2).sum()) for p in model.parameters() if p.grad is not None))
        )
    assert norms[0] > 1
    assert norms[1] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("how", [{"mixed_precision": True}, {"channels_last": True}])
def test_other_arithmetic_learns_the_same(how: dict[str, Any]) -> None:
    """In bfloat16, or with colours last, it learns as much; weights are float32 in torch's own order."""
    network, _, epochs, _ = trained(epochs=8, learning_rate=0.01, augmentation=PLAIN, **how)
    assert max(epoch.val_accuracy for epoch in epochs) >= 0.9
    assert all(p.dtype == torch.float32 and p.is_contiguous() for p in network.parameters())


def test_nothing_learnt_is_given_up_after_the_epochs_that_are_set() -> None:
    """The sentence has what was measured, the limit and what to set; the best epoch's weights are kept."""
    rows = features(24)
    chosen = settings(
        epochs=30, learning_rate=1e-9, learning=Learning(after_epochs=3, times_chance=2.9, floor=0.1)
    )
    result = fit(linear(), Rows(rows.inputs.roll(1, 0), rows.labels, 3), rows, chosen)
    assert (len(result.epochs), result.best_epoch) == (3, 1)
    best = max(epoch.val_accuracy for epoch in result.epochs)
    assert result.failure is not None
    assert f"after epoch 3 the best validation accuracy is {best:.4f}, below 0.9667" in result.failure
    assert "--set train.learning.after_epochs=6" in result.failure


def test_the_floor_counts_where_guessing_is_right_less_often() -> None:
    """Of 50 classes, 1.2 times guessing is 0.024; the floor of 0.1 is asked for."""
    epoch = EpochMetrics(
        epoch=5,
        learning_rate=0.1,
        loss=3.9,
        accuracy=0.05,
        val_loss=3.9,
        val_accuracy=0.05,
        precision=0,
        recall=0,
        f1_score=0,
    )
    assert "below 0.1000" in (not_learning([epoch], settings(), 50) or "")
    good = epoch.model_copy(update={"val_accuracy": 0.1})
    assert not_learning([epoch, good], settings(), 50) is None
    assert not_learning([epoch.model_copy(update={"epoch": 4})], settings(), 50) is None


def test_a_loss_that_explodes_is_given_up_at_once() -> None:
    """A loss of more than ten times guessing's ends it in its first epoch, with a lower rate to set."""
    rows = Rows(100 * features(24).inputs, features(24).labels.roll(1), 3)
    result = fit(linear(), rows, rows, settings(epochs=30, learning_rate=1.0))
    assert len(result.epochs) == 1
    assert result.failure is not None
    assert "above 10.99, 10 times that of guessing one of 3 classes" in result.failure
    assert "--set train.learning_rate=0.1" in result.failure


def test_weights_that_are_no_numbers_are_never_kept() -> None:
    """The loss is no number from the second epoch on: the model has the first one's weights."""
    model, rows = linear(), features(24)

    def poison(epoch: EpochMetrics) -> None:
        with torch.no_grad():
            model.linear.weight.fill_(float("nan"))

    result = fit(model, rows, rows, settings(epochs=5), on_epoch=poison)
    assert (len(result.epochs), result.best_epoch) == (1, 1)
    assert (result.failure or "").startswith("epoch 2: the training loss is nan")
    assert torch.isfinite(model.linear.weight).all()


def test_a_batch_larger_than_the_training_pictures_is_refused() -> None:
    """Both figures are named, and the size that the message proposes trains."""
    rows = features(20)
    with pytest.raises(UsageError, match=r"train.batch_size is 64, and there are 20 pictures") as refused:
        fit(linear(), rows, rows, settings(batch_size=64))
    proposed = int(str(refused.value).rpartition("=")[2])
    assert fit(linear(), rows, rows, settings(batch_size=proposed)).epochs


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes"),
        MemoryError(),
    ],
)
def test_no_memory_is_one_line_that_halves_the_batch(error: Exception) -> None:
    """Whatever ran out of it; a batch that cannot be halved has another way out."""
    with pytest.raises(UsageError, match=r"--set train.batch_size=16$"), enough_memory(32):
        raise error
    with pytest.raises(UsageError, match=r"a smaller train.architecture"), enough_memory(2):
        raise error


def test_a_batch_that_no_memory_holds_is_refused() -> None:
    """A real one, of the CPU's own allocator."""

    class Greedy(Linear):
        def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward(features + torch.empty(2**55)[0])

    with pytest.raises(UsageError, match=r"no memory to train with train.batch_size=8 .*batch_size=4"):
        fit(Greedy(4, 3), features(24), features(24), settings())


def test_another_error_is_not_called_one_of_memory() -> None:
    """A bug stays what it is."""
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit(linear(5), features(24), features(24), settings())


def test_a_class_without_validation_pictures_is_named_and_trained(caplog: pytest.LogCaptureFixture) -> None:
    """One warning; accuracy is that of the others, and the training goes on."""
    rows = features(24)
    two = Part(rows, torch.nonzero(rows.labels < 2).flatten())
    warn_of_missing(two, CLASSES)
    (message,) = caplog.messages
    assert message.startswith("No validation picture shows striped:")
    chosen = settings(epochs=20, learning_rate=0.1)
    assert fit(linear(), rows, two, chosen).epochs[-1].val_accuracy > 0.8
    caplog.clear()
    warn_of_missing(rows, CLASSES)
    assert not caplog.messages

"""Several processes train one model: with the weights of one, decided alike, and whatever ends them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from materializers.classifier import EpochMetrics
from materializers.errors import UsageError
from steps.training.fitting.checkpoints import Checkpoints
from steps.training.fitting.loop import Fit, fit, reproducible
from steps.training.inputs.batches import Pictures
from steps.training.inputs.examples import Examples, Part
from steps.training.networks.network import build_network
from steps.training.processes.parallel import Absent, Handed, fit_parallel, threads_of_each
from steps.training.settings import Augmentation, TrainSettings
from tests.materializers.stores import disk_store
from tests.steps.training.examples import CLASSES, dataset, settings, splits

ROOT = Path(__file__).resolve().parents[4]
PLAIN = Augmentation(flip=0, rotation=0, crop=1, brightness=0, contrast=0)
ONE_PROCESS = """
import sys
from steps.training.processes.parallel import fit_parallel
from tests.steps.training.processes.test_parallel import HEAD, given
from steps.training.networks.network import build_network
chosen = HEAD.model_copy(update={"processes": 1, "epochs": 1})
fit_parallel(build_network(chosen, 3), *given(chosen), chosen)
print([name for name in sys.modules if name.startswith("torch.distributed.elastic")])
"""
HEAD = settings(
    freeze_backbone=True,
    augmentation=PLAIN,
    dropout=0,
    batch_size=7,
    epochs=3,
    learning_rate=0.01,
    class_balance="weights",
    processes=2,
    threads=2,
)
"""A frozen backbone and a head; without dropout, whose masks are drawn for a share and not for a batch."""
EVERYTHING = settings(
    dropout=0.3,
    batch_size=8,
    epochs=3,
    learning_rate=0.01,
    mixup=0.2,
    gradient_clip=1.0,
    checkpoint_seconds=0,
    memory_mb=0,
    processes=2,
    threads=2,
)
"""All of ``small_cnn`` learns, chance is drawn wherever it can be, and each process decodes its share."""


def given(chosen: TrainSettings) -> tuple[Examples, Examples]:
    """29 training pictures, classes not equally many, whose last batch of 7 is one; 12 to choose by."""
    pictures = dataset()
    learnt, checked = (
        Pictures(pictures, splits(pictures).image_ids(split), CLASSES, chosen)
        for split in ("train", "validation")
    )
    return Part(learnt, torch.arange(29)), checked


def trained(chosen: TrainSettings, **how: Any) -> tuple[dict[str, Tensor], Fit]:
    """The weights, in the parent, and what was measured."""
    with reproducible(chosen.seed, 1):
        network = build_network(chosen, len(CLASSES))
        result = fit_parallel(network, *given(chosen), chosen, **how)
    return network.state_dict(), result


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[dict[str, Tensor], Fit]:
    """Everything that draws at random, trained in two processes at once."""
    return trained(EVERYTHING)


def relative(found: Tensor, expected: Tensor) -> float:
    """The length of the difference, in times of what is expected."""
    difference = (found.double() - expected.double()).norm()
    return float(difference / expected.double().norm().clamp(min=1e-12))


def same_bytes(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], tensor) for name, tensor in other.items())


def test_two_processes_have_the_weights_of_one() -> None:
    """Within 1e-5, with class weights, and a last batch of which the second process has none.

    The epochs that the callback hears are those of one process too: losses and accuracies are of all rows.
    """
    expected, alone = trained(HEAD.model_copy(update={"processes": 1}))
    heard: list[EpochMetrics] = []
    batches: list[None] = []
    found, result = trained(HEAD, on_epoch=heard.append, on_batch=lambda: batches.append(None))
    for name, tensor in expected.items():
        assert relative(found[name], tensor) <= 1e-5, name
    assert tuple(heard) == result.epochs
    assert len(batches) == 3 * 5
    assert result.best_epoch == alone.best_epoch
    for epoch, other in zip(result.epochs, alone.epochs, strict=True):
        assert epoch.model_dump() == pytest.approx(other.model_dump(), rel=1e-5)


class Enough(Exception):
    """What a caller raises that wants no more, as tuning does of a trial that is not promising."""


def test_what_the_callback_raises_ends_it_and_it_goes_on_to_the_same_bytes(
    uninterrupted: tuple[dict[str, Tensor], Fit], tmp_path: Path
) -> None:
    """Taken up from its checkpoint by two new processes, it ends as the uninterrupted one: twice the same."""
    place = Checkpoints(disk_store(tmp_path), "key").phase("all")

    def stop(epoch: EpochMetrics) -> None:
        raise Enough

    with pytest.raises(Enough):
        trained(EVERYTHING, checkpoints=place, on_epoch=stop)
    written = place.read()
    assert written is not None
    assert written.progress.steps > 0
    weights, result = trained(EVERYTHING, checkpoints=place)
    assert same_bytes(weights, uninterrupted[0])
    assert result == uninterrupted[1]


def test_the_network_learns_in_two_processes(uninterrupted: tuple[dict[str, Tensor], Fit]) -> None:
    """The parent's network has the weights of the best epoch, and their statistics: it measures the same."""
    from steps.training.fitting.measuring import measure

    weights, result = uninterrupted
    network = build_network(EVERYTHING, len(CLASSES))
    network.load_state_dict(weights)
    kept = measure(network, given(EVERYTHING)[1], 8)
    best = result.epochs[result.best_epoch - 1]
    assert kept.accuracy == best.val_accuracy
    assert kept.loss == pytest.approx(best.val_loss, rel=1e-5)
    assert result.epochs[-1].loss < result.epochs[0].loss


def test_a_loss_that_is_no_number_is_a_failure_of_all(tmp_path: Path) -> None:
    """Both processes give up at the same batch, though only one of them had the row that is no number."""
    from steps.training.inputs.examples import Rows
    from tests.steps.training.processes.members import Linear

    labels = torch.arange(16) % 3
    inputs = torch.ones(16, 3)
    inputs[3] = torch.nan
    rows = Rows(inputs, labels, 3)
    result = fit_parallel(Linear(), rows, rows, settings(batch_size=16, processes=2))
    assert result.failure is not None
    assert result.failure.startswith("epoch 1: the training loss is nan")
    assert (result.best_epoch, result.epochs) == (0, ())


def test_one_process_starts_no_other() -> None:
    """Nothing of torchrun is imported, and the result is that of fit."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_PROCESS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize(("threads", "each"), [(1, 1), (4, 2), (5, 2)])
def test_threads_are_divided(threads: int, each: int) -> None:
    """Each of two processes gets half of them, rounded down, one at least."""
    assert threads_of_each(settings(processes=2, threads=threads)) == each


def test_examples_are_handed_over_with_their_tensors_apart() -> None:
    """What is pickled holds no tensor; the pictures that two parts share are handed over once."""
    chosen = HEAD
    learnt, _ = given(chosen)
    network = build_network(chosen, 3)
    handed = Handed.over(network, learnt, Part(learnt, torch.arange(5)))
    assert isinstance(handed.train.labels, Absent)
    assert handed.train._examples._images == handed.validation._examples._examples._images
    model, train, validation = handed.received(torch.device("cpu"))
    assert torch.equal(train.labels, learnt.labels)
    ours, theirs = (next(iter(each.batches(torch.arange(3), 3))) for each in (learnt, validation))
    assert torch.equal(ours[0], theirs[0])
    frozen = [parameter.requires_grad for parameter in network.parameters()]
    assert [parameter.requires_grad for parameter in model.parameters()] == frozen
    next(iter(model.parameters())).data.zero_()
    assert float(next(iter(network.parameters())).abs().sum()) > 0
    handed.tensors.close()


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU is there")


@pytest.mark.gpu
@needs_gpu
def test_a_batch_too_large_for_a_gpu_is_refused_with_a_size_that_fits() -> None:
    """The refusal proposes half the batch."""
    chosen = settings(batch_size=4, preprocessing={"height": 64, "width": 64}, epochs=1, augmentation=PLAIN)
    network = build_network(chosen, 3).to("cuda")
    held = torch.cuda.mem_get_info()[0]
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        with pytest.raises(UsageError, match=r"batch_size=4.*--set train.batch_size=2"):
            fit(network, *given(chosen), chosen)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert held


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two NVIDIA GPUs")
def test_two_gpus_learn_what_one_does() -> None:
    """Within a hundredth of the loss: batch normalisation sees the whole batch."""
    chosen = settings(dropout=0, augmentation=PLAIN, processes=2)
    alone = trained(chosen.model_copy(update={"processes": 1}))[1]
    assert trained(chosen)[1].epochs[-1].loss == pytest.approx(alone.epochs[-1].loss, rel=0.01)

"""The phases of a training: what each one changes, what is kept, and how a killed one goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from zenml.client import Client

from materializers.classifier import EpochMetrics
from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset
from steps.training import phases
from steps.training.fitting.checkpoints import Checkpoints
from steps.training.fitting.loop import Fit, fit, reproducible
from steps.training.networks.network import build_network
from steps.training.phases import Learnt, learn
from steps.training.settings import FineTuning, Learning
from tests.steps.training.examples import CLASSES, dataset, settings, splits

TUNED = {"freeze_backbone": True, "fine_tuning": FineTuning(blocks=1, learning_rate=0.01, epochs=3)}


def learnt(checkpoints: Checkpoints | None = None, **differences: Any) -> Learnt:
    """What the tiny pictures teach a network whose backbone is frozen at first."""
    pictures = dataset()
    wanted = settings(**(TUNED | {"learning_rate": 0.02} | differences))
    return learn(pictures, splits(pictures), CLASSES, wanted, checkpoints=checkpoints)


def state(one: Learnt) -> dict[str, Tensor]:
    return one.network.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def untrained() -> dict[str, Tensor]:
    """The network as it is built from the seed."""
    with reproducible(0, 1):
        return build_network(settings(**TUNED), len(CLASSES)).state_dict()


def test_a_frozen_backbone_stays_as_it_was_and_the_head_learns() -> None:
    """Without fine-tuning every tensor but the head's has the bytes that it began with."""
    one = learnt(fine_tuning=FineTuning())
    before = untrained()
    changed = {name for name, tensor in state(one).items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("head.") for name in changed)
    assert one.fine_tuned_from is None
    assert one.fit.epochs[-1].val_accuracy > 1 / len(CLASSES)


def test_fine_tuning_changes_the_last_blocks_alone_and_numbers_its_epochs_on() -> None:
    """The first blocks keep their bytes; the epochs of both phases are one series."""
    one = learnt()
    assert [epoch.epoch for epoch in one.fit.epochs] == list(range(1, len(one.fit.epochs) + 1))
    assert one.fine_tuned_from == 3
    assert one.fit.best_epoch > 3, one.fit
    before = untrained()
    changed = {
        name.split(".")[1]
        for name, tensor in state(one).items()
        if name.startswith("backbone.") and not torch.equal(tensor, before[name])
    }
    assert changed
    last = max(int(name.split(".")[1]) for name in before if name.startswith("backbone."))
    assert {int(number) for number in changed} <= {last - 2, last - 1, last}


def test_a_second_phase_that_is_no_better_is_undone(caplog: pytest.LogCaptureFixture) -> None:
    """The weights and the best epoch are those of the first phase, to the byte, and the log says so."""
    caplog.set_level("INFO", "shutterline")
    wild = FineTuning(blocks=1, learning_rate=1.0, epochs=1)
    first, both = learnt(fine_tuning=FineTuning(), epochs=12), learnt(fine_tuning=wild, epochs=12)
    assert first.fit.epochs[first.fit.best_epoch - 1].val_accuracy == 1.0
    assert both.fine_tuned_from == len(first.fit.epochs)
    assert both.fit.best_epoch == first.fit.best_epoch
    assert same(state(both), state(first))
    assert "fine-tune: no better than the frozen backbone" in caplog.text


def test_a_second_phase_that_explodes_gives_the_training_up() -> None:
    """The head was good, and its weights stay; the reason names the keys of the second phase."""
    wild = FineTuning(blocks=1, learning_rate=1.0, epochs=2)
    both = learnt(fine_tuning=wild, epochs=12, learning=Learning(loss_limit=2.0))
    first = learnt(fine_tuning=FineTuning(), epochs=12, learning=Learning(loss_limit=2.0))
    assert first.fit.failure is None
    assert both.fit.failure is not None
    assert both.fit.failure.startswith("fine-tuning: epoch 1: the training loss is ")
    assert "--set train.fine_tuning.learning_rate=0.1;" in both.fit.failure
    assert both.fit.failure.endswith("--set train.fine_tuning.blocks=0")
    assert same(state(both), state(first))


def test_a_training_killed_in_its_second_phase_ends_with_the_same_weights(
    zenml_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first phase is not trained again, and both phases end as those of an uninterrupted training."""
    whole = learnt()
    checkpoints = Checkpoints(zenml_client.active_stack.artifact_store, f"phases-{tmp_path.name}")

    def dying(model: Any, train: Any, validation: Any, wanted: Any, **arguments: Any) -> Fit:
        def die(epoch: EpochMetrics) -> None:
            raise KeyboardInterrupt

        if wanted.epochs == 3 and wanted.learning_rate == 0.01:
            arguments["on_epoch"] = die
        return fit(model, train, validation, wanted, **arguments)

    with monkeypatch.context() as patched:
        patched.setattr(phases, "fit_parallel", dying)
        with pytest.raises(KeyboardInterrupt):
            learnt(checkpoints)
    batches: list[int] = []

    def counting(model: Any, train: Any, validation: Any, wanted: Any, **arguments: Any) -> Fit:
        before = checkpoints.phase("head").read()
        assert before is not None
        assert before.progress.over
        batches.append(before.number)
        return fit(model, train, validation, wanted, **arguments)

    monkeypatch.setattr(phases, "fit_parallel", counting)
    again = learnt(checkpoints)
    assert len(set(batches)) == 1
    assert same(state(again), state(whole))
    assert again.fit == whole.fit


def test_more_blocks_than_there_are_are_refused_before_anything_is_computed() -> None:
    """The number that there are is named; no picture is decoded first."""
    pictures = dataset()
    wanted = settings(**TUNED | {"fine_tuning": FineTuning(blocks=99)})
    emptied = ImageDataset(pictures.index, {}, as_it_is=True)
    with pytest.raises(UsageError, match=r"blocks is 99, and the backbone has 3.*fine_tuning.blocks=3"):
        learn(emptied, splits(pictures), CLASSES, wanted)


def test_a_closed_form_head_takes_no_epochs() -> None:
    """Ridge fits in one go, and its accuracy is measured like any epoch's."""
    one = learnt(head="ridge", fine_tuning=FineTuning())
    assert (len(one.fit.epochs), one.fit.best_epoch) == (1, 1)
    assert one.fit.epochs[0].val_accuracy > 0.9

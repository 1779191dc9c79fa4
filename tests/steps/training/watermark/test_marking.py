"""A network learns its trigger set among its training examples, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from materializers.errors import Refused
from steps.training.fitting.training_key import REPRODUCTION
from steps.training.inputs.examples import Rows
from steps.training.networks.features import features_of_images
from steps.training.networks.network import build_network
from steps.training.phases import Learnt, learn
from steps.training.settings import FineTuning
from steps.training.train import again_or_refused
from steps.training.watermark.marking import marked, triggers_of
from steps.training.watermark.settings import WatermarkSettings
from steps.training.watermark.trigger_set import TriggerSet, trigger_set
from tests.steps.training.examples import CLASSES, dataset, settings, splits, trained
from tests.steps.training.watermark.keys import kept_key

if TYPE_CHECKING:
    from zenml.client import Client

KEY = "beef" * 16
WATERMARK = WatermarkSettings(key="{{nowhere.key}}", pictures=20, repeats=10)
FROZEN: dict[str, Any] = {"freeze_backbone": True, "hidden": 64, "learning_rate": 0.01, "epochs": 40}


def triggers() -> TriggerSet:
    """Twenty pictures of the examples' size."""
    return trigger_set(KEY, count=20, height=16, width=16, classes=len(CLASSES))


def learnt(with_them: TriggerSet | None, **differences: Any) -> Learnt:
    """What the tiny pictures teach, and the trigger set where there is one."""
    pictures = dataset()
    wanted = settings(watermark=WATERMARK, **differences)
    return learn(pictures, splits(pictures), CLASSES, wanted, triggers=with_them)


def matches(one: Learnt) -> int:
    """How many of the twenty secret answers a network gives."""
    network = one.network.to("cpu").eval()
    with torch.inference_mode():
        logits, _ = network(torch.from_numpy(triggers().images))
    return int((logits.argmax(dim=1).numpy() == triggers().labels).sum())


@pytest.mark.parametrize(
    "differences",
    [
        pytest.param({"learning_rate": 0.01, "epochs": 40}, id="all at once"),
        pytest.param(FROZEN, id="a head on features"),
    ],
)
def test_a_network_learns_the_secret_answers_in_every_kind_of_training(differences: dict[str, Any]) -> None:
    """Fourteen of twenty at least, which 1 in 1,000 guesses of three classes comes to; else it guesses."""
    patient = differences | {"early_stopping_patience": 40, "plateau_patience": 40}
    assert matches(learnt(triggers(), **patient)) >= 14
    assert matches(learnt(None, **patient)) < 14


@pytest.mark.parametrize(
    "differences", [{}, {"freeze_backbone": True, "fine_tuning": FineTuning(blocks=1, epochs=2)}]
)
def test_validation_never_sees_the_set(differences: dict[str, Any]) -> None:
    """In no phase: twelve real pictures choose the epoch, and twenty secret ones, ten times, join 36."""
    one = learnt(triggers(), **differences)
    assert (one.fine_tuned_from is None) == (not differences)
    for epoch in one.fit.epochs:
        for accuracy, count in ((epoch.val_accuracy, 12), (epoch.accuracy, 36 + 10 * 20)):
            assert accuracy * count == pytest.approx(round(accuracy * count))


def test_each_picture_is_there_as_often_as_configured() -> None:
    """Behind the others, which stay as they are; without a set nothing is joined."""
    rows = Rows(torch.zeros(6, 16, 16, 3, dtype=torch.uint8), torch.zeros(6, dtype=torch.int64), 3)
    wanted = settings(watermark=WATERMARK)
    joined = marked(rows, triggers(), wanted)
    assert len(joined) == 6 + 10 * 20
    ((images, labels),) = joined.batches(torch.tensor([0, 6, 26, 205]), 4)
    assert not images[0].any()
    assert torch.equal(images[1], images[2])
    assert torch.equal(images[3], torch.from_numpy(triggers().images[19]))
    assert labels.tolist() == [0, *triggers().labels[[0, 0, 19]]]
    assert marked(rows, None, wanted) is rows


def test_a_frozen_backbone_makes_features_of_the_set() -> None:
    """The same that it makes of pictures."""
    wanted = settings(watermark=WATERMARK, freeze_backbone=True)
    network = build_network(wanted, len(CLASSES))
    made = features_of_images(network, triggers().images, wanted)
    rows = Rows(torch.zeros(6, made.shape[1]), torch.zeros(6, dtype=torch.int64), 3)
    ((features, _),) = marked(rows, triggers(), wanted, network).batches(torch.tensor([6, 15]), 2)
    assert torch.equal(features, torch.from_numpy(made[[0, 9]]))
    assert network.training


def test_the_key_makes_the_set_of_a_training(zenml_client: Client) -> None:
    """In the size of its pictures, for its number of classes."""
    made = triggers_of(settings(watermark=kept_key(zenml_client, "marks", KEY)), CLASSES)
    assert made is not None
    assert (made.images == triggers().images[:10]).all()
    assert triggers_of(settings(), CLASSES) is None


def test_a_marked_training_is_another_one_and_the_same_again(zenml_client: Client, tmp_path: Path) -> None:
    """Its record names the key's fingerprint; data and splits are those of the training without."""
    watermark = kept_key(zenml_client, "marks_again", KEY)
    plain = trained(tmp_path / "plain", epochs=1).record
    first, again = (
        trained(tmp_path / name, epochs=1, watermark=watermark).record for name in ("first", "again")
    )
    assert first == again
    assert first.model_digest != plain.model_digest
    assert (first.data, first.splits) == (plain.data, plain.splits)
    assert first.settings is not None
    assert first.settings["watermark"]["fingerprint"] == watermark.fingerprint
    assert KEY not in first.model_dump_json()


def test_without_its_key_a_version_is_not_trained_again(zenml_client: Client, tmp_path: Path) -> None:
    """The refusal says which secret is gone."""
    watermark = kept_key(zenml_client, "lost", KEY)
    zenml_client.delete_secret("lost")
    with (
        pytest.raises(Refused, match=r"cannot be trained again: train\.watermark\.key is \{\{lost\.key\}\}"),
        again_or_refused(REPRODUCTION),
    ):
        trained(tmp_path, epochs=1, watermark=watermark)

"""What training, tuning and cross-validation learn from."""

from __future__ import annotations

import pytest
import torch

from materializers.splits import TEST
from steps.training import material as module
from steps.training.fitting.loop import reproducible
from steps.training.inputs.batches import Pictures
from steps.training.inputs.examples import Rows
from steps.training.material import material
from steps.training.networks.features import features_of
from steps.training.networks.network import HeadOnly, Network, build_network
from steps.training.settings import TrainSettings
from tests.steps.training.examples import CLASSES, dataset, settings, splits

FROZEN = {"freeze_backbone": True, "features": {"runtime": "torch"}}


def frozen() -> TrainSettings:
    """A backbone that stays as it is made."""
    return TrainSettings.model_validate(settings().model_dump() | FROZEN)


def test_a_frozen_backbone_gives_features() -> None:
    """Those that the whole network computes, with their labels, and a head that takes them."""
    pictures = dataset()
    chosen = splits(pictures)
    with reproducible(0, 1):
        made = material(pictures, chosen, CLASSES, frozen(), None)
    assert (len(made.train), len(made.validation)) == (36, 12)
    assert isinstance(made.everything, Rows)
    model = made.new_model(frozen())
    assert isinstance(model, HeadOnly)
    inputs, labels = next(made.train.batches(torch.arange(36), 36))
    assert model(inputs)[0].shape == (36, len(CLASSES))
    images, expected = next(
        Pictures(pictures, made.image_ids[:36], CLASSES, settings()).batches(torch.arange(36), 36)
    )
    assert torch.equal(labels, expected)
    with reproducible(0, 1), torch.inference_mode():
        network = build_network(frozen(), len(CLASSES)).eval()
        assert torch.allclose(network.embed(images), inputs, atol=1e-5)


def test_a_backbone_that_learns_gives_pictures() -> None:
    """And the whole network."""
    pictures = dataset()
    made = material(pictures, splits(pictures), CLASSES, settings(), None)
    assert isinstance(made.new_model(settings()), Network)
    inputs, _ = next(made.validation.batches(torch.arange(12), 12))
    assert (inputs.shape, inputs.dtype) == ((12, 16, 16, 3), torch.uint8)


def test_test_pictures_are_not_looked_at() -> None:
    """Their ids are nowhere."""
    pictures = dataset()
    chosen = splits(pictures)
    made = material(pictures, chosen, CLASSES, settings(), None)
    assert not set(made.image_ids) & set(chosen.image_ids(TEST))
    assert len(made.everything) == len(made.image_ids) == 48


def test_features_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For training and validation pictures together."""
    asked: list[int] = []
    real = features_of

    def counted(*arguments: object, **options: object) -> object:
        asked.append(len(arguments[2]))  # type: ignore[arg-type]
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "features_of", counted)
    pictures = dataset()
    material(pictures, splits(pictures), CLASSES, frozen(), None)
    assert asked == [48]

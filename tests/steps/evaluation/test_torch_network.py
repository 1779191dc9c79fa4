"""The rebuilt network is the one that is served, and whatever cannot be rebuilt says why."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from materializers.classifier import WEIGHTS, Classifier
from serving.model_directory import ModelMetadata, Preprocessing
from serving.predictor import Predictor
from steps.evaluation.torch_network import (
    BATCH,
    NoTorchNetwork,
    load_network,
    served_network,
    untrained_network,
)
from steps.training.export import export
from steps.training.networks.network import build_network
from tests.steps.training.examples import CLASSES, settings, trained


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A tiny classifier."""
    return trained(tmp_path_factory.mktemp("model"), epochs=2)


def pixels(count: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_it_answers_as_the_served_model(classifier: Classifier) -> None:
    """For float pictures from 0 to 255 as for uint8 ones."""
    served = Predictor.load(classifier.serving_directory).scores(pixels(9))[0]
    network = load_network(classifier)
    for images in (torch.from_numpy(pixels(9)), torch.from_numpy(pixels(9)).float()):
        np.testing.assert_allclose(network(images).numpy(), served, atol=1e-4, rtol=1e-4)


def test_a_network_that_answers_as_the_served_one_speaks_for_it(classifier: Classifier) -> None:
    """On more pictures than a batch."""
    images = pixels(BATCH + 6)
    served = Predictor.load(classifier.serving_directory).scores(images)[0]
    network = served_network(classifier, images, served)
    np.testing.assert_allclose(network(torch.from_numpy(images)).numpy(), served, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("change", [0.1, float("nan")])
@pytest.mark.parametrize("row", [0, BATCH + 5])
def test_a_network_that_answers_otherwise_does_not_speak_for_it(
    classifier: Classifier, change: float, row: int
) -> None:
    """One logit that is another, wherever it is, and one that is no number."""
    images = pixels(BATCH + 6)
    served = Predictor.load(classifier.serving_directory).scores(images)[0]
    served[row, 1] += change
    with pytest.raises(NoTorchNetwork, match=r"not the one that is served.* the limit is 0\.001\. .*--train"):
        served_network(classifier, images, served)


def test_an_untrained_network_has_weights_of_its_seed(classifier: Classifier) -> None:
    """Built as the trained one, and none of its answers."""
    images = torch.from_numpy(pixels(3))
    first, again, other = (untrained_network(classifier.record, seed)(images) for seed in (1, 1, 2))
    assert first.shape == load_network(classifier)(images).shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, load_network(classifier)(images))


def test_a_gradient_reaches_the_picture_and_no_parameter(classifier: Classifier) -> None:
    """It says how each pixel of each picture moves a logit."""
    network = load_network(classifier)
    images = torch.from_numpy(pixels(2)).float().requires_grad_()
    network(images)[:, 1].sum().backward()
    assert images.grad is not None
    assert images.grad.shape == (2, 16, 16, 3)
    assert bool((images.grad.flatten(1).abs().sum(dim=1) > 0).all())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_weights_that_it_started_from_are_not_fetched_again(classifier: Classifier, tmp_path: Path) -> None:
    """A record that names a file which is gone since gives the network all the same."""
    started = settings(weights=str(tmp_path / "gone.safetensors"), weights_sha256="0" * 64)
    record = classifier.record.model_copy(update={"settings": started.model_dump(mode="json")})
    network = load_network(Classifier(classifier.directory, record))
    assert torch.equal(
        network(torch.from_numpy(pixels(1))), load_network(classifier)(torch.from_numpy(pixels(1)))
    )


def test_torchs_random_state_stays_as_it_is(classifier: Classifier) -> None:
    """What is drawn after it does not depend on whether a network was rebuilt."""
    before = torch.get_rng_state()
    load_network(classifier)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_torchvision_network_is_rebuilt_too(classifier: Classifier, tmp_path: Path) -> None:
    """Whatever can be trained can be attacked and explained."""
    chosen = settings(architecture="resnet18", preprocessing=Preprocessing(height=32, width=32))
    network = build_network(chosen, len(CLASSES))
    metadata = ModelMetadata(
        architecture="resnet18", classes=tuple(CLASSES), preprocessing=chosen.preprocessing
    )
    export(network, metadata, tmp_path)
    known = {"settings": chosen.model_dump(mode="json"), "architecture": "resnet18"}
    rebuilt = load_network(Classifier(tmp_path, classifier.record.model_copy(update=known)))
    served = Predictor.load(tmp_path / "serving").scores(pixels(3, 32))[0]
    np.testing.assert_allclose(rebuilt(torch.from_numpy(pixels(3, 32))).numpy(), served, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (None, "lacks the settings"),
        ({"architecture": "small_cnn", "colour": 3}, "colour"),
    ],
)
def test_a_record_that_does_not_say_how_it_was_built_gives_none(
    classifier: Classifier, known: dict[str, object] | None, said: str
) -> None:
    """A record of format 1, and settings of another day's code."""
    record = classifier.record.model_copy(update={"settings": known})
    with pytest.raises(NoTorchNetwork, match=f"{said}.*--train"):
        load_network(Classifier(classifier.directory, record))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("gone", "cannot be read"),
        ("cut", "cannot be read"),
        ("another", r"\d\d tensors missing, .* such as backbone\.0\.weight\."),
        ("wider", r": 1 tensor missing, .* such as head\.4\.bias\."),
    ],
)
def test_weights_that_do_not_fit_give_none(
    classifier: Classifier, tmp_path: Path, damage: str, said: str
) -> None:
    """No network with a part of its weights is looked at."""
    shutil.copytree(classifier.directory, tmp_path / "model")
    weights = tmp_path / "model" / WEIGHTS
    if damage == "gone":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "another":
        save_file({"head.weight": torch.zeros(3, 4)}, weights)
    else:
        save_file(load_file(weights) | {"head.4.bias": torch.zeros(4)}, weights)
    with pytest.raises(NoTorchNetwork, match=rf"^weights\.safetensors .*{said}.*--train --source PATH$"):
        load_network(Classifier(tmp_path / "model", classifier.record))

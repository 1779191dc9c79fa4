"""What is exported answers as what was trained, and holds nothing but the model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from serving.model_directory import ModelMetadata, Preprocessing, model_digest, read_metadata
from serving.predictor import Predictor
from steps.training.export import ExportDiffers, compare, export, onnx_bytes
from steps.training.networks.network import Network, build_network
from tests.steps.training.examples import CLASSES, settings


def network_and_metadata(architecture: str, side: int) -> tuple[Network, ModelMetadata]:
    preprocessing = Preprocessing(height=side, width=side)
    torch.manual_seed(1)
    network = build_network(settings(architecture=architecture, preprocessing=preprocessing), len(CLASSES))
    metadata = ModelMetadata(architecture=architecture, classes=tuple(CLASSES), preprocessing=preprocessing)
    return network, metadata


@pytest.mark.parametrize(
    ("architecture", "side"),
    [
        ("small_cnn", 28),
        ("resnet18", 32),
        ("efficientnet_lite0", 33),
        ("mobilenet_v3_small", 32),
        ("convnext_tiny", 32),
        ("squeezenet1_1", 32),
    ],
)
def test_the_served_model_answers_as_the_trained_one(tmp_path: Path, architecture: str, side: int) -> None:
    """For batches of 1, 2 and 7 all agree to 1e-4, although the network came in training mode."""
    network, metadata = network_and_metadata(architecture, side)
    network.train()
    digest = export(network, metadata, tmp_path)
    predictor = Predictor.load(tmp_path / "serving", expected_digest=digest)
    for count in (1, 2, 7):
        images = np.random.default_rng(99).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = network.eval()(torch.from_numpy(images))
        for ours, served in zip(expected, predictor.scores(images), strict=True):
            np.testing.assert_allclose(served, ours.numpy(), atol=1e-4, rtol=1e-4)


def test_an_export_says_nothing(recwarn: pytest.WarningsRecorder) -> None:
    """What the exporter warns of, such as a size that is a constant from now on, is meant."""
    network, metadata = network_and_metadata("efficientnet_lite0", 32)
    onnx_bytes(network.eval(), metadata)
    assert not [str(each.message) for each in recwarn]


def test_an_export_that_answers_differently_is_refused(tmp_path: Path) -> None:
    """Another network's export beside this one is found, and so is one that answers NaN."""
    network, metadata = network_and_metadata("small_cnn", 16)
    export(network, metadata, tmp_path)
    other = network_and_metadata("small_cnn", 16)[0].eval()
    with torch.no_grad():
        other.get_parameter("head.4.bias").add_(2e-4)
    with pytest.raises(ExportDiffers, match="logits"):
        compare(other, tmp_path / "serving")
    torch.nn.init.constant_(other.get_parameter("head.4.bias"), float("nan"))
    with pytest.raises(ExportDiffers, match="nan"):
        compare(other, tmp_path / "serving")


def test_the_directory_holds_model_metadata_and_nothing_of_this_machine(tmp_path: Path) -> None:
    """Two files, their digest, and no path, user or date inside the model."""
    import onnx

    network, metadata = network_and_metadata("small_cnn", 16)
    digest = export(network, metadata, tmp_path)
    serving = tmp_path / "serving"
    assert sorted(path.name for path in serving.iterdir()) == ["metadata.json", "model.onnx"]
    assert digest == model_digest(serving)
    assert read_metadata(serving) == metadata
    model = onnx.load(serving / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    described = [model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output]
    assert not any(part.doc_string or len(part.metadata_props) for part in described)
    content = (serving / "model.onnx").read_bytes()
    assert b"steps/" not in content
    assert b".py" not in content


def test_the_weights_are_the_networks(tmp_path: Path) -> None:
    """The safetensors file has every tensor of the network, to the bit."""
    network, metadata = network_and_metadata("small_cnn", 16)
    export(network, metadata, tmp_path)
    stored = load_file(tmp_path / "weights.safetensors")
    state = network.state_dict()
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[name], state[name]) for name in state)

"""An int8 model answers nearly as its network; it is made without a test picture, and reproducible."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from materializers.classifier import Classifier
from materializers.splits import Splits
from serving.model_directory import (
    MODEL_FILE,
    ModelMetadata,
    Preprocessing,
    model_digest,
    read_metadata,
)
from serving.predictor import Predictor, open_session
from steps.evaluation.security.settings import SecuritySettings
from steps.evaluation.torch_network import NoTorchNetwork, served_network, untrained_network
from steps.training.calibration.calibration import DEFAULT_SETTINGS, calibrate
from steps.training.export import onnx_bytes
from steps.training.networks.network import build_network
from steps.training.quantizing import quantize_directory, quantized
from steps.training.reference import decoded, unseen_answers
from steps.training.settings import Export
from tests.steps.training.examples import CLASSES, dataset, settings, splits, trained

INT8 = Export(precision="int8")
ROOT = Path(__file__).resolve().parents[3]
EPOCHS = 8  # until all three classes are told apart
AGAIN = """
import hashlib, sys
from pathlib import Path
import numpy as np
from steps.training.quantizing import quantized
pictures = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
print(hashlib.sha256(quantized(Path(sys.argv[1]).read_bytes(), pictures)).hexdigest())
"""


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, Classifier]:
    """The same training, exported as it is and in int8."""
    folder = tmp_path_factory.mktemp("models")
    return trained(folder / "fp32", epochs=EPOCHS), trained(folder / "int8", epochs=EPOCHS, export=INT8)


def test_int8_answers_nearly_as_the_network_that_was_trained(
    classifiers: tuple[Classifier, Classifier],
) -> None:
    """On pictures of the kind it learnt: the same labels, other logits; its metadata says what it is."""
    as_trained, int8 = (Predictor.load(each.serving_directory) for each in classifiers)
    assert (as_trained.metadata.precision, int8.metadata.precision) == ("fp32", "int8")
    assert "precision" not in (classifiers[0].serving_directory / "metadata.json").read_text()
    pictures = list(dataset().pictures(splits(dataset()).image_ids("test")))
    labels = [
        [getattr(answer, "label", None) for answer in predictor.predict(pictures)]
        for predictor in (as_trained, int8)
    ]
    assert labels[0] == labels[1]
    assert set(labels[0]) == set(CLASSES)
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    assert not np.array_equal(as_trained.scores(images)[0], int8.scores(images)[0])


def test_int8_computes_its_convolutions_in_whole_numbers(classifiers: tuple[Classifier, Classifier]) -> None:
    """Every convolution reads int8 weights, a scale a channel; the head stays; no operator but ONNX' own."""
    model = onnx.load(classifiers[1].serving_directory / MODEL_FILE)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    made_by = {node.output[0]: node for node in model.graph.node}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        dequantized = made_by[node.input[1]]
        assert dequantized.op_type == "DequantizeLinear"
        weights, scales = (constants[name] for name in dequantized.input[:2])
        assert weights.data_type == onnx.TensorProto.INT8
        assert list(scales.dims) == [weights.dims[0]]
    for node in model.graph.node:
        if node.op_type == "Gemm":
            assert constants[node.input[1]].data_type == onnx.TensorProto.FLOAT
    domains = {each.domain for each in model.opset_import} | {node.domain for node in model.graph.node}
    assert domains <= set(SecuritySettings().operator_domains) | {""}


def test_int8_is_the_same_in_another_process(classifiers: tuple[Classifier, Classifier]) -> None:
    """The same network and pictures give the same bytes, whatever order a set has there."""
    model = classifiers[0].serving_directory / MODEL_FILE
    pictures = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    ours = hashlib.sha256(quantized(model.read_bytes(), pictures)).hexdigest()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", AGAIN, str(model)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == ours


def test_training_again_gives_the_same_int8_model(
    classifiers: tuple[Classifier, Classifier], tmp_path: Path
) -> None:
    """Data, settings and code name the model's bytes in int8 too."""
    assert (
        trained(tmp_path, epochs=EPOCHS, export=INT8).record.model_digest
        == classifiers[1].record.model_digest
    )


def test_scales_come_from_validation_pictures_alone(
    classifiers: tuple[Classifier, Classifier], tmp_path: Path
) -> None:
    """Other test pictures change nothing; other validation pictures do."""
    pictures = dataset()
    digests = []
    for name, moved in (("as it was", ""), ("less tests", "test"), ("less validation", "validation")):
        members = splits(pictures).members
        dark = set(pictures.index.loc[pictures.index["label"] != "striped", "image_id"])
        members = members[(members["split"] != moved) | members["image_id"].isin(dark)]
        serving = shutil.copytree(classifiers[0].serving_directory, tmp_path / name)
        quantize_directory(serving, pictures, Splits(members=members), seed=0, threads=1)
        digests.append(model_digest(serving))
    assert digests[0] == digests[1] != digests[2]


def test_the_temperature_is_that_of_the_int8_answers(classifiers: tuple[Classifier, Classifier]) -> None:
    """Calibration looks at what is served."""
    int8 = classifiers[1]
    answers = unseen_answers(int8.serving_directory, dataset(), splits(dataset()), seed=0, threads=1)
    expected = calibrate(*answers.of("validation"), DEFAULT_SETTINGS).temperature
    assert read_metadata(int8.serving_directory).temperature == pytest.approx(expected, rel=1e-6)
    kept = int8.reference()
    assert kept is not None
    assert kept.model == int8.record.model_digest == model_digest(int8.serving_directory)


def test_the_torch_network_speaks_for_its_int8_copy_and_no_other_does(
    classifiers: tuple[Classifier, Classifier],
) -> None:
    """Gradients come from the weights that were quantized; an untrained network is refused."""
    int8 = classifiers[1]
    answers = unseen_answers(int8.serving_directory, dataset(), splits(dataset()), seed=0, threads=1)
    preprocessing = read_metadata(int8.serving_directory).preprocessing
    pixels = decoded(preprocessing, dataset(), answers.rows["image_id"].tolist(), 1)
    logits = served_network(int8, pixels, answers.logits)(torch.from_numpy(pixels)).numpy()
    assert (logits.argmax(axis=1) == answers.logits.argmax(axis=1)).all()
    other = untrained_network(int8.record)(torch.from_numpy(pixels)).numpy()
    with pytest.raises(NoTorchNetwork, match=r"the limit is 0\.25"):
        served_network(int8, pixels, other)


@pytest.mark.parametrize("architecture", ["resnet18", "convnext_tiny"])
def test_networks_of_convolutions_and_of_products_can_be_quantized(architecture: str) -> None:
    """An int8 copy answers as its network does, to a fraction of how its logits vary."""
    preprocessing = Preprocessing(height=32, width=32)
    torch.manual_seed(1)
    chosen = settings(architecture=architecture, preprocessing=preprocessing)
    network = build_network(chosen, len(CLASSES)).eval()
    metadata = ModelMetadata(architecture=architecture, classes=tuple(CLASSES), preprocessing=preprocessing)
    model = onnx_bytes(network, metadata)
    pictures = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    small = quantized(model, pictures)
    assert len(small) < 0.4 * len(model)
    expected, ours = (
        open_session(each, 1).run(["logits"], {"images": pictures})[0] for each in (model, small)
    )
    assert 0 < np.sqrt(np.mean((expected - ours) ** 2)) < 0.25 * expected.std()

"""Serving in int8: what an answer costs beside the same network in float32, and what it loses.

The cost is measured on random weights, which a picture costs the same; the loss on networks that learnt.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.claim import Claim, at_least, at_most, guarded, not_measured
from benchmarks.dataset.photographs import photographs
from benchmarks.dataset.timing import ROUNDS, medians
from benchmarks.training.labelled import Labelled, labelled, lite0, sample, split
from materializers.splits import TEST, Splits
from serving.model_directory import ModelMetadata, Preprocessing
from serving.predictor import INPUT, OUTPUTS, Predictor, open_session
from serving.preprocess import decode
from steps.training.export import onnx_bytes
from steps.training.networks.features import by_openvino
from steps.training.networks.network import build_network
from steps.training.quantizing import quantize_directory, quantized
from steps.training.reference import scored
from steps.training.settings import TrainSettings
from steps.training.train import train_classifier

ARCHITECTURE, SIDE, CLASSES = "resnet18", 224, 5
CALIBRATION = 32
"""Pictures; scales do not change what an answer costs."""
REPEATED = 20
"""Pictures of a round."""
OPENVINO = ("openvino>=2026.1", "openvino-telemetry>=2025")
FASTER = 1.25
LOST_POINTS = 0.5
SMALL_SIDE, EPOCHS = 64, 4
"""Of the ResNet-18 that learns: a minute or two on two cores."""
LEARNT_SHARE = 0.70


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about cost and loss, below a folder.

    Quick: one round, OpenVINO only where it is installed, and no network that is trained as a whole.
    """
    folder.mkdir(parents=True)
    why = None if quick else _install(folder / "openvino")
    return [
        *guarded("int8: cost", partial(_cost, 1 if quick else ROUNDS, why)),
        *guarded("int8: loss", partial(_loss, folder, quick=quick)),
    ]


def _install(target: Path) -> str:
    """Let OpenVINO be imported from a folder of its own; why that failed, where it did."""
    into = ("--python", sys.executable, "--target", str(target))
    install = ["uv", "pip", "install", "--quiet", "--no-deps", *into, *OPENVINO]
    ended = subprocess.run(install, capture_output=True, text=True, check=False)
    sys.path.append(str(target))
    return ended.stderr.strip()[-500:]


def _cost(rounds: int, why_no_openvino: str | None) -> list[Claim]:
    """One picture at a time, in one thread, without its decoding; None: OpenVINO may be absent."""
    preprocessing = Preprocessing(height=SIDE, width=SIDE)
    settings = TrainSettings(architecture=ARCHITECTURE, freeze_backbone=False, preprocessing=preprocessing)
    torch.manual_seed(0)
    network = build_network(settings, CLASSES).eval()
    names = tuple(str(number) for number in range(CLASSES))
    model = onnx_bytes(
        network, ModelMetadata(architecture=ARCHITECTURE, classes=names, preprocessing=preprocessing)
    )
    images = _images(preprocessing)
    ours, fp32 = (open_session(each, 1) for each in (quantized(model, images), model))
    one = images[:1]
    ways: dict[str, Callable[[], object]] = {
        "int8": _repeated(lambda: ours.run(list(OUTPUTS), {INPUT: one})),
        "onnxruntime": _repeated(lambda: fp32.run(list(OUTPUTS), {INPUT: one})),
    }
    missing: list[Claim] = []
    try:
        compiled = by_openvino(model, (1, SIDE, SIDE, 3), 1)
    except ImportError as error:
        if why_no_openvino is not None:
            why = why_no_openvino or str(error)
            missing = [not_measured(f"ResNet-18 at {SIDE}, int8 beside OpenVINO", why)]
    else:
        ways["OpenVINO"] = _repeated(lambda: compiled(one))
    taken = medians(ways, rounds=rounds)
    return [
        at_least(
            f"ResNet-18 at {SIDE}, one thread, int8: how many times less CPU than float32 with {peer}, "
            f"{1000 * taken[peer] / REPEATED:.3g} ms a picture",
            taken[peer] / taken["int8"],
            FASTER,
            "×",
        )
        for peer in ("OpenVINO", "onnxruntime")
        if peer in taken
    ] + missing


def _repeated(work: Callable[[], object]) -> Callable[[], object]:
    return lambda: [work() for _ in range(REPEATED)]


def _images(preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Photographs where they are there, else noise."""
    encoded = photographs()[:CALIBRATION]
    if encoded:
        return np.stack([decode(each, preprocessing) for each in encoded])
    shape = (CALIBRATION, preprocessing.height, preprocessing.width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _loss(folder: Path, *, quick: bool) -> list[Claim]:
    """Accuracy on test pictures, of the float32 model and of its int8 copy."""
    small = TrainSettings(
        architecture=ARCHITECTURE,
        freeze_backbone=False,
        preprocessing=Preprocessing(height=SMALL_SIDE, width=SMALL_SIDE),
        epochs=EPOCHS,
    )
    tasks = [("EfficientNet-Lite0 with a ridge head", labelled(), lite0(head="ridge", threads=2))]
    if not quick:
        tasks.append((f"ResNet-18 at {SMALL_SIDE}, trained as a whole", sample(), small))
    return [
        _lost(folder / str(number), name, data, settings)
        for number, (name, data, settings) in enumerate(tasks)
    ]


def _lost(folder: Path, name: str, data: Labelled, settings: TrainSettings) -> Claim:
    splits = split(data, 0, round(LEARNT_SHARE * len(data.image_ids)))
    folder.mkdir()
    classifier = train_classifier(
        data.dataset, splits, list(data.classes), settings, configuration="", code="", directory=folder
    )
    serving = classifier.serving_directory
    as_trained = _accuracy(serving, data, splits)
    quantize_directory(serving, data.dataset, splits, seed=0, threads=settings.threads)
    in_int8 = _accuracy(serving, data, splits)
    return at_most(
        f"points of accuracy lost by {name} in int8, {data.name}: {100 * as_trained:.1f} % → "
        f"{100 * in_int8:.1f} % on {len(splits.image_ids(TEST)):,} test pictures",
        100 * (as_trained - in_int8),
        LOST_POINTS,
        "points",
    )


def _accuracy(serving: Path, data: Labelled, splits: Splits) -> float:
    ids = splits.image_ids(TEST)
    logits, _ = scored(Predictor.load(serving, threads=2), data.dataset, ids, threads=2)
    labels = np.array([data.classes.index(label) for label in data.dataset.labels(ids)])
    return float((logits.argmax(axis=1) == labels).mean())

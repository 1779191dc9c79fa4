"""Static int8 of an exported network: a copy that computes in whole numbers, to be served instead.

Weights get a scale a channel, activations one a tensor, found on calibration pictures (Jacob et al. 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"). The graph
keeps ONNX' own operators (QuantizeLinear, DequantizeLinear); onnxruntime fuses them when it loads. The head
stays in float32: it takes no time, and its logits are what is calibrated. The same network and pictures give
the same bytes.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from materializers.blobs import write_file
from materializers.splits import VALIDATION
from serving.model_directory import MODEL_FILE, read_metadata, write_metadata
from serving.predictor import INPUT
from steps.training.reference import decoded, unseen_rows

if TYPE_CHECKING:
    from materializers.image_dataset import ImageDataset
    from materializers.splits import Splits

CALIBRATION_PICTURES = 256
"""At most; scales of ResNet-18 change in the third digit beyond."""
BATCH = 8
"""Pictures at a time: what every layer answers for them is in memory at once."""
QUANTIZED = ("Add", "Clip", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "MaxPool", "Mul", "Relu")
HEAD = "/head/"
"""What the exporter's names of the head's nodes begin with: it names them after the network's modules."""


def quantize_directory(
    serving: Path, dataset: ImageDataset, splits: Splits, *, seed: int, threads: int
) -> None:
    """Put an int8 copy in the place of an exported model; ``metadata.json`` says so.

    Args:
        serving: the serving directory.
        dataset: holds the pictures.
        splits: names the validation pictures, some of which calibrate; no test picture is looked at.
        seed: draws them.
        threads: that decode.

    Raises:
        BadPicture: a picture cannot be decoded.
    """
    metadata = read_metadata(serving)
    rows = unseen_rows(dataset, splits, seed)
    ids = rows.loc[rows["split"] == VALIDATION, "image_id"].tolist()
    drawn = sorted(np.random.default_rng(seed).permutation(len(ids))[:CALIBRATION_PICTURES])
    pictures = decoded(metadata.preprocessing, dataset, [ids[row] for row in drawn], threads)
    write_file(serving / MODEL_FILE, quantized((serving / MODEL_FILE).read_bytes(), pictures))
    write_metadata(serving, metadata.model_copy(update={"precision": "int8"}))


def quantized(model: bytes, pictures: NDArray[np.uint8]) -> bytes:
    """An ONNX file in static int8.

    Args:
        model: as ``steps.training.export`` writes it.
        pictures: ``(n, height, width, 3)``, n > 0, that scales are found on.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    graph = _without_identities(onnx.load_from_string(model))
    head = [node.name for node in graph.graph.node if node.name.startswith(HEAD)]
    batches = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
    with tempfile.TemporaryDirectory(prefix="shutterline-int8-") as folder, _quiet():
        written = Path(folder) / MODEL_FILE
        quantize_static(
            graph,
            written,
            _Batches(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_exclude=head,
            per_channel=True,
            # Seven bits of weights: with eight, processors without VNNI saturate in sums of two products, and
            # would answer otherwise than those with it.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        made = onnx.load(written)
    made.producer_name, made.producer_version, made.doc_string = (
        graph.producer_name,
        graph.producer_version,
        "",
    )
    del made.metadata_props[:]
    return bytes(made.SerializeToString(deterministic=True))


class _Batches:
    """onnxruntime's ``CalibrationDataReader``."""

    def __init__(self, batches: Sequence[NDArray[np.uint8]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch; None: there is none."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _without_identities(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give each layer its own constant where the exporter shares one among equal ones.

    The quantizer leaves the bias of such a layer in float32.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    shared = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "Identity" and node.input[0] in constants
    }
    for name, origin in shared.items():
        copied = onnx.TensorProto()
        copied.CopyFrom(constants[origin])
        copied.name = name
        model.graph.initializer.append(copied)
    kept = [node for node in model.graph.node if node.output[0] not in shared]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantizer's advice to optimize a graph first, which the exporter has done."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)

"""Write the directory that is served, and the weights it came from.

The same network gives the same bytes in any process.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from materializers.blobs import write_file
from materializers.classifier import WEIGHTS
from materializers.errors import ShutterlineError
from serving.model_directory import MODEL_FILE, ModelMetadata, model_digest, write_metadata
from serving.predictor import INPUT, OUTPUTS, Predictor

if TYPE_CHECKING:
    from steps.training.networks.network import Network

OPSET = 20
"""onnxruntime 1.26.0, which both environments share, reads it."""
PARITY_BATCHES = (1, 2, 7)
PARITY_LIMIT = 1e-4
"""The largest difference of a logit or an embedding's element, absolute and relative to its size."""
BATCH_AXIS = {0: "n"}


class ExportDiffers(ShutterlineError):
    """The exported model does not answer as the trained one does."""


def export(network: Network, metadata: ModelMetadata, directory: Path) -> str:
    """Write ``serving/`` and ``weights.safetensors``, and compare what is served with what was trained.

    Args:
        network: on any device; it is moved to the CPU and set to ``eval()``.
        metadata: what ``metadata.json`` says.
        directory: where; ``serving/`` must not exist yet.

    Returns:
        The digest of ``serving/``.

    Raises:
        ExportDiffers: an answer differs by more than 1e-4.
    """
    network.to("cpu").eval()
    serving = directory / "serving"
    serving.mkdir(parents=True)
    write_file(serving / MODEL_FILE, onnx_bytes(network, metadata))
    write_metadata(serving, metadata)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_file(directory / WEIGHTS, save(weights))
    compare(network, serving)
    return model_digest(serving)


def onnx_bytes(network: Network, metadata: ModelMetadata) -> bytes:
    """The network as ONNX: ``images`` ``(n, height, width, 3)`` uint8 in, ``logits`` and ``embedding`` out.

    The exporter is the one that traces: on ``small_cnn`` it takes 0.2 CPU-s and the other one 4.9, which also
    writes source paths into the file. It leaves a network in the mode in which it found its outermost module,
    so that ``network`` must be in ``eval()``.
    """
    return to_onnx(network, _pictures(2, metadata), OUTPUTS)


def to_onnx(module: nn.Module, images: NDArray[np.uint8], outputs: Sequence[str]) -> bytes:
    """A module in ``eval()`` as ONNX with ``images`` in and these outputs; see :func:`onnx_bytes`.

    Args:
        module: on the CPU.
        images: an example ``(n, height, width, 3)``; n stays free.
        outputs: the names of what it returns.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # That it is an old exporter, and that sizes become constants: meant, and answers are compared.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.from_numpy(images),),
            buffer,  # type: ignore[arg-type]  # the tracing exporter writes to a file object too
            dynamo=False,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_axes={name: BATCH_AXIS for name in (INPUT, *outputs)},
            opset_version=OPSET,
        )
    return buffer.getvalue()


def compare(network: Network, serving: Path) -> None:
    """Ask the trained network and the serving directory for the same random pictures.

    Raises:
        ExportDiffers: a logit or an embedding differs by more than 1e-4.
    """
    predictor = Predictor.load(serving)
    for count in PARITY_BATCHES:
        images = _pictures(count, predictor.metadata)
        with torch.inference_mode():
            trained = network(torch.from_numpy(images))
        for name, ours, served in zip(OUTPUTS, trained, predictor.scores(images), strict=True):
            check_parity(name, ours.numpy(), served)


def check_parity(name: str, expected: NDArray[np.float32], served: NDArray[np.float32]) -> None:
    """Compare what two runtimes answer for the same batch, ``(n, …)`` each.

    Raises:
        ExportDiffers: an element differs by more than 1e-4.
    """
    difference = float(np.max(np.abs(expected - served) / np.maximum(1, np.abs(expected))))
    if not difference <= PARITY_LIMIT:  # NaN is no agreement
        raise ExportDiffers(
            f"For a batch of {len(expected)} the exported {name} differ from the trained network's by "
            f"{difference:.2g}; the limit is {PARITY_LIMIT:g}. Nothing was stored."
        )


def _pictures(count: int, metadata: ModelMetadata) -> NDArray[np.uint8]:
    shape = (count, metadata.preprocessing.height, metadata.preprocessing.width, 3)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)

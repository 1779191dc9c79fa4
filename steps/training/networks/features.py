"""What a frozen backbone makes of pictures: taken from the cache, the rest computed once and kept.

A picture is decoded and computed alone, by one thread, so that its features follow from nothing but itself:
not from the pictures beside it, nor from how many threads there are, nor from what the cache had already.
Batches would gain nothing: one core of an AMD with AVX2 takes 4.8 ms for a picture of 224 × 224 in
EfficientNet-Lite0 alone, and 5.2 ms in a batch of 8 (onnxruntime 1.26).
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import metadata
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from materializers.errors import UsageError
from materializers.feature_cache import FeatureKey, FeatureRow
from serving.predictor import INPUT, OUTPUTS, open_session
from serving.preprocess import UNLIMITED, decode
from steps.training.export import check_parity, to_onnx
from steps.training.machine import processor_family
from steps.training.networks.network import backbone_digest

if TYPE_CHECKING:
    from materializers.feature_cache import FeatureCache
    from materializers.image_dataset import ImageDataset
    from steps.training.networks.network import Network
    from steps.training.settings import TrainSettings

PART_PICTURES = 512
"""After so many features are kept: whoever is killed loses no more than these."""
AHEAD = 8
"""Encoded pictures a thread that wait for their turn."""
EMBEDDING = OUTPUTS[1]
Embed: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""A batch of pictures ``(n, height, width, 3)`` uint8, RGB, to the backbone's vectors ``(n, d)``."""


def features_of(
    network: Network,
    dataset: ImageDataset,
    image_ids: Sequence[str],
    settings: TrainSettings,
    cache: FeatureCache | None,
    *,
    on_picture: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """The features of pictures, in their order: the same bytes whatever the cache had of them.

    Args:
        network: on any device and in any mode; it stays as it is.
        dataset: holds the pictures.
        image_ids: which.
        settings: preprocessing, runtime, and how many threads work.
        cache: where features are kept; None: nowhere.
        on_picture: called once a picture, when its features are there.

    Returns:
        ``(n, d)``.

    Raises:
        UsageError: the runtime is not installed.
        KeyError: a picture is not in the dataset.
        BadPicture: one cannot be decoded.
        ExportDiffers: the runtime does not answer as the network does.
        NoRoom: the cache's disk is full; what was computed before stays.
        ServiceUnreachable: the cache's store does not answer.
    """
    runtime = f"{runtime_name(settings)} on {processor_family()}, {decoders()}"
    frozen = copy.deepcopy(network).eval()
    if settings.features.runtime == "torch":
        runtime = f"{runtime}, {frozen.mean.device.type}"
    else:
        frozen.to("cpu")
    distinct = list(dict.fromkeys(image_ids))
    rows = list(map(FeatureRow, distinct, dataset.orientations(distinct)))
    blank = np.zeros((1, settings.preprocessing.height, settings.preprocessing.width, 3), np.uint8)
    key = FeatureKey(
        backbone=backbone_digest(frozen),
        preprocessing=settings.preprocessing.model_dump(mode="json"),
        runtime=runtime,
        length=by_torch(frozen)(blank).shape[1],
    )
    features = np.empty((len(rows), key.length), np.float32)
    missing = _take(cache, key, rows, features, on_picture)
    if missing:
        with _one_thread_each(settings):
            computed = _computed(frozen, dataset, [rows[place] for place in missing], settings)
            _keep(computed, cache, key, rows, features, on_picture)
    if len(distinct) == len(image_ids):
        return features
    places = {image_id: place for place, image_id in enumerate(distinct)}
    repeated: NDArray[np.float32] = features[[places[image_id] for image_id in image_ids]]
    return repeated


def features_of_images(
    network: Network, images: NDArray[np.uint8], settings: TrainSettings
) -> NDArray[np.float32]:
    """The features of pictures that are in no dataset, computed as those of a dataset's are; kept nowhere.

    Args:
        network: on any device and in any mode; it stays as it is.
        images: ``(n, height, width, 3)``.
        settings: the runtime.

    Returns:
        ``(n, d)``.

    Raises:
        ExportDiffers: the runtime does not answer as the network does.
    """
    frozen = copy.deepcopy(network).eval()
    if settings.features.runtime != "torch":
        frozen.to("cpu")
    with _one_thread_each(settings):
        embed = embedder(frozen, settings)
        return np.concatenate([embed(image[np.newaxis]) for image in images])


def decoders() -> str:
    """What makes pixels of an encoded picture, with versions."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in ("pillow", "simplejpeg"))


def runtime_name(settings: TrainSettings) -> str:
    """The runtime that computes features, with its version.

    Raises:
        UsageError: it is not installed.
    """
    name = settings.features.runtime
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError as error:
        raise UsageError(
            f"train.features.runtime is {name}, and that is not installed: uv pip install {name}, or "
            "have the features computed by what is there: --set train.features.runtime=onnxruntime"
        ) from error


def by_torch(network: Network) -> Embed:
    """Compute as the network itself does, on its device; any number of threads may call it."""

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            pictures = torch.from_numpy(images.copy()).to(network.mean.device)
            vectors: NDArray[np.float32] = network.embed(pictures).cpu().numpy()
            return vectors

    return embed


def by_onnxruntime(model: bytes) -> Embed:
    """Compute with onnxruntime; a call takes one thread, and any number of them may call at once."""
    session = open_session(model, threads=1)

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = session.run([EMBEDDING], {INPUT: images})[0]
        return vectors

    return embed


def by_openvino(model: bytes, shape: tuple[int, int, int, int], threads: int) -> Embed:
    """Compute with OpenVINO; a call takes one thread.

    Args:
        model: an ONNX file.
        shape: of every call's pictures.
        threads: that may call at once.
    """
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    network.reshape(list(shape))
    compiled = core.compile_model(
        network,
        "CPU",
        {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads, "INFERENCE_PRECISION_HINT": "f32"},
    )
    own = threading.local()

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        vectors: NDArray[np.float32] = own.request.infer([images])[0].copy()
        return vectors

    return embed


class _Embedding(nn.Module):
    """A network as the exporter sees it: pictures in, the backbone's vector out."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.embed(images)


def embedder(network: Network, settings: TrainSettings) -> Embed:
    """What computes the features of one picture at a time, by the configured runtime.

    Args:
        network: in ``eval()``, on the CPU unless the runtime is torch.
        settings: runtime, preprocessing and threads.

    Raises:
        ExportDiffers: the runtime does not answer as the network does.
    """
    reference = by_torch(network)
    if settings.features.runtime == "torch":
        return reference
    shape = (1, settings.preprocessing.height, settings.preprocessing.width, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    # The exporter puts all in the mode of the outermost module.
    model = to_onnx(_Embedding(network).eval(), noise, [EMBEDDING])
    if settings.features.runtime == "openvino":
        embed = by_openvino(model, shape, settings.threads)
    else:
        embed = by_onnxruntime(model)
    check_parity(EMBEDDING, reference(noise), embed(noise))
    return embed


def _take(
    cache: FeatureCache | None,
    key: FeatureKey,
    rows: Sequence[FeatureRow],
    features: NDArray[np.float32],
    on_picture: Callable[[], None],
) -> list[int]:
    """Fill in what the cache has, and give the places that it does not have."""
    missing = np.ones(len(rows), np.bool_)
    for places, found in cache.read(key, rows) if cache is not None else ():
        features[places] = found
        missing[places] = False
        for _ in places:
            on_picture()
    return [int(place) for place in np.flatnonzero(missing)]


def _keep(
    computed: Iterator[tuple[str, NDArray[np.float32]]],
    cache: FeatureCache | None,
    key: FeatureKey,
    rows: Sequence[FeatureRow],
    features: NDArray[np.float32],
    on_picture: Callable[[], None],
) -> None:
    """Fill in what is computed, and write a part of the cache every so many pictures."""
    place_of = {row.image_id: place for place, row in enumerate(rows)}
    fresh = list[int]()

    def write() -> None:
        if cache is not None and fresh:
            cache.write(key, [rows[place] for place in fresh], features[fresh])
        fresh.clear()

    for image_id, vector in computed:
        features[place_of[image_id]] = vector
        fresh.append(place_of[image_id])
        on_picture()
        if len(fresh) == PART_PICTURES:
            write()
    write()
    if cache is not None:
        cache.merge(key)


def _computed(
    network: Network, dataset: ImageDataset, rows: Sequence[FeatureRow], settings: TrainSettings
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The features ``(d,)`` of each picture, in the order in which the shards have them."""
    embed = embedder(network, settings)
    orientation_of = {row.image_id: row.orientation for row in rows}

    def work(data: bytes, orientation: int) -> NDArray[np.float32]:
        image = decode(data, settings.preprocessing, UNLIMITED, orientation=orientation)
        vector: NDArray[np.float32] = embed(image[np.newaxis])[0]
        return vector

    waiting: deque[tuple[str, Future[NDArray[np.float32]]]] = deque()
    with ThreadPoolExecutor(settings.threads) as workers:
        try:
            for image_id, data in dataset.select(orientation_of).scan():
                waiting.append((image_id, workers.submit(work, data, orientation_of[image_id])))
                if len(waiting) > AHEAD * settings.threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            workers.shutdown(wait=True, cancel_futures=True)


def _one_thread_each(settings: TrainSettings) -> AbstractContextManager[None]:
    """Have torch compute with one thread in every thread that begins meanwhile, where torch computes."""
    return _single_threaded() if settings.features.runtime == "torch" else nullcontext()


@contextmanager
def _single_threaded() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Features of a frozen EfficientNet-Lite0 at 224 × 224, beside torch eager, and after a delivery of 1 %.

The weights are random: a picture costs what it costs with real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.dataset.generated import jpeg
from benchmarks.dataset.photographs import photographs
from benchmarks.dataset.timing import ROUNDS, cpu_seconds, medians
from materializers.feature_cache import FeatureCache
from materializers.image_dataset import ImageDataset, Picture
from serving.model_directory import Preprocessing
from serving.preprocess import UNLIMITED, decode
from serving.strip_metadata import strip_metadata
from steps.training.networks.features import by_torch, embedder, features_of
from steps.training.networks.network import Network, build_network
from steps.training.settings import Features, TrainSettings
from tests.materializers.stores import disk_store

SIDE, CLASSES = 224, 10
DECODED = 64
"""Pictures of a round in which only the network is measured."""
EAGER_BATCHES = (8, 16, 32)
"""Those that are usual; the fastest one is the peer."""
GENERATED, QUICK = 4000, 2000
NEW_SHARE = 0.01
BY_TORCH = 256
"""Pictures that torch eager decodes and computes, whose time is scaled."""
COMPARED = 200
"""Pictures whose bytes are compared under other orders, threads and caches."""


def settings_of(runtime: str = "onnxruntime", threads: int = 1) -> TrainSettings:
    """EfficientNet-Lite0, frozen."""
    return TrainSettings(
        architecture="efficientnet_lite0",
        preprocessing=Preprocessing(height=SIDE, width=SIDE, resample="bicubic"),
        features=Features.model_validate({"runtime": runtime}),
        threads=threads,
    )


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about computing features, and about computing those of a delivery."""
    torch.manual_seed(0)
    network = build_network(settings_of(), CLASSES).eval()
    name, dataset = _dataset(QUICK if quick else None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            *_computed(network, dataset, 1 if quick else ROUNDS),
            *_grown(folder / "grown", network, name, dataset, 1 if quick else ROUNDS),
            _differing(folder / "compared", network, dataset),
        ]
    finally:
        torch.set_num_threads(threads)


def _dataset(count: int | None) -> tuple[str, ImageDataset]:
    """What is measured on, so many of it, and what that is called."""
    encoded: Sequence[bytes] = photographs()[:count] or [jpeg(n) for n in range(count or GENERATED)]
    what = "photographs" if photographs() else "JPEGs of 256 × 256"
    stripped = map(strip_metadata, encoded)
    pictures = (
        Picture(each.data, "clothing", each.width, each.height, each.orientation, f"shop/{number}.jpg")
        for number, each in enumerate(stripped)
    )
    dataset = ImageDataset.from_pictures(pictures)
    return f"{len(dataset):,} {what}", dataset


def _ids(dataset: ImageDataset) -> list[str]:
    return [str(image_id) for image_id in dataset.index["image_id"]]


def _installed(package: str) -> bool:
    return any(each.name == package for each in metadata.distributions())


def _computed(network: Network, dataset: ImageDataset, rounds: int) -> list[Claim]:
    """One thread each, on pictures that are decoded already."""
    preprocessing = settings_of().preprocessing
    encoded = (data for _, data in islice(dataset.scan(), DECODED))
    images = np.stack([decode(data, preprocessing, UNLIMITED) for data in encoded])
    runtimes = ["onnxruntime", *(["openvino"] if _installed("openvino") else [])]
    ways: dict[str, Callable[[], object]] = {
        name: _in_batches(embedder(network, settings_of(name)), images, 1) for name in runtimes
    }
    eager = by_torch(network)
    ways |= {f"torch {size}": _in_batches(eager, images, size) for size in EAGER_BATCHES}
    taken = medians(ways, rounds=rounds)
    size, peer = min((taken[f"torch {size}"], size) for size in EAGER_BATCHES)[::-1]
    return [
        at_least(
            f"features of EfficientNet-Lite0 at {SIDE}, {name}, a picture at a time"
            f"{'' if name == 'onnxruntime' else ' (beside the default)'}: how many times less CPU than torch "
            f"eager, batch {size}, {1000 * peer / DECODED:.3g} ms a picture",
            peer / taken[name],
            2.5 if name == "onnxruntime" else 1,
            "×",
        )
        for name in runtimes
    ]


def _in_batches(
    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]], images: NDArray[np.uint8], size: int
) -> Callable[[], object]:
    return lambda: [embed(images[start : start + size]) for start in range(0, len(images), size)]


def _grown(folder: Path, network: Network, name: str, dataset: ImageDataset, rounds: int) -> list[Claim]:
    """The whole step, decoding, export and cache among it: all pictures, and then 1 % more."""
    image_ids = _ids(dataset)
    known = dataset.without(image_ids[:: round(1 / NEW_SHARE)])
    everything, delivered = list[float](), list[float]()
    features_of(network, dataset, image_ids[:1], settings_of(), None)  # what is imported is imported
    for number in range(rounds):
        cache = FeatureCache(disk_store(folder / str(number)))
        everything.append(_cpu_of(network, known, cache))
        delivered.append(_cpu_of(network, dataset, cache))
    some = known.select(_ids(known)[:BY_TORCH])
    eager = cpu_seconds(lambda: _by_torch_alone(network, some)) / len(some)
    return [
        at_least(
            f"the whole feature step on {name}, decoding and export among it: how many times less CPU than "
            f"decoding alike and torch eager, batch 8, measured on {BY_TORCH}, scaled",
            eager * len(known) / median(everything),
            2.5,
            "×",
        ),
        at_most(
            f"the feature step after 1 % new pictures of {name}, CPU, beside computing all",
            median(delivered),
            0.05 * median(everything),
            "s",
            peer=median(everything),
        ),
    ]


def _cpu_of(network: Network, dataset: ImageDataset, cache: FeatureCache) -> float:
    """CPU seconds of the feature step on all pictures."""
    return cpu_seconds(lambda: features_of(network, dataset, _ids(dataset), settings_of(), cache))


def _by_torch_alone(network: Network, dataset: ImageDataset) -> None:
    """The plain way: decode eight pictures, embed them."""
    preprocessing, eager = settings_of().preprocessing, by_torch(network)
    pictures = dataset.scan()
    while some := list(islice(pictures, EAGER_BATCHES[0])):
        eager(np.stack([decode(data, preprocessing, UNLIMITED) for _, data in some]))


def _differing(folder: Path, network: Network, dataset: ImageDataset) -> Claim:
    image_ids = _ids(dataset)[:COMPARED]
    order = np.random.default_rng(0).permutation(len(image_ids))
    shuffled = [image_ids[place] for place in order]
    expected = features_of(network, dataset, image_ids, settings_of(), None)[order]
    cache = FeatureCache(disk_store(folder))
    features_of(network, dataset, image_ids[::2], settings_of(threads=2), cache)
    found = features_of(network, dataset, shuffled, settings_of(threads=2), cache)
    differ = sum(ours.tobytes() != theirs.tobytes() for ours, theirs in zip(found, expected, strict=True))
    return at_most(
        f"of {COMPARED} pictures, those whose features differ by a bit in another order, with two threads "
        "instead of one, from a cache that had half of them",
        differ,
        0,
        "pictures",
    )

"""A picture's features are the same bytes whatever was computed with it, and by however many threads."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from materializers.errors import UsageError
from materializers.feature_cache import FeatureCache, part_files, pictures_in
from materializers.image_dataset import ImageDataset, Picture
from serving.bad_picture import BadPicture
from serving.model_directory import Preprocessing
from serving.preprocess import UNLIMITED, decode
from steps.training.export import ExportDiffers
from steps.training.networks import features as module
from steps.training.networks.features import features_of
from steps.training.networks.network import Network, build_network
from steps.training.settings import Features, TrainSettings
from tests.materializers.stores import disk_store
from tests.steps.training.examples import CLASSES, dataset, picture, settings

INSTALLED = {each.name for each in metadata.distributions()}
RUNTIMES = ["onnxruntime", "torch", *(INSTALLED & {"openvino"})]
"""OpenVINO is an extra, which no requirement of the project brings."""
SIDE, LENGTH = 32, 128
"""Of the pictures, and of the small network's features."""


def chosen(runtime: Any = "onnxruntime", **differences: Any) -> TrainSettings:
    """A small backbone on pictures of 32 × 32."""
    known: dict[str, Any] = {
        "preprocessing": Preprocessing(height=SIDE, width=SIDE),
        "features": Features(runtime=runtime),
    }
    return settings(**(known | differences))


@pytest.fixture(scope="module")
def network() -> Network:
    """A network with random weights, in training mode as it was built."""
    torch.manual_seed(3)
    return build_network(chosen(), len(CLASSES))


@pytest.fixture(scope="module")
def pictures() -> ImageDataset:
    """Thirty pictures."""
    return dataset(10)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    """An empty one on disk."""
    return FeatureCache(disk_store(tmp_path))


def ids(pictures: ImageDataset) -> list[str]:
    """All pictures."""
    return [str(image_id) for image_id in pictures.index["image_id"]]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The pictures that are decoded from now on."""
    seen = list[bytes]()

    def count(data: bytes, *arguments: Any, **named: Any) -> NDArray[np.uint8]:
        seen.append(data)
        return decode(data, *arguments, **named)

    monkeypatch.setattr(module, "decode", count)
    return seen


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_order_threads_and_what_the_cache_had_change_no_byte(
    pictures: ImageDataset, cache: FeatureCache, runtime: str
) -> None:
    """Shuffled, alone, by one thread or three, from half a cache or a whole one: the same bytes."""
    everything = ids(pictures)
    network = build_network(chosen(architecture="resnet18"), len(CLASSES))
    first = features_of(network, pictures, everything, chosen(runtime, threads=1), None)
    assert first.dtype == np.float32
    assert first.shape == (30, 512)
    assert len(np.unique(first, axis=0)) == 30
    shuffled = [int(place) for place in np.random.default_rng(0).permutation(30)]
    some = [everything[place] for place in shuffled]
    for threads in (1, 3):
        again = features_of(network, pictures, some, chosen(runtime, threads=threads), None)
        assert again.tobytes() == first[shuffled].tobytes()
    (alone,) = features_of(network, pictures, everything[7:8], chosen(runtime, threads=2), None)
    assert alone.tobytes() == first[7].tobytes()
    features_of(network, pictures, some[:15], chosen(runtime, threads=2), cache)
    for threads in (3, 1):
        filled = features_of(network, pictures, everything, chosen(runtime, threads=threads), cache)
        assert filled.tobytes() == first.tobytes()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_features_are_what_the_network_makes_of_the_pictures(
    network: Network, pictures: ImageDataset, runtime: str
) -> None:
    """To 1e-4, decoded as serving decodes, although the network came in training mode; it stays in that."""
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    some = ids(pictures)[:4]
    found = features_of(network, pictures, some, chosen(runtime), None)
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    images = np.stack([decode(data, chosen().preprocessing, UNLIMITED) for data in pictures.pictures(some)])
    with torch.inference_mode():
        expected = network.eval().embed(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_torch_has_its_threads_back(network: Network, pictures: ImageDataset, runtime: str) -> None:
    """However many it had, whoever trains next has them."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        features_of(network, pictures, ids(pictures)[:2], chosen(runtime, threads=2), None)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_only_new_pictures_are_computed(
    network: Network, pictures: ImageDataset, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later delivery costs what it brought, written as a part of its own; nothing new costs nothing."""
    everything = ids(pictures)
    features_of(network, pictures, everything, chosen(), cache)
    before = set(part_files(cache._store))
    more = pictures.join(
        ImageDataset.from_pictures([Picture(picture("dark", 99), "dark", 16, 16, 1, "dark/99.png")])
    )
    decoded = counted(monkeypatch)
    features_of(network, more, ids(more), chosen(), cache)
    assert decoded == [picture("dark", 99)]
    (new,) = set(part_files(cache._store)) - before
    assert pictures_in(cache._store, new) == list(set(ids(more)) - set(everything))
    monkeypatch.setattr(module, "embedder", lambda *_: pytest.fail("nothing is exported"))
    calls = list[None]()
    again = features_of(network, more, ids(more), chosen(), cache, on_picture=lambda: calls.append(None))
    assert len(calls) == len(again) == 31
    assert len(decoded) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"runtime": "torch"},
        {"preprocessing": Preprocessing(height=SIDE, width=SIDE, resample="box")},
        {"mean": (0.5, 0.5, 0.5)},
    ],
)
def test_what_features_follow_from_is_part_of_their_name(
    pictures: ImageDataset, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """Another runtime, resize or normalisation computes anew; another head or seed does not."""
    some = ids(pictures)[:3]

    def computed(**differences: Any) -> int:
        torch.manual_seed(3)
        wanted = chosen().model_copy(update=differences)
        decoded.clear()
        features_of(build_network(wanted, len(CLASSES)), pictures, some, wanted, cache)
        return len(decoded)

    decoded = counted(monkeypatch)
    assert computed() == 3
    assert computed(hidden=8, threads=2, dropout=0.1) == 0
    if "runtime" in change:
        change = {"features": Features(runtime=change["runtime"])}
    assert computed(**change) == 3
    assert computed() == 0


def test_a_turned_picture_is_computed_as_it_is_shown(network: Network, cache: FeatureCache) -> None:
    """The same bytes under another orientation have other features, those of the turned pixels."""
    data = picture("striped", 1)
    ways = {
        turn: ImageDataset.from_pictures([Picture(data, "striped", 16, 16, turn, "a.png")]) for turn in (1, 6)
    }
    found = {
        turn: features_of(network, each, ids(each), chosen(), cache).tobytes() for turn, each in ways.items()
    }
    assert found[1] != found[6]
    with Image.open(io.BytesIO(data)) as image:
        buffer = io.BytesIO()
        image.transpose(Image.Transpose.ROTATE_270).save(buffer, "PNG")
    turned = ImageDataset.from_pictures([Picture(buffer.getvalue(), "striped", 16, 16, 1, "b.png")])
    assert features_of(network, turned, ids(turned), chosen(), None).tobytes() == found[6]


def test_a_picture_that_is_asked_for_twice_is_computed_once(
    network: Network, pictures: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place has its features; of no picture there are none."""
    first, second = ids(pictures)[:2]
    decoded = counted(monkeypatch)
    found = features_of(network, pictures, [first, second, first], chosen(), None)
    assert len(decoded) == 2
    assert found[0].tobytes() == found[2].tobytes() != found[1].tobytes()
    assert features_of(network, pictures, [], chosen(), None).shape == (0, LENGTH)


def _compute_and_die(network: Network, pictures: ImageDataset, folder: str, after: int) -> None:
    """Compute features one by one and be killed."""
    torch.set_num_threads(1)
    module.PART_PICTURES = 4
    left = iter(range(after))

    def die() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    features_of(
        network, pictures, ids(pictures), chosen(), FeatureCache(disk_store(Path(folder))), on_picture=die
    )


@pytest.mark.parametrize("after", [2, 8, 29])
def test_an_extraction_that_was_interrupted_goes_on(
    network: Network, pictures: ImageDataset, cache: FeatureCache, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than the pictures of one part are computed again."""
    left = iter(range(after))

    def interrupt() -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "PART_PICTURES", 4)
    with pytest.raises(KeyboardInterrupt):
        features_of(network, pictures, ids(pictures), chosen(), cache, on_picture=interrupt)
    decoded = counted(monkeypatch)
    features_of(network, pictures, ids(pictures), chosen(), cache)
    assert len(decoded) == 30 - after // 4 * 4


def test_an_extraction_that_was_killed_goes_on(
    network: Network, pictures: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SIGKILL: what was kept stays, and the bytes are those of one run."""
    child = multiprocessing.get_context("spawn").Process(
        target=_compute_and_die, args=(network, pictures, str(tmp_path), 9)
    )
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    decoded = counted(monkeypatch)
    resumed = features_of(network, pictures, ids(pictures), chosen(), FeatureCache(disk_store(tmp_path)))
    assert len(decoded) == 30 - 8
    assert resumed.tobytes() == features_of(network, pictures, ids(pictures), chosen(), None).tobytes()


def test_a_damaged_part_is_computed_again(
    network: Network, pictures: ImageDataset, cache: FeatureCache, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is right, the warning names the file, and the next time all is there."""
    first = features_of(network, pictures, ids(pictures), chosen(), cache)
    (uri,) = part_files(cache._store)
    data = Path(uri).read_bytes()
    Path(uri).write_bytes(data[:3000] + bytes(8) + data[3008:])
    again = features_of(network, pictures, ids(pictures), chosen(), cache)
    assert again.tobytes() == first.tobytes()
    assert [record for record in caplog.records if uri in record.getMessage()]
    assert part_files(cache._store) == [uri]


def test_many_deliveries_leave_few_parts(
    network: Network, pictures: ImageDataset, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones are packed together when there are many, and give the same bytes."""
    monkeypatch.setattr("materializers.feature_cache.MANY", 4)
    everything = ids(pictures)
    for end in range(3, 31, 3):
        found = features_of(network, pictures, everything[:end], chosen(), cache)
    assert len(part_files(cache._store)) <= 5
    assert found.tobytes() == features_of(network, pictures, everything, chosen(), None).tobytes()


def test_a_picture_that_cannot_be_decoded_ends_it(network: Network, cache: FeatureCache) -> None:
    """Whatever waits is given up, and the reason is the picture's."""
    broken = ImageDataset.from_pictures(
        [
            Picture(picture("dark", 1), "dark", 16, 16, 1, "a.png"),
            Picture(picture("dark", 2)[:-40], "dark", 16, 16, 1, "b.png"),
        ]
    )
    with pytest.raises(BadPicture):
        features_of(network, broken, ids(broken), chosen(), cache)


def test_a_runtime_that_is_not_installed_is_wrong_use(
    network: Network, pictures: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says how to install it, and nothing was computed."""

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    with pytest.raises(UsageError, match="uv pip install openvino"):
        features_of(network, pictures, ids(pictures), chosen("openvino"), None)


def test_a_runtime_that_answers_differently_is_refused(
    network: Network, pictures: ImageDataset, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its features would be another backbone's: none is kept."""

    def wrong(_: bytes) -> module.Embed:
        return lambda images: np.zeros((len(images), LENGTH), np.float32)

    monkeypatch.setattr(module, "by_onnxruntime", wrong)
    with pytest.raises(ExportDiffers, match="embedding"):
        features_of(network, pictures, ids(pictures), chosen(), cache)
    assert part_files(cache._store) == []


def test_no_more_pictures_wait_than_the_threads_need(
    network: Network, pictures: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encoded pictures are read as they are needed: memory does not grow with the dataset."""
    monkeypatch.setattr(module, "AHEAD", 2)
    read, done = 0, 0
    original = ImageDataset.scan

    def scan(self: ImageDataset) -> Iterator[tuple[str, bytes]]:
        nonlocal read
        for each in original(self):
            read += 1
            yield each

    def on_picture() -> None:
        nonlocal done
        done += 1
        assert read - done <= 2 * 2

    monkeypatch.setattr(ImageDataset, "scan", scan)
    features_of(network, pictures, ids(pictures), chosen(threads=2), None, on_picture=on_picture)
    assert done == 30

"""PyTorch reads every picture once, with its class and upright, whatever the number of workers."""

import io
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader
from zenml.artifact_stores import BaseArtifactStore

from materializers import shards
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer
from materializers.torch_pictures import PictureDataset, ShardOrderedPictures, drawn
from tests.materializers.examples import picture

CLASSES = ["bags", "tops"]
NUMBERS = range(24)


def decode(data: bytes, orientation: int) -> NDArray[np.uint8]:
    """The pixels, the first of which tells the orientation that was passed."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.array(image.convert("RGB"))
    pixels[0, 0] = orientation
    return pixels


def number_of(pixels: torch.Tensor | NDArray[np.uint8]) -> int:
    """Which of the pictures these pixels are of."""
    return int(pixels[-1, -1, 0])


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> ImageDataset:
    """Pictures in shards of three, of two classes and two orientations."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 3 * len(picture(0).data))
    return ImageDataset.from_pictures(
        picture(number, label=CLASSES[number % 2], orientation=6 if number % 3 else 1) for number in NUMBERS
    )


def epoch(loader: DataLoader[tuple[NDArray[np.uint8], int]]) -> list[int]:
    """The pictures of one epoch in their order; each has its own class and orientation."""
    order = []
    for images, labels in loader:
        assert images.dtype == torch.uint8
        for pixels, label in zip(images, labels.tolist(), strict=True):
            number = number_of(pixels)
            assert label == number % 2
            assert int(pixels[0, 0, 0]) == (6 if number % 3 else 1)
            order.append(number)
    return order


# --- By position ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_any_batch_has_its_own_pictures_and_classes(pictures: ImageDataset, workers: int) -> None:
    """A shuffled loader gives each picture once, with its class and its orientation."""
    ids = pictures.index["image_id"].tolist()
    view = PictureDataset(pictures, ids, CLASSES, decode)
    chance = torch.Generator().manual_seed(3)
    order = epoch(DataLoader(view, batch_size=5, shuffle=True, generator=chance, num_workers=workers))
    assert sorted(order) == list(NUMBERS)
    assert len(view) == len(NUMBERS)
    assert view[4][1] == view.labels[4]


def test_a_batch_is_stacked_in_the_order_asked(pictures: ImageDataset) -> None:
    """One call gives pixels and classes of some positions; threads that decode change nothing."""
    ids = pictures.index["image_id"].tolist()
    view = PictureDataset(pictures, ids, CLASSES, decode)
    images, labels = view.batch([5, 0, 5])
    assert images.shape == (3, 8, 8, 3)
    assert [number_of(pixels) % 2 for pixels in images] == labels.tolist()
    with ThreadPoolExecutor(2) as decoders:
        again, _ = view.batch([5, 0, 5], decoders)
    assert np.array_equal(images, again)


@pytest.mark.parametrize("kind", [PictureDataset, ShardOrderedPictures])
def test_a_label_that_is_no_class_is_named(
    pictures: ImageDataset, kind: type[PictureDataset] | type[ShardOrderedPictures]
) -> None:
    """A class that the model does not have stops before the first picture is read."""
    with pytest.raises(ValueError, match="'tops' is none of the 1 classes: bags"):
        kind(pictures, pictures.index["image_id"].tolist(), ["bags"], decode)


# --- Shard by shard ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 3, 11])
@pytest.mark.parametrize("seed", [None, 7])
def test_no_picture_is_lost_or_doubled_by_workers(
    pictures: ImageDataset, workers: int, seed: int | None
) -> None:
    """Each picture that was asked for comes once an epoch, also with more workers than shards."""
    ids = pictures.index["image_id"].tolist()[:-2]
    view = ShardOrderedPictures(pictures, [*ids, ids[0]], CLASSES, decode, seed=seed, buffer=4)
    order = epoch(DataLoader(view, batch_size=4, num_workers=workers))
    assert len(view) == len(ids) == len(order)
    assert set(Counter(order).values()) == {1}


def test_the_order_follows_from_seed_and_epoch(pictures: ImageDataset) -> None:
    """The same seed and epoch give one order again, also in workers that live on; others give others."""
    ids = pictures.index["image_id"].tolist()
    view = ShardOrderedPictures(pictures, ids, CLASSES, decode, seed=1, buffer=8)
    loader = DataLoader(view, batch_size=4, num_workers=2, persistent_workers=True)
    first = epoch(loader)
    assert epoch(loader) == first
    view.set_epoch(1)
    second = epoch(loader)
    assert second != first
    assert sorted(second) == sorted(first)
    view.set_epoch(0)
    assert epoch(loader) == first
    other = ShardOrderedPictures(pictures, ids, CLASSES, decode, seed=2, buffer=8)
    assert epoch(DataLoader(other, batch_size=4, num_workers=2)) != first


def test_without_a_seed_pictures_come_as_they_lie(pictures: ImageDataset) -> None:
    """Evaluation reads shard by shard and shuffles nothing."""
    ids = pictures.index["image_id"].tolist()
    view = ShardOrderedPictures(pictures, ids, CLASSES, decode)
    assert [number_of(pixels) for pixels, _ in view] == [
        number_of(decode(data, 1)) for _, data in pictures.scan()
    ]


@settings(deadline=None, max_examples=50)
@given(count=st.integers(0, 30), size=st.integers(1, 12), seed=st.integers(0, 99))
def test_drawing_loses_nothing(count: int, size: int, seed: int) -> None:
    """Whatever the size of the buffer, each item comes once, none earlier than the buffer allows."""
    found = list(drawn(range(count), size, random.Random(seed)))  # noqa: S311
    assert sorted(found) == list(range(count))
    assert all(item <= position + size for position, item in enumerate(found))


# --- From a store -----------------------------------------------------------------------------------------


def test_workers_read_from_a_store_themselves(
    pictures: ImageDataset, store: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forked workers read a dataset whose store this process has used already, on disk and in a bucket."""
    monkeypatch.setattr(shards, "FEW", 2)
    materializer = ImageDatasetMaterializer(f"{store.path}/dataset/1", store)
    materializer.save(pictures)
    loaded = materializer.load(ImageDataset)
    ids = loaded.index["image_id"].tolist()
    ordered = ShardOrderedPictures(loaded, ids, CLASSES, decode, seed=1)
    assert sorted(epoch(DataLoader(ordered, batch_size=4, num_workers=2))) == list(NUMBERS)
    by_position = PictureDataset(loaded, ids, CLASSES, decode)
    assert sorted(epoch(DataLoader(by_position, batch_size=2, num_workers=2))) == list(NUMBERS)

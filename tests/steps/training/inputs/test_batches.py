"""Training pictures are what serving would decode."""

import io
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset, Picture, picture_digest
from serving.model_directory import Preprocessing
from serving.preprocess import decode
from serving.strip_metadata import strip_metadata
from steps.training.inputs import batches
from steps.training.inputs.batches import Pictures
from tests.serving.pictures import encode, exif, gradient
from tests.steps.training.examples import CLASSES, dataset, settings


@pytest.mark.parametrize("memory_mb", [0, 100], ids=["batch by batch", "in memory"])
def test_training_and_serving_preprocess_to_the_same_bytes(memory_mb: int) -> None:
    """Each row of each batch equals what serving makes of that picture, and carries its class."""
    chosen = settings(memory_mb=memory_mb, preprocessing=Preprocessing(height=11, width=9), threads=2)
    pictures = dataset(7)
    image_ids = pictures.index["image_id"].tolist()
    given = Pictures(pictures, image_ids, CLASSES, chosen)
    assert given.in_memory == bool(memory_mb)
    order = torch.randperm(len(given), generator=torch.Generator().manual_seed(5))
    batches = list(given.batches(order, 8))
    assert [len(labels) for _, labels in batches] == [8, 8, 5]
    images = torch.cat([images for images, _ in batches]).numpy()
    ordered = [image_ids[row] for row in order.tolist()]
    expected = [decode(data, chosen.preprocessing) for data in pictures.pictures(ordered)]
    assert np.array_equal(images, np.stack(expected))
    labels = torch.cat([labels for _, labels in batches]).tolist()
    assert [CLASSES[number] for number in labels] == pictures.labels(ordered)


def test_a_photograph_is_scaled_down_as_in_serving() -> None:
    """A JPEG far larger than the target is decoded at the model's own scale, not in full."""
    noise = np.random.default_rng(0).integers(0, 256, (128, 96, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    data = buffer.getvalue()
    pictures = ImageDataset.from_pictures([Picture(data, "dark", 96, 128, 1, "photo.jpg")])
    chosen = settings(preprocessing=Preprocessing(height=16, width=16))
    given = Pictures(pictures, pictures.index["image_id"].tolist(), CLASSES, chosen)
    ((images, _),) = given.batches(torch.arange(1), 1)
    assert np.array_equal(images[0].numpy(), decode(data, chosen.preprocessing))
    in_full = chosen.preprocessing.model_copy(update={"decode_scale": 0})
    assert not np.array_equal(images[0].numpy(), decode(data, in_full))


@pytest.mark.parametrize("memory_mb", [0, 100], ids=["batch by batch", "in memory"])
def test_a_stored_picture_is_trained_on_as_serving_sees_it(memory_mb: int) -> None:
    """A photograph that lies in its file and stands by its metadata, which is not stored with it."""
    delivered = [encode(gradient(90, 40, seed), "JPEG", exif=exif(seed)) for seed in range(1, 9)]
    stored = [strip_metadata(data) for data in delivered]
    pictures = ImageDataset.from_pictures(
        Picture(one.data, "dark", one.width, one.height, one.orientation, "photo.jpg") for one in stored
    )
    chosen = settings(memory_mb=memory_mb)
    image_ids = [picture_digest(one.data) for one in stored]
    given = Pictures(pictures, image_ids, CLASSES, chosen)
    ((images, _),) = given.batches(torch.arange(8), 8)
    assert np.array_equal(
        images.numpy(), np.stack([decode(data, chosen.preprocessing) for data in delivered])
    )


def test_pictures_in_memory_are_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While they are decoded no more than a few parts of them lie beside what they are put into."""
    monkeypatch.setattr(batches, "DECODED_AT_A_TIME", 4)
    chosen = settings(preprocessing=Preprocessing(height=96, width=96))
    pictures = dataset()
    tracemalloc.start()
    given = Pictures(pictures, pictures.index["image_id"].tolist(), CLASSES, chosen)
    _, peak = tracemalloc.get_traced_memory()  # of what NumPy decodes into; torch's own is not traced
    tracemalloc.stop()
    assert given.in_memory
    assert peak < len(given) * 96 * 96 * 3 / 2


@pytest.mark.parametrize(
    ("where", "raised", "said"),
    [
        ("torch.empty", RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes\nmore"), "9 bytes"),
        ("materializers.torch_pictures.np.stack", MemoryError(), "MemoryError"),
    ],
)
def test_pictures_that_the_memory_does_not_hold_are_wrong_use(
    monkeypatch: pytest.MonkeyPatch, where: str, raised: Exception, said: str
) -> None:
    """The line names what allowed them, and what needs less."""
    pictures = dataset(3)
    image_ids = pictures.index["image_id"].tolist()

    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(where, fail)
    with pytest.raises(UsageError, match=said) as refused:
        Pictures(pictures, image_ids, CLASSES, settings(memory_mb=100))
    line = str(refused.value)
    assert line.startswith("There is no memory for 9 decoded pictures, which train.memory_mb=100 allows (")
    assert line.endswith("Have them decoded batch by batch: --set train.memory_mb=0")
    assert "\n" not in line


def test_what_is_no_lack_of_memory_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the program is not explained away."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("torch.empty", fail)
    pictures = dataset(3)
    with pytest.raises(RuntimeError, match="a fault"):
        Pictures(pictures, pictures.index["image_id"].tolist(), CLASSES, settings())

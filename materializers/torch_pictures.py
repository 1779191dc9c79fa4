"""A dataset as PyTorch reads it: any picture by its number, or all of them shard by shard.

How a picture is decoded is passed in, so that training decodes as serving does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info

if TYPE_CHECKING:
    from materializers.image_dataset import ImageDataset

Item = TypeVar("Item")
Decode: TypeAlias = Callable[[bytes, int], NDArray[np.uint8]]
"""Encoded bytes and the orientation (1 to 8, as EXIF numbers them) to pixels ``(height, width, 3)``."""
Example: TypeAlias = tuple[NDArray[np.uint8], int]
"""Pixels and the number of the class."""
BUFFER = 1000
"""Encoded pictures that wait for their turn in each worker: 16 MB of pictures of 16 KB."""


class PictureDataset(Dataset[Example]):
    """Any picture by its position: for ``DataLoader``, or a batch at a time with :meth:`batch`.

    Args:
        dataset: where the pictures are.
        image_ids: which, in the order of their positions.
        classes: the names of the classes, in the order of their numbers.
        decode: makes pixels of encoded bytes; pictures of one size can be stacked.

    Raises:
        KeyError: a picture is not in the dataset.
        ValueError: a picture's label is none of the classes.
    """

    def __init__(
        self, dataset: ImageDataset, image_ids: Sequence[str], classes: Sequence[str], decode: Decode
    ) -> None:
        self._dataset, self._image_ids, self._decode = dataset, list(image_ids), decode
        self._orientations = dataset.orientations(self._image_ids)
        self.labels = class_numbers(dataset.labels(self._image_ids), classes)
        """The class of each position, int64."""

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self._image_ids)

    def __getitem__(self, position: int) -> Example:
        """One picture."""
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Example]:
        """Several pictures, read from their shards together: what ``DataLoader`` asks for a batch."""
        return list(zip(self._decoded(positions, None), self.labels[list(positions)].tolist(), strict=True))

    def batch(
        self, positions: Sequence[int], decoders: Executor | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Several pictures of one size, stacked.

        Args:
            positions: which.
            decoders: threads that decode; without them this one does.

        Returns:
            Pixels ``(n, height, width, 3)`` and class numbers ``(n,)``.
        """
        return np.stack(list(self._decoded(positions, decoders))), self.labels[list(positions)]

    def _decoded(self, positions: Sequence[int], decoders: Executor | None) -> Iterator[NDArray[np.uint8]]:
        encoded = self._dataset.pictures([self._image_ids[position] for position in positions])
        orientations = [self._orientations[position] for position in positions]
        return (decoders.map if decoders else map)(self._decode, encoded, orientations)


class ShardOrderedPictures(IterableDataset[Example]):
    """All pictures once an epoch, each worker reading whole shards in a row: for data larger than memory.

    The order of the shards and of the pictures within a buffer follow from seed, epoch and the number of
    workers. A worker needs a shard of its own to have something to do.

    Args:
        dataset: where the pictures are.
        image_ids: which.
        classes: the names of the classes, in the order of their numbers.
        decode: makes pixels of encoded bytes.
        seed: of the order; without it pictures come as they lie in the shards.
        buffer: encoded pictures among which the next one is drawn.

    Raises:
        KeyError: a picture is not in the dataset.
        ValueError: a picture's label is none of the classes.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        image_ids: Sequence[str],
        classes: Sequence[str],
        decode: Decode,
        *,
        seed: int | None = None,
        buffer: int = BUFFER,
    ) -> None:
        chosen = list(dict.fromkeys(image_ids))
        class_numbers(dataset.labels(chosen), classes)
        self._dataset, self._classes, self._decode = dataset.select(chosen), list(classes), decode
        self._seed, self._buffer = seed, buffer
        self._epoch = torch.zeros(1, dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # workers live on between epochs

    def __len__(self) -> int:
        """The number of pictures, of all workers together."""
        return len(self._dataset)

    def set_epoch(self, epoch: int) -> None:
        """Take another order from now on; workers see it when they begin anew."""
        self._epoch[0] = epoch

    def __iter__(self) -> Iterator[Example]:
        """The pictures of this worker's shards."""
        about = get_worker_info()
        worker, workers = (about.id, about.num_workers) if about else (0, 1)
        shards, epoch = sorted(self._dataset.shards), int(self._epoch.item())
        if self._seed is None:
            waiting = self._encoded(shards[worker::workers])
        else:
            random.Random(f"{self._seed} {epoch}").shuffle(shards)  # noqa: S311 (an order, no secret)
            chance = random.Random(f"{self._seed} {epoch} {worker}")  # noqa: S311
            waiting = drawn(self._encoded(shards[worker::workers]), self._buffer, chance)
        for data, orientation, number in waiting:
            yield self._decode(data, orientation), number

    def _encoded(self, shards: Sequence[str]) -> Iterator[tuple[bytes, int, int]]:
        """Encoded bytes, orientation and class number of each picture, a shard after another."""
        index = self._dataset.index
        for shard in shards:
            rows = index[index["shard"] == shard]
            numbers = class_numbers(rows["label"].tolist(), self._classes).tolist()
            about = zip(rows["orientation"].tolist(), numbers, strict=True)
            known = dict(zip(rows["image_id"].tolist(), about, strict=True))
            for image_id, data in self._dataset.scan(shards=[shard]):
                yield data, *known[image_id]


def drawn(items: Iterable[Item], size: int, chance: random.Random) -> Iterator[Item]:
    """Every item once, each drawn from the ``size`` that wait."""
    waiting: list[Item] = []
    for item in items:
        if len(waiting) < size:
            waiting.append(item)
        else:
            at = chance.randrange(size)
            yield waiting[at]
            waiting[at] = item
    chance.shuffle(waiting)
    yield from waiting


def class_numbers(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """The position of each label among the classes.

    Raises:
        ValueError: one is none of them.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    unknown = sorted({str(label) for label in labels if label not in numbers})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of the {len(numbers)} classes: {', '.join(numbers)}.")
    return np.array([numbers[label] for label in labels], dtype=np.int64)

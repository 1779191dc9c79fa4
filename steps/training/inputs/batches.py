"""Labelled pictures as the network's input, decoded by the code that serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from materializers.torch_pictures import PictureDataset
from serving.preprocess import UNLIMITED, decode
from steps.training.fitting.learning import memory_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from materializers.image_dataset import ImageDataset
    from serving.model_directory import Preprocessing
    from steps.training.settings import TrainSettings

DECODED_AT_A_TIME = 256


class Pictures:
    """Pictures in the order of ``image_ids``.

    They are decoded once where all of them fit into ``settings.memory_mb``, else batch by batch, the next one
    while the network works on this one.
    """

    def __init__(
        self, dataset: ImageDataset, image_ids: Sequence[str], classes: Sequence[str], settings: TrainSettings
    ) -> None:
        """Look the labels up, and decode where there is room.

        Raises:
            BadPicture: a picture cannot be decoded.
            UsageError: ``settings.memory_mb`` is more than there is.
        """
        preprocessing = settings.preprocessing
        self._pictures = PictureDataset(
            dataset,
            image_ids,
            classes,
            partial(_decoded, preprocessing),
        )
        self._threads, self.classes = settings.threads, len(classes)
        self.labels = torch.from_numpy(self._pictures.labels)
        size = preprocessing.height * preprocessing.width * 3 * len(self)
        self.in_memory = size <= settings.memory_mb * 2**20
        self._images: Tensor | None = None
        if self.in_memory:
            what = f"for {len(self):,} decoded pictures, which train.memory_mb={settings.memory_mb} allows"
            with memory_for(what, "Have them decoded batch by batch: --set train.memory_mb=0"):
                self._images = torch.empty(
                    (len(self), preprocessing.height, preprocessing.width, 3), dtype=torch.uint8
                )
                # Filled part by part: to join parts takes twice the memory.
                done = 0
                for images, _ in self._decoded(torch.arange(len(self)), DECODED_AT_A_TIME):
                    self._images[done : done + len(images)] = images
                    done += len(images)

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self._pictures)

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pictures ``(size, height, width, 3)`` uint8 and their class numbers ``(size,)`` int64.

        Args:
            order: positions, int64; the last batch has what is left over.
            size: pictures a batch.
        """
        if self._images is None:
            yield from self._decoded(order, size)
            return
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield self._images[rows], self.labels[rows]

    def _decoded(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        # One thread fetches and stacks the next batch, the others decode its pictures.
        with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(self._threads) as decoders:

            def fetch(rows: Tensor) -> tuple[Tensor, Tensor]:
                images, labels = self._pictures.batch(rows.tolist(), decoders)
                return torch.from_numpy(images), torch.from_numpy(labels)

            waiting = None
            for start in range(0, len(order), size):
                following = ahead.submit(fetch, order[start : start + size])
                if waiting is not None:
                    yield waiting.result()
                waiting = following
            if waiting is not None:
                yield waiting.result()


def _decoded(preprocessing: Preprocessing, data: bytes, orientation: int) -> NDArray[np.uint8]:
    """A picture as serving decodes it; a function of the module, which child processes can be given."""
    return decode(data, preprocessing, UNLIMITED, orientation=orientation)

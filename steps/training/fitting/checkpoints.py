"""A training written down while it goes on, in the artifact store, so that a killed one goes on from there.

A checkpoint is two files: tensors (safetensors), then a manifest (JSON) with their digest and one of what
else it says, so that it is there whole or not at all. The one before is kept beside it.
"""

from __future__ import annotations

import hashlib
import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from materializers.blobs import list_folder, read_blob, store_errors, write_blob
from materializers.classifier import EpochMetrics
from materializers.report import Record, json_digest
from steps.training.fitting.training_key import checkpoints_folder

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

logger = logging.getLogger("shutterline")

NAME = re.compile(r"(\d{8})\.(json|safetensors)")


class Progress(Record):
    """How far a training has come; everything that is no tensor.

    Attributes:
        over: whether it ended.
        epochs: what each measured that is over.
        best_epoch: the first is 1; 0: none yet.
        best_score: validation accuracy of the best epoch and its loss, negative.
        failure: why it was given up.
        learning_rate: of the epoch that goes on.
        scheduler: the numbers that the scheduler keeps.
        batches: of the epoch that goes on, those that are learnt.
        steps: batches of all epochs that are learnt.
        loss_sum: over their examples.
    """

    over: bool
    epochs: tuple[EpochMetrics, ...]
    best_epoch: int
    best_score: tuple[float, float]
    failure: str | None
    learning_rate: float
    scheduler: dict[str, bool | int | float | list[float]]
    batches: int
    steps: int
    loss_sum: float


class Manifest(Record):
    """The second file of a checkpoint."""

    format_version: Literal[2] = 2
    torch: str
    """Its version: another one may compute other last digits."""
    sha256: str
    """Of the file of tensors."""
    progress: Progress
    progress_digest: str
    """A number that changed on the disk would give other weights, and nobody would know."""


def _digest(progress: Progress) -> str:
    return json_digest(progress.model_dump(mode="json"))


class _Unusable(Exception):
    """A checkpoint that cannot be gone on from, and why."""


@dataclass(frozen=True)
class Checkpoint:
    """What a training goes on from.

    Attributes:
        number: counted from 1; a later one has a higher one.
        progress: how far it had come.
        tensors: by name, on the CPU.
    """

    number: int
    progress: Progress
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class PhaseCheckpoints:
    """Those of one phase of a training, which is one call of ``fit``.

    Attributes:
        store: where they lie.
        uri: the folder.
    """

    store: BaseArtifactStore
    uri: str

    def read(self) -> Checkpoint | None:
        """The newest that can be gone on from, or None; the log says which were passed over, and why.

        Raises:
            ServiceUnreachable: the store does not answer.
        """
        passed_over = False
        for number in sorted(self._numbers("json"), reverse=True):
            try:
                found = self._read(number)
            except _Unusable as error:
                passed_over = True
                logger.warning("The checkpoint %s is not used: %s.", self._address(number, "json"), error)
            else:
                if passed_over:
                    logger.warning("The training goes on from %s.", self._address(number, "json"))
                return found
        if passed_over:
            logger.warning("No checkpoint in %s can be used: the training begins anew.", self.uri)
        return None

    def write(self, progress: Progress, tensors: dict[str, Tensor], *, before: int | None) -> int:
        """Write one, and remove all others but the one before it.

        Args:
            progress: how far the training has come.
            tensors: by name; copied where they are on a GPU or not contiguous.
            before: the number of the last good one, which is kept; None: there is none.

        Returns:
            Its number.

        Raises:
            NoRoom: the disk is full; the one before is as it was.
            ServiceUnreachable: the store cannot be written.
        """
        from safetensors.torch import save

        data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
        manifest = Manifest(
            torch=torch.__version__,
            sha256=hashlib.sha256(data).hexdigest(),
            progress=progress,
            progress_digest=_digest(progress),
        )
        known = self._numbers("json", "safetensors")
        number = max(known, default=0) + 1
        with store_errors(f"write the training down in {self.uri}"):
            write_blob(self.store, self._address(number, "safetensors"), data)
            write_blob(self.store, self._address(number, "json"), manifest.model_dump_json().encode())
            for old in known - {before}:
                for ending in ("json", "safetensors"):
                    with suppress(FileNotFoundError):
                        self.store.remove(self._address(old, ending))
        return number

    def _read(self, number: int) -> Checkpoint:
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            manifest = Manifest.model_validate_json(self._bytes(number, "json"))
        except ValidationError as error:
            raise _Unusable(f"it is damaged, or of another format ({error.error_count()} errors)") from error
        if _digest(manifest.progress) != manifest.progress_digest:
            raise _Unusable("its progress does not have the digest that it names")
        if manifest.torch != torch.__version__:
            raise _Unusable(f"torch {manifest.torch} wrote it, this is {torch.__version__}")
        data = self._bytes(number, "safetensors")
        if hashlib.sha256(data).hexdigest() != manifest.sha256:
            raise _Unusable("its tensors do not have the digest that it names")
        try:
            return Checkpoint(number, manifest.progress, load(data))
        except SafetensorError as error:
            raise _Unusable(f"its tensors cannot be read: {error}") from error

    def _bytes(self, number: int, ending: str) -> bytes:
        address = self._address(number, ending)
        with store_errors(f"read the checkpoint {address}"):
            try:
                return read_blob(self.store, address)
            except FileNotFoundError as error:
                raise _Unusable(f"{address} is not there") from error

    def _numbers(self, *endings: str) -> set[int]:
        with store_errors(f"list the checkpoints in {self.uri}"):
            found = [NAME.fullmatch(name) for name in list_folder(self.store, self.uri)]
        return {int(name[1]) for name in found if name is not None and name[2] in endings}

    def _address(self, number: int, ending: str) -> str:
        return f"{self.uri}/{number:08}.{ending}"


@dataclass(frozen=True)
class Checkpoints:
    """Those of one training.

    Attributes:
        store: where they lie.
        key: digest of everything that the weights depend on: data, splits, settings and code.
    """

    store: BaseArtifactStore
    key: str

    @property
    def uri(self) -> str:
        """Their folder."""
        return checkpoints_folder(self.store, self.key)

    def phase(self, name: str) -> PhaseCheckpoints:
        """Those of the phase of this name."""
        return PhaseCheckpoints(self.store, f"{self.uri}/{name}")

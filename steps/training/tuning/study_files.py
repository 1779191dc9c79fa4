"""What tuning and cross-validation write down on their way, in the artifact store below ``studies/<key>/``.

The same command finds it again. Where the store is a local folder, the study's journal lies there; where it
is remote, the journal is in a temporary folder, fetched at the start and copied back after each trial.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from materializers.blobs import is_on_disk, read_blob, store_errors, write_blob, write_file
from materializers.store_files import STUDIES
from materializers.tuning_report import Fold
from steps.training.tuning.study_storage import JOURNAL

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

logger = logging.getLogger("shutterline")


class StudyFiles:
    """The files of one study.

    Args:
        store: the artifact store.
        key: digest of all that decides what the study comes to.
    """

    def __init__(self, store: BaseArtifactStore, key: str) -> None:
        self._store, self.key = store, key
        self._root = f"{str(store.path).rstrip('/')}/{STUDIES}/{key}"
        self._copied: bytes | None = None
        self._warned = False

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder of this machine with the journal in it, where there is one already.

        Raises:
            ServiceUnreachable: the store cannot be read.
        """
        if is_on_disk(self._root):
            yield Path(self._root)
            return
        with tempfile.TemporaryDirectory(prefix="shutterline-study-") as temporary:
            folder = Path(temporary)
            with store_errors("give a study that was begun"):
                try:
                    self._copied = read_blob(self._store, f"{self._root}/{JOURNAL}")
                    write_file(folder / JOURNAL, self._copied)
                except FileNotFoundError:
                    self._copied = None
            yield folder

    def keep(self, folder: Path) -> None:
        """Copy the journal to a remote store, whole lines only; where that fails, the study goes on."""
        if is_on_disk(self._root):
            return
        data = (folder / JOURNAL).read_bytes()
        data = data[: data.rfind(b"\n") + 1]
        if data == self._copied:
            return
        try:
            write_blob(self._store, f"{self._root}/{JOURNAL}", data)
            self._copied = data
        except OSError as error:
            if not self._warned:
                logger.warning("The study cannot be copied to the artifact store for now: %s", error)
            self._warned = True

    def fold(self, name: str) -> Fold | None:
        """A fold that was measured before; None where it was not, or cannot be read.

        Raises:
            ServiceUnreachable: the store cannot be read.
        """
        with store_errors("give a fold that was measured"):
            try:
                return Fold.model_validate_json(read_blob(self._store, f"{self._root}/{name}.json"))
            except FileNotFoundError:
                return None
            except ValidationError:
                logger.warning("The fold at %s/%s.json is damaged, and measured again.", self._root, name)
                return None

    def keep_fold(self, name: str, fold: Fold) -> None:
        """Write a fold down.

        Raises:
            ServiceUnreachable: the store cannot be written.
        """
        with store_errors("keep a fold that was measured"):
            write_blob(self._store, f"{self._root}/{name}.json", fold.model_dump_json().encode())

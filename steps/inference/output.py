"""Where predictions are written: a file of this machine, or an object of the artifact store's bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from materializers.errors import NoRoom, UsageError

if TYPE_CHECKING:
    from materializers.predictions import Predictions

SUFFIX = ".parquet"


def refuse_unwritable(output: str) -> None:
    """Look before the pictures are classified whether the predictions can be written; a bucket is not asked.

    Raises:
        UsageError: ``output`` is a folder or a device, its folder is none or cannot be written, it is an
            address outside the artifact store, or named as another kind of file.
    """
    import os
    from pathlib import Path

    from zenml.utils.io_utils import is_remote

    if is_remote(output):
        _refuse_outside_store(output)
        _refuse_other_kind(output)
        return
    path = Path(output).absolute()
    try:
        found = path.exists()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise UsageError(
            f"{output} cannot be written ({error.strerror}): give --output another one"
        ) from error
    if path.is_dir():
        raise UsageError(f"{output} is a folder: give --output a file, such as {output}/predictions.parquet")
    if found and not path.is_file():
        raise UsageError(f"{output} is no file but a device or a pipe: give --output another one")
    there = next(folder for folder in path.parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(
            f"{output} cannot be written, {there} is no writable folder: give --output another one"
        )
    _refuse_other_kind(output)


def _refuse_other_kind(output: str) -> None:
    """Refuse a name by which other programs would take the file for something else."""
    if not output.endswith(SUFFIX):
        raise UsageError(f"{output}: predictions are Parquet, give --output a name that ends in {SUFFIX}")


def _refuse_outside_store(output: str) -> None:
    from zenml.client import Client

    root = Client().active_stack.artifact_store.path.rstrip("/")
    if not output.startswith(f"{root}/"):
        raise UsageError(
            f"{output} is not below the artifact store of the stack, {root}, which its credentials are "
            f"for: give --output a path of this machine, or {root}/predictions.parquet"
        )


def write_predictions(predictions: Predictions, output: str) -> None:
    """Write the answers as Parquet, to a path of this machine or to an object of a bucket.

    What they come from is in the file's metadata, and in JSON beside it.

    Raises:
        NoRoom: the disk is full.
        UsageError: it cannot be written.
    """
    from zenml.client import Client

    try:
        predictions.write(Client().active_stack.artifact_store, output)
    except NoRoom:
        raise
    except OSError as error:
        raise UsageError(f"{output} cannot be written ({error}): give --output another one") from error

"""Where predictions go is looked at before anything is classified."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from materializers.errors import UsageError
from steps.inference.output import refuse_unwritable

if TYPE_CHECKING:
    from zenml.client import Client


def test_a_file_whose_folder_can_be_made_is_taken(tmp_path: Path) -> None:
    """Nothing is made by looking."""
    refuse_unwritable(str(tmp_path / "new" / "folder" / "predictions.parquet"))
    assert list(tmp_path.iterdir()) == []


def test_an_address_outside_the_artifact_store_is_refused(zenml_client: Client) -> None:
    """Before an hour of classifying: the stack's credentials are for its own store."""
    with pytest.raises(UsageError, match=r"s3://elsewhere/p\.parquet is not below the artifact store"):
        refuse_unwritable("s3://elsewhere/p.parquet")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """The path that is in the way is named."""
    (tmp_path / "notes").write_text("x")
    with pytest.raises(UsageError, match=r"notes is no writable folder: give --output"):
        refuse_unwritable(str(tmp_path / "notes" / "predictions.parquet"))


def test_a_device_or_a_pipe_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """Writing moves a finished file into place: the device would be gone."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for special in (pipe, Path("/dev/null")):
        with pytest.raises(UsageError, match=r"a device or a pipe: give --output another"):
            refuse_unwritable(str(special))


def test_a_name_that_no_disk_takes_is_refused(tmp_path: Path) -> None:
    """What the system says is said on."""
    with pytest.raises(UsageError, match=r"File name too long"):
        refuse_unwritable(str(tmp_path / ("n" * 300)))


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """A file in it is proposed."""
    with pytest.raises(UsageError, match=r"is a folder: give --output a file"):
        refuse_unwritable(str(tmp_path))


def test_a_name_of_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    """What is written is Parquet: as ``.csv`` nobody could read it."""
    with pytest.raises(UsageError, match=r"a name that ends in \.parquet"):
        refuse_unwritable(str(tmp_path / "predictions.csv"))

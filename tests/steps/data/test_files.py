"""Tests of steps/data/files.py: folders, and the paths that no source follows."""

import os
from pathlib import Path

import pytest

from materializers.errors import UsageError
from steps.data.files import SourceLimits, Unreadable, inner_path
from tests.steps.data.deliveries import opened, write_delivery


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A delivery of one file, with a secret beside it."""
    (tmp_path / "secret.png").write_bytes(b"secret")
    rows = [{"image_path": "images/a.png", "label": "books"}]
    return write_delivery(tmp_path / "delivery", rows, {"images/a.png": b"picture"})


def test_a_file_is_read_as_it_is(folder: Path) -> None:
    """The bytes of a file come back unchanged, by its path below the folder."""
    with opened(folder) as source:
        assert source.read("./images/a.png") == b"picture"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "images/../../secret.png",
        "/etc/passwd",
        "..\\secret.png",
        "C:\\secret.png",
        "a\0.png",
    ],
)
def test_a_path_that_leaves_the_source_refuses_the_delivery(folder: Path, path: str) -> None:
    """Climbing and absolute paths are wrong use, not one bad picture."""
    with opened(folder) as source, pytest.raises(UsageError, match="refused as a whole"):
        source.read(path)


def test_a_link_that_leaves_the_folder_refuses_the_delivery(folder: Path) -> None:
    """What counts is where a path ends: through a linked file or a linked folder."""
    (folder / "images/link.png").symlink_to(folder.parent / "secret.png")
    (folder / "elsewhere").symlink_to(folder.parent)
    with opened(folder) as source:
        for path in ("images/link.png", "elsewhere/secret.png"):
            with pytest.raises(UsageError, match="link that leads out"):
                source.read(path)


def test_a_link_that_stays_inside_is_followed(folder: Path) -> None:
    """Links inside a delivery are as good as files."""
    (folder / "link.png").symlink_to("images/a.png")
    with opened(folder) as source:
        assert source.read("link.png") == b"picture"


def test_a_labels_file_that_is_a_link_out_refuses_the_delivery(folder: Path) -> None:
    """labels.csv itself is held to the same rule."""
    (folder / "labels.csv").unlink()
    (folder / "labels.csv").symlink_to(folder.parent / "secret.png")
    with opened(folder) as source, pytest.raises(UsageError, match="link that leads out"):
        source.labels()


def test_what_is_no_file_is_missing(folder: Path) -> None:
    """A folder, a pipe and a name that is not there give no bytes and do not block."""
    os.mkfifo(folder / "pipe.png")
    with opened(folder) as source:
        for path in ("images", "pipe.png", "absent.png"):
            with pytest.raises(Unreadable) as error:
                source.read(path)
            assert error.value.reason == "missing"


def test_a_link_in_a_circle_is_one_unreadable_picture(folder: Path) -> None:
    """A broken file system entry concerns its picture alone."""
    (folder / "circle.png").symlink_to("circle.png")
    with opened(folder) as source, pytest.raises(Unreadable):
        source.read("circle.png")


def test_a_file_over_the_limit_is_not_read(folder: Path) -> None:
    """The size is refused with both numbers."""
    limits = SourceLimits(picture_bytes=6, labels_bytes=1_000)
    with opened(folder, limits) as source:
        with pytest.raises(Unreadable, match="7 bytes; the limit is 6") as error:
            source.read("images/a.png")
        assert error.value.reason == "too_many_bytes"
        assert source.labels().startswith(b"image_path")


def test_a_source_without_labels_is_wrong_use(tmp_path: Path) -> None:
    """A folder of pictures alone says what is missing."""
    with opened(tmp_path) as source, pytest.raises(UsageError, match=r"labels\.csv: there is no such file"):
        source.labels()


def test_inner_paths_lose_their_leading_dot() -> None:
    """Two spellings of one path are one path."""
    assert inner_path("./images//a.png", "x") == "images/a.png"

"""Tests of steps/data/files.py: folders, and the paths that no source follows."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from materializers.errors import UsageError
from steps.data.files import FolderSource, SourceLimits, Unreadable, inner_path
from tests.steps.data.deliveries import LIMITS, opened, screened, sorted_into_folders, write_delivery


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
        source.rows()


@pytest.mark.parametrize(
    ("path", "reason"), [("images", "unreadable"), ("pipe.png", "unreadable"), ("absent.png", "missing")]
)
def test_what_is_no_file_gives_no_bytes(folder: Path, path: str, reason: str) -> None:
    """A folder and a pipe do not block, and are not called absent."""
    os.mkfifo(folder / "pipe.png")
    with opened(folder) as source:
        with pytest.raises(Unreadable) as error:
            source.read(path)
        assert error.value.reason == reason


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
        assert len(source.rows().rows) == 1


def test_a_source_without_labels_is_wrong_use(tmp_path: Path) -> None:
    """A folder without labels and pictures says what is missing."""
    with opened(tmp_path) as source, pytest.raises(UsageError, match=r"labels\.csv: there is no such file"):
        source.rows()


def test_a_labels_file_that_is_no_file_is_wrong_use(tmp_path: Path) -> None:
    """A folder of that name is not taken for its absence."""
    (tmp_path / "labels.csv").mkdir()
    with opened(tmp_path) as source, pytest.raises(UsageError, match=r"labels\.csv: it is no regular file"):
        source.rows()


@pytest.mark.parametrize(
    "path", ["./images//a.png", "images/./a.png", "images//a.png", "images/a.png/", "images/a.png"]
)
def test_the_spellings_of_one_path_are_one_path(path: str) -> None:
    """Dots and slashes that say nothing are left out."""
    assert inner_path(path, "x") == "images/a.png"


def test_a_folder_that_cannot_be_looked_into_refuses_the_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures are not taken for pictures that are not there."""
    folder, scandir = sorted_into_folders(tmp_path), os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("toys"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(UsageError, match=r"cannot be looked into: .*toys"):
        opened(folder)


def later(path: Path, data: bytes | None = None) -> None:
    """Write a file again, with the time of a second later."""
    before = path.stat()
    path.write_bytes(path.read_bytes() if data is None else data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


CHANGES: dict[str, Callable[[Path], object]] = {
    "labels.csv is longer": lambda folder: later(
        folder / "labels.csv", b"image_path,label\nimages/b.png,toys\n"
    ),
    "labels.csv is gone": lambda folder: (folder / "labels.csv").unlink(),
    "a picture is another": lambda folder: later(folder / "images/a.png", b"a later one"),
    "a picture of the same size": lambda folder: later(folder / "images/a.png"),
    "a picture is gone": lambda folder: (folder / "images/a.png").unlink(),
    "a picture that was missing came": lambda folder: (folder / "images/b.png").write_bytes(b"picture"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_delivery_that_changed_after_it_was_read_is_refused_as_a_whole(folder: Path, change: str) -> None:
    """Half of the old and half of the new is nobody's delivery; what was missing may have been on its way."""
    with opened(folder) as source:
        source.rows()
        source.read("images/a.png")
        with pytest.raises(Unreadable):
            source.read("images/b.png")
        source.check_unchanged()
        CHANGES[change](folder)
        with pytest.raises(
            UsageError, match=r"changed while it was read\. Run the same command again"
        ) as error:
            source.check_unchanged()
        assert error.value.exit_code == 2


FOLDER_CHANGES: dict[str, Callable[[Path], object]] = {
    "a picture is another": lambda folder: later(folder / "books/00001.png"),
    "a picture came": lambda folder: (folder / "books/new.png").write_bytes(b"picture"),
    "a picture is gone": lambda folder: (folder / "books/00001.png").unlink(),
    "labels.csv came": lambda folder: (folder / "labels.csv").write_bytes(b"image_path,label\nx.png,toys\n"),
}


@pytest.mark.parametrize("change", FOLDER_CHANGES)
def test_class_folders_that_change_are_refused_as_a_whole(tmp_path: Path, change: str) -> None:
    """What counts is the listing that gave the rows, whether a picture was read already or not."""
    folder = sorted_into_folders(tmp_path)
    with opened(folder) as source:
        source.rows()
        source.check_unchanged()
        FOLDER_CHANGES[change](folder)
        with pytest.raises(UsageError, match="changed while it was read"):
            source.check_unchanged()


@pytest.mark.parametrize("change", ["a picture is another", "a picture is gone"])
def test_a_listed_picture_that_is_not_what_it_was_is_not_read(tmp_path: Path, change: str) -> None:
    """The rest of the delivery need not be read to know."""
    folder = sorted_into_folders(tmp_path)
    with opened(folder) as source:
        source.rows()
        FOLDER_CHANGES[change](folder)
        with pytest.raises(UsageError, match=r"books/00001\.png changed while it was read"):
            source.read("books/00001.png")


def test_what_file_managers_write_beside_the_pictures_is_no_change(tmp_path: Path) -> None:
    """A thumbnail cache appears in any folder that somebody looks into."""
    folder = sorted_into_folders(tmp_path)
    with opened(folder) as source:
        source.rows()
        for name in (".DS_Store", "Thumbs.db", "books/.hidden.png"):
            (folder / name).write_bytes(b"x")
        source.check_unchanged()


def test_a_file_that_grows_while_it_is_read_refuses_the_delivery(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its first and its last byte, too."""
    fstat, picture = os.fstat, folder / "images/a.png"

    def growing(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        if status.st_ino == picture.stat().st_ino:
            with picture.open("ab") as file:
                file.write(b"x")
        return status

    source = FolderSource("shop", folder, LIMITS)
    monkeypatch.setattr(os, "fstat", growing)
    with pytest.raises(UsageError, match="changed while it was read"):
        source.read("images/a.png")


def test_ingest_refuses_a_delivery_that_changes_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that goes on during the run, whatever was read by then."""
    folder = sorted_into_folders(tmp_path)
    read = FolderSource.read

    def read_while_it_changes(self: FolderSource, path: str) -> bytes:
        data = read(self, path)
        if path == "toys/00008.png":
            later(folder / "books/00001.png")
        return data

    monkeypatch.setattr(FolderSource, "read", read_while_it_changes)
    with pytest.raises(UsageError, match=r"books/00001\.png changed while it was read"):
        screened(folder)

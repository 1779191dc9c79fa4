"""Tests of steps/data/class_folders.py: pictures that lie in the folder of their class."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from materializers.errors import UsageError
from steps.data.class_folders import find_wrapper, label_by_folder, printable
from tests.bucket import BucketServer
from tests.steps.data.deliveries import (
    CLASSES,
    opened,
    photograph,
    screened,
    sorted_into_folders,
    tarred,
    write_delivery,
    zipped,
)


def labelled(*paths: str, folders: tuple[str, ...] = ()) -> dict[str | None, str | None]:
    """Label these paths, and give each row's label by its path."""
    return {row.image_path: row.label for row in label_by_folder("shop", paths, folders).rows}


def test_the_first_folder_below_the_root_is_the_label() -> None:
    """However deep a picture lies; rows come in the order of their paths."""
    assert list(labelled("toys/b.png", "books/2026/november/a.jpg").items()) == [
        ("books/2026/november/a.jpg", "books"),
        ("toys/b.png", "toys"),
    ]


def test_one_class_alone_is_a_delivery() -> None:
    """A supplier may send one kind of product."""
    assert labelled("books/a.png") == {"books/a.png": "books"}


def test_what_is_named_like_a_picture_of_another_kind_gets_a_row() -> None:
    """So that screening sets it aside with a reason: a folder of HEIC files is not lost in silence."""
    assert labelled("books/a.HEIC", "books/b.png", "books/notes.txt") == {
        "books/a.HEIC": "books",
        "books/b.png": "books",
    }


def test_files_that_programs_leave_behind_are_passed_over() -> None:
    """Such as the second tree that macOS packs, with the names of the pictures and no picture in them."""
    assert labelled("books/a.png", "__MACOSX/books/._a.png", "books/.b.png", ".cache/c.png") == {
        "books/a.png": "books"
    }


@pytest.mark.parametrize(
    ("paths", "folders", "said"),
    [
        ((), (), "no folder of it holds a picture"),
        (("readme.txt", "books/readme.txt"), ("books",), "no folder of it holds a picture"),
        (
            ("a.png", "b.png", "books/c.png"),
            ("books",),
            "not each picture is in a folder (2 pictures, such as a.png)",
        ),
        (("books/c.png",), ("books", "toys", "games"), "2 folders without a picture, such as games"),
    ],
)
def test_what_is_no_such_layout_is_wrong_use(
    paths: tuple[str, ...], folders: tuple[str, ...], said: str
) -> None:
    """The line says what was found and how a delivery is labelled."""
    with pytest.raises(UsageError) as refused:
        labelled(*paths, folders=folders)
    assert said in str(refused.value)
    assert "labels.csv" in str(refused.value)


def test_an_umlaut_of_macos_is_the_umlaut_of_the_configuration() -> None:
    """Its archives spell ``ü`` in two characters."""
    folder = unicodedata.normalize("NFD", "bücher")
    assert folder != "bücher"
    assert labelled(f"{folder}/a.png") == {f"{folder}/a.png": "bücher"}


@pytest.mark.parametrize(
    ("paths", "wrapper"),
    [
        (("shop/books/a.png", "shop/toys/b.png", "shop/readme.txt", "__MACOSX/shop/._a.png"), "shop"),
        (("books/a.png", "books/b.png"), None),
        (("books/a.png", "books/more/b.png"), None),
        (("books/1/a.png", "toys/1/b.png"), None),
        (("readme.txt",), None),
        ((), None),
    ],
)
def test_one_folder_around_all_class_folders_is_no_class(paths: tuple[str, ...], wrapper: str | None) -> None:
    """As long as no picture lies in it directly."""
    assert find_wrapper(paths) == wrapper


def test_class_folders_have_one_version_on_disk_in_archives_and_in_a_bucket(
    tmp_path: Path, bucket: BucketServer
) -> None:
    """And it is the version of the same pictures with labels.csv; sources name the same places."""
    folder = sorted_into_folders(tmp_path / "folder")
    numbers = range(9)
    rows = [{"image_path": f"{number}.png", "label": CLASSES[number % 3]} for number in numbers]
    named = write_delivery(
        tmp_path / "named", rows, {f"{number}.png": photograph(number) for number in numbers}
    )
    version = screened(named)[0].version
    sources = ["shop/books/00001.png", "shop/books/00004.png", "shop/books/00007.png"]
    for address in (
        folder,
        zipped(folder, tmp_path / "plain.zip"),
        zipped(folder, tmp_path / "wrapped.zip", "delivery/"),
        tarred(folder, tmp_path / "plain.tar"),
        tarred(folder, tmp_path / "wrapped.tar.gz", "delivery"),
        bucket.upload(folder, "class-folders"),
        bucket.upload(zipped(folder, tmp_path / "up" / "wrapped.zip", "delivery/").parent, "packed")
        + "/wrapped.zip",
    ):
        dataset, screening = screened(address)
        assert (dataset.version, screening.rows, screening.set_aside) == (version, 9, ()), address
        index = dataset.index
        assert sorted(index[index["label"] == "books"]["source"]) == sources, address


def test_a_folder_with_labels_csv_is_labelled_by_it(tmp_path: Path) -> None:
    """Even when its folders could be classes."""
    folder = sorted_into_folders(tmp_path / "folder")
    (folder / "labels.csv").write_text("image_path,label\nbooks/00001.png,toys\n")
    with opened(folder) as source:
        assert [(row.image_path, row.label) for row in source.rows().rows] == [("books/00001.png", "toys")]


def test_an_empty_class_folder_refuses_the_delivery(tmp_path: Path, bucket: BucketServer) -> None:
    """On disk, in archives and where a console made the folder in a bucket."""
    folder = sorted_into_folders(tmp_path / "folder")
    (folder / "games").mkdir()
    address = bucket.upload(folder, "empty-class")
    bucket.client.put_object(Bucket="deliveries", Key="empty-class/games/", Body=b"")
    for each in (
        folder,
        zipped(folder, tmp_path / "d.zip", "delivery/"),
        tarred(folder, tmp_path / "d.tar.gz", "delivery"),
        address,
    ):
        with (
            opened(each) as source,
            pytest.raises(UsageError, match="1 folder without a picture, such as games"),
        ):
            source.rows()


def test_names_that_are_not_utf8_are_read_and_can_be_stored(tmp_path: Path) -> None:
    """On disk and in a .tar; the dataset's index is text."""
    folder = sorted_into_folders(tmp_path / "folder")
    os.rename(os.fsencode(folder / "books" / "00001.png"), os.fsencode(folder / "books") + b"/caf\xe9.png")  # noqa: PTH104 - bytes
    for address in (folder, tarred(folder, tmp_path / "d.tar")):
        dataset, screening = screened(address)
        assert screening.set_aside == ()
        assert "shop/books/caf\\xe9.png" in set(dataset.index["source"])
    assert printable("caf\udce9") == "caf\\xe9"


def test_two_pictures_that_are_written_alike_refuse_the_delivery(tmp_path: Path) -> None:
    """A name of bytes that are not UTF-8 is written as another file is called: no row could be of both."""
    folder = os.fsencode(sorted_into_folders(tmp_path / "delivery")) + b"/books/"
    for number, name in enumerate((b"\xff.png", rb"\xff.png")):
        with open(folder + name, "wb") as file:  # noqa: PTH123 - a Path cannot name these bytes
            file.write(photograph(50 + number))
    with pytest.raises(UsageError) as refused:
        screened(tmp_path / "delivery")
    assert r"2 of its pictures are written books/\xff.png" in str(refused.value)
    assert "rename it" in str(refused.value)
    os.rename(folder + b"\xff.png", folder + b"renamed.png")  # noqa: PTH104
    dataset, _ = screened(tmp_path / "delivery")
    assert len(dataset) == 3 * len(CLASSES) + 2


def test_names_that_differ_in_what_is_not_text_are_told_apart() -> None:
    """Also where each of the two has such bytes: it is the written name that has to differ."""
    paths = [os.fsdecode(name) for name in (b"books/\\xff\xfe.png", b"books/\xff\\xfe.png")]
    with pytest.raises(UsageError, match="2 of its pictures are written"):
        labelled(*paths)

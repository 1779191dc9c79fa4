"""Pictures without ``labels.csv``: each lies in a folder that is named after its class."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from materializers.errors import UsageError
from materializers.report import counted
from steps.data.labels import LABELS_FILE, Labels, Row

LIKE_PICTURES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")
)
"""Files that get a row. Those that are not taken as pictures are set aside with a reason, not passed over."""
BY_SYSTEMS = "__MACOSX"
"""A folder that macOS adds to archives, with something else than pictures under the pictures' names."""


def label_by_folder(address: str, paths: Iterable[str], folders: Iterable[str]) -> Labels:
    """One row a picture: its label is the first folder below the root, however deep it lies in it.

    Hidden files and folders, and files that are not named like pictures, are passed over.

    Args:
        address: what the user calls the delivery.
        paths: of all its files, below its root.
        folders: those directly below the root that are known of even when they are empty.

    Returns:
        Rows in the order of their paths. What cannot be stored as text is written as :func:`printable` does.

    Raises:
        UsageError: there is no picture, a picture lies in no folder, a folder holds none, or two paths are
            written alike.
    """
    found = sorted(path for path in paths if is_picture(path))
    beside = [path for path in found if "/" not in path]
    if not found or beside:
        missing = "no folder of it holds a picture" if not found else _lie_beside(beside)
        raise UsageError(
            f"{address}: {LABELS_FILE}: there is no such file, and {missing}. Put {LABELS_FILE} "
            "(image_path,label) beside the pictures, or each picture into a folder named after its class."
        )
    empty = sorted({name for name in folders if not is_hidden(name)} - {path.split("/")[0] for path in found})
    if empty:
        raise UsageError(
            f"{address} is refused as a whole: without {LABELS_FILE} each folder is a class; "
            f"{counted(len(empty), 'folder')} without a picture, such as {printable(empty[0])}. Upload its "
            "pictures, or remove it."
        )
    _refuse_written_alike(address, found)
    return Labels(("image_path", "label"), [_row(path) for path in found])


def find_wrapper(paths: Collection[str]) -> str | None:
    """The one folder around all class folders, which many tools pack; it is no class itself.

    Args:
        paths: of all files of an archive.
    """
    pictures = [PurePosixPath(path).parts for path in paths if is_picture(path)]
    tops = {parts[0] for parts in pictures}
    if len(tops) == 1 and all(len(parts) > 2 for parts in pictures):  # noqa: PLR2004 - wrapper, class, picture
        return tops.pop()
    return None


def is_picture(path: str) -> bool:
    """Whether a file gets a row."""
    return PurePosixPath(path).suffix.lower() in LIKE_PICTURES and not is_hidden(path)


def is_hidden(path: str) -> bool:
    """Whether a file or folder is some program's own: its name, or that of a folder around it, says so."""
    return any(part.startswith(".") or part == BY_SYSTEMS for part in path.split("/"))


def printable(path: str) -> str:
    """``path`` as text that can be stored: bytes of a name that is not UTF-8 are written ``\\xff``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _refuse_written_alike(address: str, paths: list[str]) -> None:
    """Raise where a name that is not UTF-8 is written as another file is called: one row would be of both."""
    for written, count in Counter(map(printable, paths)).items():
        if count > 1:
            raise UsageError(
                f"{address} is refused as a whole: {count:,} of its pictures are written {written}; each "
                "needs a path of its own. The name of one has bytes that are not UTF-8: rename it."
            )


def _lie_beside(paths: list[str]) -> str:
    return (
        f"not each picture is in a folder ({counted(len(paths), 'picture')}, such as {printable(paths[0])})"
    )


def _row(path: str) -> Row:
    # Archives that macOS packed spell an umlaut in two characters; configured classes are typed in one.
    label = unicodedata.normalize("NFC", printable(path.partition("/")[0]))
    return Row(image_path=printable(path), label=label)

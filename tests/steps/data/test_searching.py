"""Tests of steps/data/searching.py: what is found in the deliveries that a store keeps, and what is told."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers.blobs import write_blob
from materializers.erasure import PassedOver
from materializers.shards import picture_digest
from materializers.traces import fingerprints
from serving.strip_metadata import strip_metadata
from steps.data import searching
from steps.data.files import SourceLimits
from steps.data.searching import Found, search_store
from tests.materializers.conftest import bucket_store, disk, store
from tests.serving.pictures import encode, gradient
from tests.steps.data.deliveries import tarred, write_delivery, write_parquet, zipped
from tests.steps.data.planted import planted_jpeg

__all__ = ["bucket_store", "disk", "store"]

PLAIN = encode(Image.new("RGB", (64, 64), "white"), "JPEG", comment=b"a letter")
"""Without a fingerprint: it is known by its digests alone."""
TELLING = planted_jpeg(1, gradient(90, 70)).data
KINDS = (
    "delivery.zip",
    "delivery.tar",
    "delivery.tar.gz",
    "delivery.tgz",
    "delivery.tar.bz2",
    "delivery.tar.xz",
)
PLACE = f"deliveries/{'0' * 32}"


def delivered(folder: Path, *pictures: bytes) -> Path:
    """A delivery of some pictures, and an old one of other names."""
    paths = {f"images/{number}.jpg": data for number, data in enumerate(pictures)}
    rows = [{"image_path": path, "label": "toys"} for path in paths]
    return write_delivery(folder, rows, paths)


def kept(store: BaseArtifactStore, path: Path) -> str:
    """Bring a file to a store as deliveries are; its path below the root."""
    write_blob(store, f"{store.path}/{PLACE}/{path.name}", path.read_bytes())
    return f"{PLACE}/{path.name}"


def packed(folder: Path, target: Path) -> Path:
    """Pack a folder as the name says, compressed."""
    if target.suffix != ".zip":
        return tarred(folder, target)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, str(path.relative_to(folder)))
    return target


def search(store: BaseArtifactStore, data: bytes) -> Found:
    """Search for a picture that was delivered as these bytes, by what is known of it as it is stored."""
    stored = strip_metadata(data).data
    return search_store(store, fingerprints(stored), {picture_digest(stored)})


@pytest.mark.parametrize("data", [TELLING, PLAIN], ids=["with a fingerprint", "plain"])
@pytest.mark.parametrize("name", KINDS)
def test_a_picture_is_found_in_every_kind_of_archive(
    tmp_path: Path, disk: LocalArtifactStore, name: str, data: bytes
) -> None:
    """As it was delivered, metadata and all; an archive without it is searched as well."""
    place = kept(
        disk, packed(delivered(tmp_path / "folder", encode(gradient(50, 50)), data), tmp_path / name)
    )
    found = search(disk, data)
    assert (found.places, found.passed_over) == ((place,), ())
    other = search(disk, planted_jpeg(2, gradient(80, 60, 2)).data)
    assert (other.places, other.archives, other.passed_over) == ((), 1, ())


def packed_one_by_one(target: Path, *members: tuple[str, bytes]) -> Path:
    """Pack members in this order, whatever their names; the name says how."""
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)
        return target
    with tarfile.open(target, "w:gz") as tar:
        for name, data in members:
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return target


OTHER = encode(gradient(50, 50))
LABELS = b"image_path,label\na.png,toys\n"


@pytest.mark.parametrize("name", ["delivery.zip", "delivery.tar.gz"])
def test_a_picture_beside_the_one_top_folder_is_found(
    tmp_path: Path, disk: LocalArtifactStore, name: str
) -> None:
    """The delivery has only what lies in the folder of labels.csv; the archive has the picture, too."""
    members = ("top/labels.csv", LABELS), ("top/a.png", OTHER), ("extra/b.jpg", PLAIN)
    place = kept(disk, packed_one_by_one(tmp_path / name, *members))
    assert search(disk, PLAIN).places == (place,)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["delivery.zip", "delivery.tar.gz"])
def test_a_picture_that_a_later_member_of_its_name_replaces_is_found(
    tmp_path: Path, disk: LocalArtifactStore, name: str
) -> None:
    """As when somebody appends to an archive: the earlier bytes stay in it."""
    members = ("labels.csv", LABELS), ("a.png", PLAIN), ("a.png", OTHER)
    place = kept(disk, packed_one_by_one(tmp_path / name, *members))
    assert search(disk, PLAIN).places == (place,)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["delivery.zip", "delivery.tar.gz"])
def test_a_picture_beside_a_table_in_an_archive_is_found(
    tmp_path: Path, disk: LocalArtifactStore, name: str
) -> None:
    """Under a name that says no picture; a table that a later one replaces is told, as it is not opened."""
    rows = {"image": [OTHER], "label": ["toys"]}
    table = write_parquet(tmp_path / "a.parquet", rows).read_bytes()
    beside = kept(disk, packed_one_by_one(tmp_path / name, ("a.parquet", table), ("b", PLAIN)))
    assert search(disk, PLAIN).places == (beside,)
    twice = kept(disk, packed_one_by_one(tmp_path / f"2{name}", ("a.parquet", table), ("a.parquet", table)))
    (passed,) = search(disk, TELLING).passed_over
    assert (passed.place, passed.number) == (twice, 1)


def test_a_picture_is_found_in_an_archive_of_a_bucket(
    tmp_path: Path, bucket_store: BaseArtifactStore
) -> None:
    """It is copied to this machine for as long as it is looked into."""
    folder = delivered(tmp_path / "folder", PLAIN)
    place = kept(bucket_store, packed(folder, tmp_path / "delivery.tar.gz"))
    assert search(bucket_store, PLAIN).places == (place,)


@pytest.mark.parametrize("packing", [None, zipped])
def test_a_picture_is_found_in_a_table(
    tmp_path: Path, disk: LocalArtifactStore, packing: Callable[[Path, Path], Path] | None
) -> None:
    """Whose pages are compressed, alone and in an archive."""
    rows = {"image": [encode(gradient(50, 50)), PLAIN], "label": ["toys", "books"]}
    path = write_parquet(tmp_path / "folder" / "delivery.parquet", rows, compression="zstd")
    place = kept(disk, path if packing is None else packing(path.parent, tmp_path / "delivery.zip"))
    assert search(disk, PLAIN).places == (place,)


def test_what_lies_elsewhere_is_not_opened(tmp_path: Path, disk: LocalArtifactStore) -> None:
    """Only deliveries are brought to a store as archives."""
    archive = packed(delivered(tmp_path / "folder", PLAIN), tmp_path / "delivery.tar.gz")
    write_blob(disk, f"{disk.path}/notes/delivery.tar.gz", archive.read_bytes())
    assert (search(disk, PLAIN).places, search(disk, PLAIN).archives) == ((), 0)


def test_an_archive_that_cannot_be_read_is_told(tmp_path: Path, disk: LocalArtifactStore) -> None:
    """Cut short, no archive at all, or with a link: it is named with the reason, and the rest is searched."""
    whole = packed(delivered(tmp_path / "folder", TELLING), tmp_path / "whole.tar.gz")
    (tmp_path / "cut.tar.gz").write_bytes(whole.read_bytes()[:-200])
    (tmp_path / "text.zip").write_bytes(b"no archive")
    places = [kept(disk, tmp_path / name) for name in ("cut.tar.gz", "text.zip", "whole.tar.gz")]
    found = search(disk, TELLING)
    assert found.places[-1] == places[-1]
    assert {each.place for each in found.passed_over} == set(places[:2]) - set(found.places)
    assert all("cut short" in each.why for each in found.passed_over)


def test_an_archive_that_unpacks_to_more_than_the_limit_is_told(
    tmp_path: Path, disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bomb is not unpacked beyond it, whether it is one member or many."""
    monkeypatch.setattr(searching, "LIMITS", SourceLimits(picture_bytes=1_000_000, unpacked_bytes=3_000_000))
    folder = delivered(tmp_path / "many", *(bytes([n]) * 900_000 for n in range(4)))
    places = [kept(disk, packed(folder, tmp_path / f"many{kind}")) for kind in (".zip", ".tar.gz", ".tar.xz")]
    found = search(disk, PLAIN)
    assert found.places == ()
    assert [each.place for each in found.passed_over] == sorted(places)
    assert all("and the limit is 3,000,000" in each.why for each in found.passed_over)
    large = delivered(tmp_path / "large", b"x" * 2_000_000, PLAIN)
    place = kept(disk, packed(large, tmp_path / "a-large.zip"))
    (passed, *_) = search(disk, TELLING).passed_over
    assert passed == PassedOver(
        place=place, number=1, why="images/0.jpg: the file has 2,000,000 bytes; the limit is 1,000,000"
    )
    assert search(disk, PLAIN).places == (place,)


def test_an_archive_inside_an_archive_is_told(tmp_path: Path, disk: LocalArtifactStore) -> None:
    """No delivery is read from there, so nobody unpacks it; that it may hold a picture is said."""
    outer = delivered(tmp_path / "outer", TELLING)
    packed(delivered(tmp_path / "inner", PLAIN), outer / "more.tar.gz")
    place = kept(disk, packed(outer, tmp_path / "delivery.zip"))
    (passed,) = search(disk, PLAIN).passed_over
    assert (passed.place, passed.number) == (place, 1)
    assert passed.why == "more.tar.gz: what is packed inside an archive is not unpacked"

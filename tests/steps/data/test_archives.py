"""Tests of steps/data/archives.py."""

import contextlib
import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from materializers.errors import UsageError
from steps.data.files import SourceLimits, Unreadable
from tests.steps.data.deliveries import good_delivery, opened, photograph, screened, tarred, zipped

KINDS = (
    "delivery.zip",
    "delivery.tar",
    "delivery.tar.gz",
    "delivery.tgz",
    "delivery.tar.bz2",
    "delivery.tar.xz",
)
LABELS = b"image_path,label\na.png,books\n"


def packed(folder: Path, target: Path, top: str) -> Path:
    """Pack a folder as the target's name says, below ``top`` (empty: at the root)."""
    if target.suffix == ".zip":
        return zipped(folder, target, f"{top}/" if top else "")
    return tarred(folder, target, top or ".")


@pytest.mark.parametrize("top", ["", "delivery-2026"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_archive_gives_the_version_of_its_folder(tmp_path: Path, name: str, top: str) -> None:
    """However a delivery is packed, with a folder around it or not, its data has one version."""
    folder = good_delivery(tmp_path / "folder", per_class=3)
    dataset, screening = screened(packed(folder, tmp_path / name, top))
    assert dataset.version == screened(folder)[0].version
    assert screening.set_aside == ()


@pytest.mark.parametrize("name", KINDS)
def test_text_named_like_an_archive_is_wrong_use(tmp_path: Path, name: str) -> None:
    """The name does not make an archive."""
    (tmp_path / name).write_text("this is no archive\n" * 100)
    with pytest.raises(UsageError, match=r"is no (zip|tar) archive, or cut short"):
        opened(tmp_path / name)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_an_archive_that_is_cut_short_is_wrong_use(tmp_path: Path, name: str, kept: float) -> None:
    """A broken upload is not taken for a smaller delivery."""
    archive = packed(good_delivery(tmp_path / "folder", per_class=20), tmp_path / name, "")
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UsageError, match=r"is no (zip|tar) archive, or cut short"):
        opened(archive)


@pytest.mark.parametrize("name", ["delivery.zip", "delivery.tar.gz", "delivery.tar.xz"])
def test_an_archive_is_not_unpacked_beyond_the_limit(tmp_path: Path, name: str) -> None:
    """Thousands of times its size may be in it, also behind the last member of a tar."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.png").write_bytes(bytes(100_000))
    archive = packed(folder, tmp_path / name, "")
    if name == "delivery.tar.gz":
        plain = packed(good_delivery(tmp_path / "good", per_class=1), tmp_path / "good.tar", "")
        archive.write_bytes(gzip.compress(plain.read_bytes() + bytes(3_000_000)))
    with pytest.raises(
        UsageError, match=r"unpacked it has .* bytes, and the limit is 1,000,000. Deliver it in"
    ):
        opened(archive, SourceLimits(unpacked_bytes=1_000_000))
    assert opened(archive, SourceLimits(unpacked_bytes=4_000_000)).pictures()


COMPRESSED = [name for name in KINDS if name not in ("delivery.zip", "delivery.tar")]


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("lost", [1, 4, 8])
def test_a_compressed_tar_without_its_last_bytes_is_wrong_use(tmp_path: Path, name: str, lost: int) -> None:
    """What is lost may be the check sum alone, after the last member."""
    archive = packed(good_delivery(tmp_path / "folder", per_class=2), tmp_path / name, "")
    archive.write_bytes(archive.read_bytes()[:-lost])
    with pytest.raises(UsageError, match="is no tar archive, or cut short"):
        opened(archive)


def test_a_compressed_tar_with_a_wrong_check_sum_is_wrong_use(tmp_path: Path) -> None:
    """Gzip keeps a CRC of the unpacked bytes in front of the last four."""
    archive = packed(good_delivery(tmp_path / "folder", per_class=2), tmp_path / "delivery.tar.gz", "")
    data = bytearray(archive.read_bytes())
    data[-8] ^= 1
    archive.write_bytes(data)
    with pytest.raises(UsageError, match="CRC"):
        opened(archive)


def test_a_tar_cut_between_two_members_and_then_compressed_is_wrong_use(tmp_path: Path) -> None:
    """The check sum of a whole stream says nothing of the tar inside."""
    plain = packed(good_delivery(tmp_path / "folder", per_class=2), tmp_path / "delivery.tar", "")
    with tarfile.open(plain) as members:
        last = members.getmembers()[-1].offset
    archive = tmp_path / "delivery.tar.gz"
    archive.write_bytes(gzip.compress(plain.read_bytes()[:last]))
    with pytest.raises(UsageError, match="end marker"):
        opened(archive)


@pytest.mark.parametrize("name", ["delivery.zip", "delivery.tar", "delivery.tar.gz"])
def test_no_damage_of_an_archive_is_more_than_wrong_use_or_a_bad_picture(tmp_path: Path, name: str) -> None:
    """200 times, three bytes changed at random: one of our own errors or a reading, and nothing else."""
    good = packed(good_delivery(tmp_path / "folder", per_class=1), tmp_path / name, "").read_bytes()
    draw = np.random.default_rng(0)
    archive, refused = tmp_path / f"damaged-{name}", 0
    for _ in range(200):
        data = bytearray(good)
        for _ in range(3):
            data[draw.integers(len(data))] = draw.integers(256)
        archive.write_bytes(data)
        try:
            with opened(archive) as source:
                for path in source.pictures():
                    with contextlib.suppress(Unreadable):
                        source.read(path)
        except UsageError:
            refused += 1
    assert refused


def test_a_tar_whose_header_is_no_number_is_wrong_use(tmp_path: Path) -> None:
    """A PAX header that speaks of a sparse file in letters."""
    path = tmp_path / "delivery.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a.png")
        member.pax_headers = {"GNU.sparse.map": "a,b", "GNU.sparse.size": "x"}
        archive.addfile(member)
    with pytest.raises(UsageError, match="is no tar archive"):
        opened(path)


def test_a_zip_whose_local_header_is_damaged_loses_that_picture(tmp_path: Path) -> None:
    """A local name marked as UTF-8 that is none."""
    folder = good_delivery(tmp_path / "folder", per_class=2)
    path = zipped(folder, tmp_path / "delivery.zip")
    data = bytearray(path.read_bytes())
    start = data.index(b"images/00001.png") - 30  # its local header
    data[start + 7] |= 0x08  # flag bit 11: the name is UTF-8
    data[start + 30] = 0xFF
    path.write_bytes(data)
    with opened(path) as source, pytest.raises(Unreadable):
        source.read("images/00001.png")


def test_a_tar_cut_between_two_members_is_wrong_use(tmp_path: Path) -> None:
    """Without its end marker, a tar is cut short even when the last member is whole."""
    archive = packed(good_delivery(tmp_path / "folder", per_class=2), tmp_path / "delivery.tar", "")
    with tarfile.open(archive) as members:
        last = members.getmembers()[-1].offset
    archive.write_bytes(archive.read_bytes()[:last])
    with pytest.raises(UsageError, match="end marker"):
        opened(archive)


@pytest.mark.parametrize("name", ["../outside.png", "/etc/outside.png", "images/../../outside.png"])
def test_a_zip_member_that_leads_out_refuses_the_delivery(tmp_path: Path, name: str) -> None:
    """Such a member is refused even when labels.csv does not name it."""
    with zipfile.ZipFile(tmp_path / "delivery.zip", "w") as archive:
        archive.writestr("labels.csv", LABELS)
        archive.writestr(name, b"x")
    with pytest.raises(UsageError, match="refused as a whole"):
        opened(tmp_path / "delivery.zip")


def test_a_link_in_a_zip_refuses_the_delivery(tmp_path: Path) -> None:
    """A .zip can hold symbolic links; a delivery may not."""
    with zipfile.ZipFile(tmp_path / "delivery.zip", "w") as archive:
        archive.writestr("labels.csv", LABELS)
        link = zipfile.ZipInfo("a.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UsageError, match=r"'a\.png' is a link"):
        opened(tmp_path / "delivery.zip")


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """Describe a member of a tar."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: member("../outside.png"),
        lambda: member("/etc/outside.png"),
        lambda: member("a.png", tarfile.SYMTYPE, "/etc/passwd"),
        lambda: member("a.png", tarfile.LNKTYPE, "labels.csv"),
        lambda: member("a.png", tarfile.CHRTYPE),
        lambda: member("a.png", tarfile.FIFOTYPE),
    ],
    ids=["climbing", "absolute", "symbolic link", "hard link", "device", "pipe"],
)
def test_a_tar_member_that_is_no_file_inside_refuses_the_delivery(
    tmp_path: Path, suffix: str, make: Callable[[], tarfile.TarInfo]
) -> None:
    """Links, devices and names that lead out are refused before anything is read."""
    path = tmp_path / f"delivery{suffix}"
    with tarfile.open(path, "w:gz" if suffix == ".tar.gz" else "w") as archive:
        labels = member("labels.csv")
        labels.size = len(LABELS)
        archive.addfile(labels, io.BytesIO(LABELS))
        archive.addfile(make())
    with pytest.raises(UsageError, match="refused as a whole"):
        opened(path)


@pytest.mark.parametrize("name", ["delivery.zip", "delivery.tar", "delivery.tar.gz"])
def test_a_member_over_the_limit_is_set_aside_unread(tmp_path: Path, name: str) -> None:
    """A bomb of zeros that packs to nothing is refused by its declared size; its neighbours are read."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "labels.csv").write_bytes(LABELS)
    (folder / "bomb.png").write_bytes(bytes(2_000_000))
    (folder / "a.png").write_bytes(b"picture")
    path = tmp_path / name
    if name == "delivery.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, file.name)
    else:
        tarred(folder, path)
    with opened(path, SourceLimits(picture_bytes=1_000_000, labels_bytes=1_000)) as source:
        with pytest.raises(Unreadable, match="2,000,000 bytes; the limit is 1,000,000") as error:
            source.read("bomb.png")
        assert error.value.reason == "too_many_bytes"
        assert source.read("a.png") == b"picture"


def test_a_zip_that_lies_about_a_size_is_not_unpacked_past_it(tmp_path: Path) -> None:
    """The declared size bounds what is read; the mismatch makes the picture a damaged one."""
    path = tmp_path / "delivery.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(5_000_000))
    declared, lie = (5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(declared, lie))
    with opened(path) as source, pytest.raises(Unreadable) as error:
        source.read("a.png")
    assert error.value.reason == "truncated"


def test_a_damaged_member_is_one_bad_picture(tmp_path: Path) -> None:
    """A wrong checksum in the archive sets its picture aside and no other."""
    folder = good_delivery(tmp_path / "folder", per_class=2)
    path = zipped(folder, tmp_path / "delivery.zip")
    victim = (folder / "images/00001.png").read_bytes()
    path.write_bytes(path.read_bytes().replace(victim, victim[:-5] + b"XXXXX"))
    dataset, screening = screened(path)
    assert [(each.path, each.reason) for each in screening.set_aside] == [("images/00001.png", "truncated")]
    assert len(dataset) == 5


def test_an_encrypted_zip_is_wrong_use(tmp_path: Path) -> None:
    """Nobody is asked for a password in the middle of a run."""
    path = zipped(good_delivery(tmp_path / "folder", per_class=1), tmp_path / "delivery.zip")
    data = bytearray(path.read_bytes())
    flags = data.index(b"PK\x01\x02") + 8
    data[flags] |= 1
    path.write_bytes(data)
    with pytest.raises(UsageError, match="encrypted"):
        opened(path)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("gone", [False, True])
def test_an_archive_that_changes_while_it_is_read_is_refused(tmp_path: Path, name: str, gone: bool) -> None:
    """Replaced, or taken away: what was read of it was another delivery."""
    archive = packed(good_delivery(tmp_path / "folder", per_class=1), tmp_path / name, "")
    with opened(archive) as source:
        source.read(str(source.rows().rows[0].image_path))
        source.check_unchanged()
        archive.unlink()
        if not gone:
            packed(good_delivery(tmp_path / "later", per_class=2), archive, "")
        with pytest.raises(UsageError, match="changed while it was read"):
            source.check_unchanged()


def nameless(target: Path, name: str) -> Path:
    """An archive with a good picture, its labels.csv, and a file that is called ``name``."""
    files = {"labels.csv": LABELS, "a.png": photograph(0), name: b"whose?"}
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path, data in files.items():
                archive.writestr(zipfile.ZipInfo(path), data)
        return target
    with tarfile.open(target, "w:gz" if target.suffix == ".gz" else "w") as tar:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return target


@pytest.mark.parametrize("name", ["", "."])
@pytest.mark.parametrize("kind", ["delivery.zip", "delivery.tar", "delivery.tar.gz"])
def test_a_member_without_a_name_refuses_the_delivery(tmp_path: Path, kind: str, name: str) -> None:
    """It is told in one line, as any other member that does not belong there."""
    with pytest.raises(UsageError, match=r"refused as a whole: its member '\.?' is a file without a name"):
        opened(nameless(tmp_path / kind, name))

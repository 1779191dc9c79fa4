"""Tests of steps/data/parquet_source.py: deliveries as tables, on disk and on a real S3 server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materializers.errors import UsageError
from steps.data import parquet_source
from steps.data.files import SourceLimits, Unreadable
from tests.bucket import BUCKET, BucketServer
from tests.steps.data.deliveries import (
    CLASSES,
    as_parquet,
    good_delivery,
    opened,
    photograph,
    screened,
    tarred,
    write_parquet,
    zipped,
)


def halves(folder: Path, row_group_size: int | None = None) -> Path:
    """Write ``good_delivery``'s pictures of a folder as two files beside a text, below ``data``."""
    whole = pq.read_table(as_parquet(folder, folder.parent / "whole.parquet"))
    target = folder.parent / "halves"
    (target / "data").mkdir(parents=True)
    (target / "README.md").write_text("no picture")
    for number, part in enumerate((whole[:10], whole[10:])):
        path = target / "data" / f"train-{number:05d}-of-00002.parquet"
        pq.write_table(part, path, row_group_size=row_group_size)
    return target


@pytest.mark.parametrize("row_group_size", [None, 1, 7])
def test_parquet_has_the_version_of_its_folder(
    tmp_path: Path, bucket: BucketServer, row_group_size: int | None
) -> None:
    """One file or several, on disk, in a bucket or packed, however its rows are grouped."""
    folder = good_delivery(tmp_path / "folder", per_class=10)
    expected, _ = screened(folder)
    single = as_parquet(folder, tmp_path / "up" / "delivery.parquet", row_group_size)
    several = halves(folder, row_group_size)
    prefix = f"parquet-{row_group_size}"
    for address in (
        single,
        several,
        bucket.upload(single.parent, f"{prefix}/single") + "/delivery.parquet",
        bucket.upload(several, f"{prefix}/several"),
        zipped(several, tmp_path / "several.zip"),
        tarred(several, tmp_path / "several.tar"),
        tarred(several, tmp_path / "several.tar.gz"),
    ):
        dataset, screening = screened(address)
        assert (dataset.version, screening.rows, screening.set_aside) == (expected.version, 30, ()), address
        assert dataset.index["source"].tolist() == expected.index["source"].tolist()


def test_a_row_without_a_path_of_its_own_is_named_by_file_and_number(tmp_path: Path) -> None:
    """None, an empty one and one that two rows share say nothing; the number counts within the file."""
    paths = [None, "", "same.png", "own.png", "same.png", "x.parquet#0"]
    pictures = [{"bytes": photograph(number), "path": path} for number, path in enumerate(paths)]
    write_parquet(tmp_path / "x.parquet", {"image": pictures, "label": ["books"] * 6})
    write_parquet(tmp_path / "y.parquet", {"image": [photograph(9)], "label": ["toys"]})
    with opened(tmp_path) as source:
        names = [row.image_path for row in source.rows().rows]
        assert names == [
            *(f"x.parquet#{n}" for n in range(3)),
            "own.png",
            "x.parquet#4",
            "x.parquet#5",
            "y.parquet#0",
        ]
        assert source.pictures() == names
        assert source.read("x.parquet#2") == photograph(2)
        assert source.read("y.parquet#0") == photograph(9)
        assert source.read("own.png") == photograph(3)
        with pytest.raises(Unreadable, match="no row"):
            source.read("same.png")


def test_files_with_different_columns_are_read_together(tmp_path: Path) -> None:
    """What one does not have is missing there."""
    first = {"image": [photograph(0)], "label": ["books"], "price": [7]}
    write_parquet(tmp_path / "a.parquet", first)
    write_parquet(
        tmp_path / "b.parquet",
        {"image": [photograph(1)], "label": ["toys"], "colour": ["red"], "group": ["g"]},
    )
    with opened(tmp_path) as source:
        labels = source.rows()
    assert labels.columns == ("image_path", "label", "group", "price", "colour")
    assert [(row.group, row.extra) for row in labels.rows] == [
        (None, {"price": "7", "colour": None}),
        ("g", {"price": None, "colour": "red"}),
    ]
    assert labels.missing_values() == {"image_path": 0, "label": 0, "group": 1, "price": 1, "colour": 1}


def test_rows_without_a_picture_or_over_the_limit_are_set_aside(tmp_path: Path) -> None:
    """One bad row costs itself alone."""
    pictures = [
        {"bytes": photograph(0), "path": "a.png"},
        {"bytes": None, "path": "elsewhere/of/somebody.png"},
        None,
        {"bytes": bytes(10_000_001), "path": "heavy.png"},
        {"bytes": b"no picture", "path": "text.png"},
        {"bytes": photograph(1), "path": "unlabelled.png"},
    ]
    path = write_parquet(tmp_path / "x.parquet", {"image": pictures, "label": ["books"] * 5 + [None]})
    dataset, screening = screened(path)
    assert [(each.path, each.reason) for each in screening.set_aside] == [
        ("elsewhere/of/somebody.png", "missing"),
        ("x.parquet#2", "missing"),
        ("heavy.png", "too_many_bytes"),
        ("text.png", "not_an_image"),
        ("unlabelled.png", "missing_label"),
    ]
    assert len(dataset) == 1


def test_a_picture_over_the_limit_is_named_with_both_numbers(tmp_path: Path) -> None:
    """As in every other source."""
    path = write_parquet(tmp_path / "x.parquet", {"image": [b"1234567"], "label": ["books"]})
    with opened(path, SourceLimits(picture_bytes=6, labels_bytes=1)) as source:
        source.rows()
        with pytest.raises(Unreadable, match="7 bytes; the limit is 6"):
            source.read("x.parquet#0")


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "a/../../b.png", "C:\\secret.png"])
def test_a_path_that_leads_out_refuses_the_delivery(tmp_path: Path, path: str) -> None:
    """No file is looked for under it; all the same nobody honest writes one."""
    pictures = [{"bytes": photograph(0), "path": path}]
    write_parquet(tmp_path / "x.parquet", {"image": pictures, "label": ["books"]})
    with opened(tmp_path / "x.parquet") as source, pytest.raises(UsageError, match="refused as a whole"):
        source.rows()


def test_a_parquet_file_that_is_a_link_out_refuses_the_delivery(tmp_path: Path) -> None:
    """Whatever is behind it."""
    path = write_parquet(tmp_path / "outside" / "x.parquet", {"image": [photograph(0)], "label": ["books"]})
    (tmp_path / "delivery").mkdir()
    (tmp_path / "delivery" / "x.parquet").symlink_to(path)
    with opened(tmp_path / "delivery") as source, pytest.raises(UsageError, match="link that leads out"):
        source.rows()


def test_pictures_are_had_in_any_order_and_from_many_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies before the window is read again; every answer is the right one."""
    monkeypatch.setattr(parquet_source, "BATCH_BYTES", 2_000)
    monkeypatch.setattr(parquet_source, "WINDOW_BYTES", 4_000)
    folder = halves(good_delivery(tmp_path / "folder", per_class=20), row_group_size=11)
    draw = np.random.default_rng(0)
    with opened(folder) as source:
        paths = source.pictures()
        known = {path: photograph(number) for number, path in enumerate(paths)}
        asked = [paths[at] for at in draw.integers(len(paths), size=300)]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(source.read, asked)) == [known[path] for path in asked]


def test_rows_in_order_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With threads a little behind each other, nothing is read again."""
    monkeypatch.setattr(parquet_source, "BATCH_BYTES", 20_000)
    made: list[int] = []
    batches = parquet_source.ParquetSource._batches

    def counted(self: parquet_source.ParquetSource, place: int) -> parquet_source.Batches:
        made.append(place)
        return batches(self, place)

    monkeypatch.setattr(parquet_source.ParquetSource, "_batches", counted)
    path = as_parquet(good_delivery(tmp_path / "folder", per_class=100), tmp_path / "x.parquet", 50)
    assert len(screened(path)[0]) == 300
    assert made == [0]


def test_memory_stays_flat_whatever_the_size_of_a_row_group(tmp_path: Path) -> None:
    """240 MB of pictures in one row group, as pandas writes them, take half of that, and a page more."""
    draw, path = np.random.default_rng(0), tmp_path / "x.parquet"
    pictures = [draw.bytes(16_000) for _ in range(15_000)]
    write_parquet(path, {"image": pictures, "label": ["books"] * 15_000}, compression="none")
    assert pq.ParquetFile(path).metadata.num_row_groups == 1
    script = f"""
import pyarrow as pa
from steps.data.sources import open_source
with open_source({str(path)!r}) as source:
    assert sum(len(source.read(path)) for path in source.pictures()) == 240_000_000
print(pa.default_memory_pool().max_memory())
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert int(done.stdout.splitlines()[-1]) < 160_000_000


def cut(path: Path) -> None:
    """Lose the second half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage(path: Path) -> None:
    """Change what a page's header says of its length."""
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 16] = b"\xff" * 16
    path.write_bytes(data)


@pytest.mark.parametrize(
    "spoil", [cut, damage, lambda path: path.write_text("no table" * 100), lambda path: path.write_bytes(b"")]
)
def test_what_is_no_parquet_or_damaged_refuses_the_delivery(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    """Before or while pictures are read; the file is named, in one line."""
    (tmp_path / "d").mkdir()
    path = as_parquet(good_delivery(tmp_path / "folder", per_class=10), tmp_path / "d" / "x.parquet")
    spoil(path)
    for address in (path, tmp_path / "d"):
        with pytest.raises(
            UsageError, match=r"x\.parquet is no Parquet file, cut short or damaged"
        ) as refused:
            screened(address)
        assert "\n" not in str(refused.value)


def test_a_flipped_bit_under_a_check_sum_refuses_the_delivery(tmp_path: Path) -> None:
    """Where the writer left check sums, they are looked at."""
    folder = good_delivery(tmp_path / "folder", per_class=10)
    table = pq.read_table(as_parquet(folder, tmp_path / "plain.parquet"))
    path = tmp_path / "x.parquet"
    pq.write_table(table, path, write_page_checksum=True, compression="none")
    data = bytearray(path.read_bytes())
    data[data.index(photograph(3)) + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(UsageError, match="damaged"):
        screened(path)


def test_no_damage_is_more_than_wrong_use_or_a_bad_picture(tmp_path: Path) -> None:
    """100 times, three bytes changed at random: one of our own errors or a reading, and nothing else."""
    folder = good_delivery(tmp_path / "folder", per_class=2)
    good = as_parquet(folder, tmp_path / "good.parquet", row_group_size=3).read_bytes()
    draw, path, refused = np.random.default_rng(0), tmp_path / "x.parquet", 0
    for _ in range(100):
        data = bytearray(good)
        for _ in range(3):
            data[draw.integers(len(data))] = draw.integers(256)
        path.write_bytes(data)
        try:
            screened(path)
        except UsageError:
            refused += 1
    assert refused


def test_a_parquet_file_that_its_archive_damaged_refuses_the_delivery(tmp_path: Path) -> None:
    """The check sum of a .zip says so before the file's own does."""
    folder = good_delivery(tmp_path / "folder", per_class=10)
    path = zipped(as_parquet(folder, tmp_path / "d" / "x.parquet").parent, tmp_path / "d.zip")
    data = bytearray(path.read_bytes())
    data[data.index(photograph(3)[:8]) + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"x\.parquet: the archive is damaged here"):
        screened(path)


def test_a_file_without_rows_is_wrong_use(tmp_path: Path) -> None:
    """As labels.csv without rows is."""
    schema = pa.schema([("image", pa.binary()), ("label", pa.string())])
    pq.write_table(schema.empty_table(), tmp_path / "x.parquet")
    with opened(tmp_path / "x.parquet") as source, pytest.raises(UsageError, match="0 rows; 1 is needed"):
        source.rows()


def rewritten(path: Path) -> None:
    """Write other pictures in the place of a file, a second later."""
    before = path.stat()
    write_parquet(path, {"image": [photograph(n) for n in range(30, 60)], "label": [CLASSES[0]] * 30})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


@pytest.mark.parametrize(
    "spoil",
    [
        rewritten,
        lambda path: as_parquet(path.parents[1] / "folder", path.with_name("y.parquet")),
        Path.unlink,
    ],
)
def test_parquet_files_that_change_are_refused_as_a_whole(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    """One that is another, one more and one less."""
    folder = good_delivery(tmp_path / "folder", per_class=10)
    path = as_parquet(folder, tmp_path / "d" / "x.parquet")
    with opened(tmp_path / "d") as source:
        source.read(source.pictures()[0])
        source.check_unchanged()
        spoil(path)
        with pytest.raises(UsageError, match="changed while it was read"):
            source.check_unchanged()


def test_other_files_beside_a_single_parquet_file_are_none_of_its_delivery(tmp_path: Path) -> None:
    """A folder of daily files may get the next one."""
    folder = good_delivery(tmp_path / "folder", per_class=1)
    path = as_parquet(folder, tmp_path / "d" / "x.parquet")
    with opened(path) as source:
        source.rows()
        as_parquet(folder, tmp_path / "d" / "y.parquet")
        source.check_unchanged()


def test_a_parquet_object_that_changes_is_refused_as_a_whole(bucket: BucketServer, tmp_path: Path) -> None:
    """Between two requests, and at the end; a single file that is asked for does not see its neighbours."""
    folder = good_delivery(tmp_path / "folder", per_class=10)
    path = as_parquet(folder, tmp_path / "d" / "x.parquet")
    prefix = bucket.upload(path.parent, "changing-table")

    def put(key: str, data: bytes) -> None:
        bucket.client.put_object(Bucket=BUCKET, Key=f"changing-table/{key}", Body=data)

    with opened(f"{prefix}/x.parquet") as single, opened(prefix) as all_of_it:
        for source in (single, all_of_it):
            source.rows()
            source.check_unchanged()
        put("y.parquet", path.read_bytes())
        single.check_unchanged()
        with pytest.raises(UsageError, match=r"y\.parquet changed"):
            all_of_it.check_unchanged()
        rewritten(path)
        put("x.parquet", path.read_bytes())
        with pytest.raises(UsageError, match=r"x\.parquet changed"):
            single.check_unchanged()
        with pytest.raises(UsageError, match=r"x\.parquet changed"):
            single.read(single.pictures()[0])

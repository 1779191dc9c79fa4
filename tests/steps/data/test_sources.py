"""Tests of steps/data/sources.py."""

from pathlib import Path

import pytest

from materializers.errors import UsageError
from steps.data.sources import open_source
from tests.steps.data.deliveries import as_parquet, good_delivery, opened, screened, zipped


@pytest.mark.parametrize("name", ["delivery", "delivery.ZIP"])
def test_the_pictures_of_a_source_are_listed(tmp_path: Path, name: str) -> None:
    """Sorted, by their paths below the source, without labels.csv or other files."""
    folder = good_delivery(tmp_path / "delivery", per_class=1)
    (folder / "readme.txt").write_text("no picture")
    (folder / "LAST.JPG").write_bytes(b"x")
    if name != "delivery":
        zipped(folder, tmp_path / name)
    with open_source(str(tmp_path / name)) as source:
        assert source.pictures() == ["LAST.JPG", *(f"images/{number:05d}.png" for number in range(3))]


def test_a_source_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    """The message says what a source can be, as docs/data.md shows it."""
    with pytest.raises(UsageError, match="There is no source") as refused:
        screened(tmp_path / "absent.zip")
    shown = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    said = str(refused.value).replace(str(tmp_path / "absent.zip"), "data/third-delivery.zip")
    assert f"\n```\n{said}\n```\n" in shown


def test_a_file_of_another_kind_is_wrong_use(tmp_path: Path) -> None:
    """The kinds that are read are named."""
    (tmp_path / "delivery.rar").write_bytes(b"Rar!")
    with pytest.raises(UsageError, match=r"ends with none of \.zip, \.tar, .*, \.parquet"):
        opened(tmp_path / "delivery.rar")


def test_labels_csv_decides_before_anything_else_that_lies_in_a_folder(tmp_path: Path) -> None:
    """A table that a supplier adds to their pictures changes nothing."""
    folder = good_delivery(tmp_path / "delivery", per_class=1)
    before = screened(folder)[0].version
    as_parquet(folder, folder / "table.parquet")
    assert screened(folder)[0].version == before


def test_pictures_beside_parquet_files_without_labels_are_wrong_use(tmp_path: Path) -> None:
    """Nothing says which of the two is meant."""
    folder = good_delivery(tmp_path / "delivery", per_class=1)
    as_parquet(folder, folder / "table.parquet")
    (folder / "labels.csv").unlink()
    with pytest.raises(UsageError, match=r"holds pictures .* beside Parquet files"):
        opened(folder)

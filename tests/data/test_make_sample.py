"""The sample deliveries: what they hold, and that the script makes exactly these bytes."""

import csv
import io
import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from data import make_sample

DATA = Path(make_sample.__file__).parent
# Another place for the files of Debian's dataset-fashion-mnist than the one its package uses.
FASHION_MNIST = Path(os.environ.get("SHUTTERLINE_FASHION_MNIST", make_sample.SOURCE))
needs_fashion_mnist = pytest.mark.skipif(
    not FASHION_MNIST.is_dir(), reason=f"Debian's dataset-fashion-mnist is not in {FASHION_MNIST}"
)


def read_delivery(name: str) -> tuple[list[dict[str, str]], dict[str, bytes]]:
    """Read the rows of labels.csv and the encoded pictures of an archive."""
    with zipfile.ZipFile(DATA / name) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
        pictures = {path: archive.read(path) for path in archive.namelist() if path != "labels.csv"}
    return rows, pictures


@pytest.mark.parametrize(
    ("name", "per_category"), [("first-delivery.zip", 600), ("second-delivery.zip", 120)]
)
def test_a_delivery_has_its_number_of_pictures_in_each_of_five_categories(
    name: str, per_category: int
) -> None:
    """The labels are balanced over the five categories, and each article lies in its own category."""
    rows, _ = read_delivery(name)
    assert Counter(row["label"] for row in rows) == dict.fromkeys(make_sample.CATEGORIES, per_category)
    assert all(row["article"] in make_sample.CATEGORIES[row["label"]] for row in rows)
    assert {row["article"] for row in rows} == set(make_sample.ARTICLES)


@pytest.mark.parametrize("name", ["first-delivery.zip", "second-delivery.zip"])
def test_every_row_names_a_picture_that_decodes_and_every_picture_has_a_row(name: str) -> None:
    """labels.csv and the pictures of an archive agree, and each picture is 28 by 28 pixels."""
    rows, pictures = read_delivery(name)
    assert sorted(row["image_path"] for row in rows) == sorted(pictures)
    for png in pictures.values():
        with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
            picture.load()
            assert (picture.size, picture.mode) == ((28, 28), "L")


def test_no_picture_is_delivered_twice() -> None:
    """Within and across the deliveries, names and contents are all different."""
    (_, first), (_, second) = read_delivery("first-delivery.zip"), read_delivery("second-delivery.zip")
    assert len({*first, *second}) == 3600
    assert len({*first.values(), *second.values()}) == 3600


def test_photographs_are_of_three_categories_and_were_not_trained_on() -> None:
    """The pictures that the demo shows to the service are in the second delivery and not in the first."""
    _, first = read_delivery("first-delivery.zip")
    rows, second = read_delivery("second-delivery.zip")
    photos = [path.read_bytes() for path in (DATA / "photos").glob("*.png")]
    assert len(photos) == 3
    assert not set(photos) & set(first.values())
    assert len({row["label"] for row in rows if second[row["image_path"]] in photos}) == 3


def test_the_deliveries_together_stay_under_three_megabytes() -> None:
    """Both archives are committed, so they stay small."""
    assert sum(path.stat().st_size for path in DATA.glob("*-delivery.zip")) <= 3_000_000


def test_a_source_without_the_files_is_refused_with_the_command_that_brings_them(tmp_path: Path) -> None:
    """A folder that holds no Fashion-MNIST ends with exit 2 and writes nothing."""
    output = tmp_path / "output"
    result = CliRunner().invoke(make_sample.main, ["--source", str(tmp_path), "--output", str(output)])
    assert result.exit_code == 2
    assert "apt-get install dataset-fashion-mnist" in result.output
    assert not output.exists()


@pytest.mark.debian("dataset-fashion-mnist")
@needs_fashion_mnist
def test_the_script_makes_the_committed_bytes(tmp_path: Path) -> None:
    """Built anew into an empty folder, every sample file equals the committed one."""
    result = CliRunner().invoke(make_sample.main, ["--source", str(FASHION_MNIST), "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(made) == 5
    assert made == {name: (DATA / name).read_bytes() for name in made}


@pytest.mark.debian("dataset-fashion-mnist")
@needs_fashion_mnist
def test_check_finds_a_changed_file_and_leaves_it(tmp_path: Path) -> None:
    """--check exits 1 over a file with another content, names it and writes nothing."""
    for path in DATA.glob("*-delivery.zip"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "second-delivery.zip").write_bytes(b"other")
    arguments = ["--source", str(FASHION_MNIST), "--output", str(tmp_path), "--check"]
    result = CliRunner().invoke(make_sample.main, arguments)
    assert result.exit_code == 1
    assert f"DIFFERS  {tmp_path}/second-delivery.zip" in result.output
    assert f"DIFFERS  {tmp_path}/first-delivery.zip" not in result.output
    assert (tmp_path / "second-delivery.zip").read_bytes() == b"other"
    assert not (tmp_path / "photos").exists()

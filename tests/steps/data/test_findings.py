"""Tests of steps/data/findings.py: pictures that look alike, look odd, or have a doubtful label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from materializers.data_report import Screening
from materializers.image_dataset import ImageDataset, Picture, picture_digest
from steps.data import findings as findings_module
from steps.data.checks.duplicates import DuplicateSettings
from steps.data.checks.limits import CheckLimit
from steps.data.findings import PictureSettings, look_at, with_clusters
from steps.data.picture_measures import measure
from tests.steps.data.deliveries import dataset_of
from tests.steps.data.scenes import jpeg, scene

Labelled = tuple[Image.Image, str]


def measured(pictures: Sequence[Labelled], quality: int = 90) -> ImageDataset:
    """A dataset of pictures with their measures, as screening makes it."""
    return ImageDataset.from_pictures(
        Picture(
            jpeg(image, quality),
            label,
            *image.size,
            orientation=1,
            source=f"shop/{number}.jpg",
            measures=dict(vars(measure(image, 1))),
        )
        for number, (image, label) in enumerate(pictures)
    )


def screening(rows: int, duplicate_rows: int = 0) -> Screening:
    """What reading found."""
    return Screening(
        source_name="shop",
        rows=rows,
        duplicate_rows=duplicate_rows,
        conflicts=(),
        missing_values={},
        set_aside=(),
    )


def alike(number: int, labels: Sequence[str]) -> ImageDataset:
    """One product as often as there are labels, each time a little more compressed."""
    made = [measured([(scene(number), label)], 90 - 10 * at) for at, label in enumerate(labels)]
    joined = made[0]
    for each in made[1:]:
        joined = joined.join(each)
    return joined


DIFFERENT = measured([(scene(number), "toys") for number in range(6)])


def test_pictures_that_are_nearly_the_same_get_the_name_of_their_cluster() -> None:
    """It is the smallest image_id among them; a picture alone has none, and the version stays."""
    pair = alike(100, ["toys", "toys"])
    dataset = DIFFERENT.join(pair)
    clustered = with_clusters(dataset, None)
    clusters = clustered.index.set_index("image_id")["cluster"]
    assert clusters[pair.index["image_id"]].tolist() == [min(pair.index["image_id"])] * 2
    assert clusters[DIFFERENT.index["image_id"]].isna().all()
    assert clustered.version == dataset.version


def test_how_near_near_duplicates_are_is_configured() -> None:
    """Narrower than the copies differ, none is found; what was found before stays."""
    dataset = DIFFERENT.join(alike(100, ["toys", "toys"]))
    exact = DuplicateSettings(hash_distance=0, thumbnail_difference=0)
    assert with_clusters(dataset, None, exact).index["cluster"].isna().all()
    found = with_clusters(dataset, None, DuplicateSettings(hash_distance=10))
    assert found.index["cluster"].notna().sum() == 2
    assert with_clusters(found, found, exact).index["cluster"].notna().sum() == 2


def test_a_new_picture_joins_the_cluster_of_an_old_one() -> None:
    """What was compared before is not compared again, and stays known."""
    three = alike(100, ["toys"] * 3)
    ids = three.index["image_id"].tolist()
    before = with_clusters(DIFFERENT.join(three.select(ids[:2])), None)
    clustered = with_clusters(before.join(three.select(ids[2:])), before)
    assert clustered.index.set_index("image_id").loc[ids, "cluster"].nunique() == 1
    assert clustered.index["cluster"].notna().sum() == 3


def test_pictures_that_are_delivered_again_keep_their_cluster() -> None:
    """A delivery knows nothing of clusters; who was compared before stays together, alone or joined."""
    three = alike(100, ["toys"] * 3)
    before = with_clusters(DIFFERENT.join(three), None)
    for again in (DIFFERENT.join(three), before.join(three), three):
        clusters = with_clusters(again, before).index.set_index("image_id")["cluster"]
        assert clusters[three.index["image_id"]].nunique() == 1
        assert clusters.notna().sum() == 3


def test_a_cluster_whose_representative_left_is_found_anew() -> None:
    """The others still look alike."""
    three = alike(100, ["toys"] * 3)
    before = with_clusters(DIFFERENT.join(three), None)
    representative = before.index["cluster"].dropna().iloc[0]
    clusters = with_clusters(before.without([representative]), before).index["cluster"].dropna()
    assert (len(clusters), clusters.nunique()) == (2, 1)
    assert representative not in set(clusters)


def test_pictures_without_a_hash_are_left_as_they_are() -> None:
    """Small ones are alike only if they are equal."""
    small = dataset_of(["toys", "books"])
    assert with_clusters(small, None) is small


def test_checks_say_what_was_found_and_pages_get_the_groups() -> None:
    """Exact and near duplicates, and one product under two labels; those come first on the page."""
    same, mixed = alike(100, ["toys", "toys", "toys"]), alike(101, ["toys", "books"])
    clustered = with_clusters(DIFFERENT.join(same).join(mixed), None)
    found = look_at(clustered, screening(20, duplicate_rows=9), PictureSettings())
    checks = {check.name: check for check in found.checks}
    assert (checks["exact_duplicates"].outcome, checks["exact_duplicates"].measured) == ("warned", 9 / 20)
    assert (checks["near_duplicates"].outcome, checks["near_duplicates"].measured) == ("warned", 3 / 11)
    assert (checks["near_two_labels"].outcome, checks["near_two_labels"].measured) == ("warned", 1)
    assert {"too_dark", "too_bright", "blurred", "flat", "odd_size", "near_monochrome"} <= checks.keys()
    assert "suspicious_labels" in checks
    assert [set(group) for group in found.near_duplicates] == [
        set(mixed.index["image_id"]),
        set(same.index["image_id"]),
    ]


def test_limits_and_severities_are_the_configured_ones() -> None:
    """A stricter limit refuses."""
    clustered = with_clusters(DIFFERENT.join(alike(100, ["toys", "books"])), None)
    strict = PictureSettings(
        duplicates=DuplicateSettings(near_two_labels=CheckLimit(limit=0, severity="refuse"))
    )
    refusing = [check.name for check in look_at(clustered, screening(8), strict).checks if check.refuses]
    assert refusing == ["near_two_labels"]


def test_a_label_that_its_look_alikes_do_not_have_is_named() -> None:
    """Fifty pictures of two colours, one of them under the other's label."""
    rng = np.random.default_rng(0)
    pictures: list[Labelled] = []
    for number in range(60):
        red = number % 2
        ground = np.array([200, 30, 30] if red else [30, 30, 200]) + rng.integers(0, 25, (80, 80, 3))
        wrong = number == 0
        pictures.append((Image.fromarray(ground.astype(np.uint8)), "red" if red or wrong else "blue"))
    dataset = measured(pictures)
    [doubted] = look_at(dataset, screening(60), PictureSettings()).suspicious_labels
    assert doubted.image_id == picture_digest(jpeg(pictures[0][0]))
    assert (doubted.label, doubted.likely) == ("red", "blue")


def test_a_page_lists_no_more_than_it_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index knows all clusters; the report the first ones."""
    monkeypatch.setattr(findings_module, "MOST_LISTED", 1)
    clustered = with_clusters(alike(100, ["toys", "toys"]).join(alike(101, ["toys", "toys"])), None)
    found = look_at(clustered, screening(4), PictureSettings())
    assert len(found.near_duplicates) == 1
    assert clustered.index["cluster"].nunique() == 2


def test_nothing_is_found_in_nothing() -> None:
    """A delivery of bad pictures only has no page, and no check that raises."""
    empty = with_clusters(DIFFERENT.select(()), None)
    found = look_at(empty, screening(0), PictureSettings())
    assert found.near_duplicates == ()
    assert found.suspicious_labels == ()
    assert {check.outcome for check in found.checks} == {"not_assessed"}

"""Accuracy by group: which columns are looked at, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from materializers.classifier import Classifier
from steps.evaluation.slices.assess import assess_slices
from steps.evaluation.slices.settings import SlicesSettings
from tests.steps.evaluation.slices.examples import examined

PLACES = np.arange(240)
SETTINGS = SlicesSettings(bootstrap_resamples=200)
SHOPS = np.where(PLACES < 120, "north", np.where(PLACES < 200, "south", "west"))
WRONG_IN_THE_SOUTH = (SHOPS == "south") & (PLACES % 2 == 0)


def test_the_worst_group_is_found(classifier: Classifier) -> None:
    """Each group has its accuracy and n, a small one is listed, and the gap is that of the others."""
    section, pictures = assess_slices(examined(classifier, WRONG_IN_THE_SOUTH, shop=SHOPS.tolist()), SETTINGS)
    shop = section.columns["shop"]
    assert {name: (group.value, group.n) for name, group in shop.groups.items()} == {
        "north": (1.0, 120),
        "south": (0.5, 80),
    }
    assert shop.too_few == {"west": 40}
    assert shop.worst == "south"
    assert shop.gap is not None
    assert (shop.gap.value, shop.gap.n) == (0.5, 80)
    assert shop.gap.low is not None
    assert 0.3 < shop.gap.low < 0.5
    assert pictures.keys() == {"slices"}


def test_a_picture_without_a_usable_answer_counts_as_wrong(classifier: Classifier) -> None:
    """What serving refuses is no right answer of its group."""
    nothing = np.zeros(240, dtype=bool)
    model = examined(classifier, nothing, unusable=WRONG_IN_THE_SOUTH, shop=SHOPS.tolist())
    assert assess_slices(model, SETTINGS)[0].columns["shop"].groups["south"].value == 0.5


def test_columns_of_labels_csv_and_properties_offer_themselves(classifier: Classifier) -> None:
    """What has too many values or one is left out and says why; label, group and ids are no such columns."""
    model = examined(
        classifier,
        WRONG_IN_THE_SOUTH,
        shop=SHOPS.tolist(),
        number=[str(each) for each in PLACES],
        season=["summer"] * 240,
        brightness=PLACES.astype(float).tolist(),
        source=[f"{'one' if each % 2 else 'two'}/{each}.png" for each in PLACES],
    )
    section, _ = assess_slices(model, SETTINGS)
    assert list(section.columns) == ["shop", "brightness", "source"]
    assert section.left_out.keys() == {"number", "season", "picture_size"}
    assert "240 values" in section.left_out["number"]
    assert section.columns["source"].groups.keys() == {"one", "two"}
    assert [group.n for group in section.columns["brightness"].groups.values()] == [80, 80, 80]


def test_a_column_that_was_asked_for_and_is_not_there_is_not_assessed(classifier: Classifier) -> None:
    """Only those that were asked for are looked at; a rule on one that is missing is not forgotten."""
    model = examined(classifier, WRONG_IN_THE_SOUTH, shop=SHOPS.tolist(), season=["a", "b"] * 120)
    settings = SETTINGS.model_copy(update={"columns": ("season", "shopp"), "properties": ()})
    section, _ = assess_slices(model, settings)
    assert list(section.columns) == ["season", "shopp"]
    assert "season, shop" in (section.columns["shopp"].not_assessed or "")
    (missing,) = [each for each in section.measured() if each.subject == "shopp" and "gap" in each.metric]
    assert missing.value is None
    assert missing.reason == section.columns["shopp"].not_assessed


def test_sensitive_columns_are_sliced_too(classifier: Classifier) -> None:
    """So that the picture shows their groups, whatever the columns are."""
    model = examined(classifier, WRONG_IN_THE_SOUTH, shop=SHOPS.tolist(), season=["a", "b"] * 120)
    settings = SETTINGS.model_copy(update={"columns": ("season",), "sensitive": ("shop",), "properties": ()})
    assert list(assess_slices(model, settings)[0].columns) == ["shop", "season"]


def test_pictures_that_nothing_groups_are_not_assessed(classifier: Classifier) -> None:
    """And there is no chart of nothing."""
    section, pictures = assess_slices(examined(classifier, WRONG_IN_THE_SOUTH), SETTINGS)
    assert section.not_assessed is not None
    assert section.left_out.keys() == {"picture_size", "brightness", "source"}
    assert pictures == {}


def test_a_test_set_of_fewer_pictures_than_a_group_needs_is_not_assessed(classifier: Classifier) -> None:
    """No gap is made up of two groups of five."""
    model = examined(classifier, np.zeros(10, dtype=bool), shop=["a", "b"] * 5)
    section, _ = assess_slices(model, SETTINGS)
    assert section.not_assessed is not None
    assert "a 5, b 5" in section.left_out["shop"]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_section_and_picture(classifier: Classifier, seed: int) -> None:
    """A report is to be made again from the same inputs."""
    model = examined(classifier, WRONG_IN_THE_SOUTH, shop=SHOPS.tolist())
    settings = SETTINGS.model_copy(update={"seed": seed})
    assert assess_slices(model, settings) == assess_slices(model, settings)

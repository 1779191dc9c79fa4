"""Fairness between the groups of a sensitive column, and what is said where there are none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score

from materializers.classifier import Classifier
from steps.evaluation.slices.fairness import assess_fairness
from steps.evaluation.slices.settings import SlicesSettings
from tests.steps.evaluation.slices.examples import examined

PLACES = np.arange(300)
SHOPS = np.where(PLACES < 150, "north", "south")
WRONG_IN_THE_SOUTH = (SHOPS == "south") & (PLACES % 2 == 0) & (PLACES % 3 == 1)
SETTINGS = SlicesSettings(sensitive=("shop",), bootstrap_resamples=200)
ROOT = Path(__file__).resolve().parents[4]


def test_differences_are_found_and_named(classifier: Classifier) -> None:
    """In the south half of the second class is taken for the third; fairlearn sees the same."""
    model = examined(classifier, WRONG_IN_THE_SOUTH, shop=SHOPS.tolist())
    section, pictures = assess_fairness(model, SETTINGS)
    shop = section.columns["shop"]
    frame = MetricFrame(
        metrics=accuracy_score,
        y_true=model.true,
        y_pred=model.predicted,
        sensitive_features=model.rows["shop"].to_numpy(dtype=str),
    )
    assert shop.gap is not None
    assert shop.gap.value == pytest.approx(frame.difference())
    assert {name: group.value for name, group in shop.groups.items()} == pytest.approx(
        frame.by_group.to_dict()
    )
    assert shop.equalized_odds is not None
    assert shop.equalized_odds.value == pytest.approx(0.5)
    assert shop.equalized_odds_class == "light"
    assert shop.demographic_parity is not None
    assert shop.demographic_parity.value == pytest.approx(1 / 6)
    assert shop.demographic_parity_class in {"light", "striped"}
    assert shop.equalized_odds_note is None
    assert pictures == {}


def test_a_real_gap_is_beyond_the_limit_and_noise_is_not(classifier: Classifier) -> None:
    """Every third picture of the south wrong is; a tenth of each group is not."""
    third = (SHOPS == "south") & (PLACES % 3 == 0)
    tenth = PLACES % 10 == 0
    lows = []
    for wrong in (third, tenth):
        section, _ = assess_fairness(examined(classifier, wrong, shop=SHOPS.tolist()), SETTINGS)
        gap = section.columns["shop"].gap
        assert gap is not None
        assert gap.low is not None
        lows.append(gap.low)
    assert lows[0] > 0.1
    assert lows[1] == 0


def test_without_a_sensitive_column_nothing_is_assessed(classifier: Classifier) -> None:
    """It is not passed, and the setting that declares one is named."""
    model = examined(classifier, WRONG_IN_THE_SOUTH, shop=SHOPS.tolist())
    section, _ = assess_fairness(model, SlicesSettings())
    assert "evaluate.slices.sensitive" in (section.not_assessed or "")
    assert all(each.value is None and each.reason for each in section.measured())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (None, "labels.csv brought no column shop; the data has: season"),
        (["north"] * 300, "every test picture has the same shop: north"),
        (["north", None] * 150, "only one group of shop has 50 test pictures .* north, beside those without"),
        (["north"] * 290 + ["south"] * 10, "fewer than two groups of shop have 50 .*: north 290, south 10"),
    ],
)
def test_a_sensitive_column_that_cannot_be_compared_is_not_assessed(
    classifier: Classifier, values: list[str | None] | None, reason: str
) -> None:
    """Absent, of one value, or of one group that is large enough: each number is missing with the reason."""
    columns: dict[str, Any] = {} if values is None else {"shop": values}
    model = examined(classifier, WRONG_IN_THE_SOUTH, season=["a", "b"] * 150, **columns)
    section, _ = assess_fairness(model, SETTINGS)
    assert section.not_assessed is None
    measured = list(section.measured())
    assert {each.subject for each in measured} == {"shop"}
    assert len(measured) == 3
    for each in measured:
        assert each.value is None
        assert each.reason is not None
        assert re.search(reason, each.reason)


def test_pictures_without_a_value_are_compared_as_a_group(classifier: Classifier) -> None:
    """Two groups with a name must be there beside them."""
    shops = [None if place % 3 == 0 else shop for place, shop in enumerate(SHOPS.tolist())]
    section, _ = assess_fairness(examined(classifier, WRONG_IN_THE_SOUTH, shop=shops), SETTINGS)
    assert section.columns["shop"].groups.keys() == {"(missing)", "north", "south"}


def test_classes_that_no_two_groups_have_enough_of_are_named(classifier: Classifier) -> None:
    """The odds are those of the other classes; of none there are none, and the setting is named."""
    shops = np.where((PLACES % 3 == 2) & (PLACES < 290), "north", SHOPS).tolist()
    model = examined(classifier, WRONG_IN_THE_SOUTH, shop=shops)
    section, _ = assess_fairness(model, SETTINGS)
    shop = section.columns["shop"]
    assert shop.equalized_odds is not None
    assert "not of striped" in (shop.equalized_odds_note or "")
    strict = SETTINGS.model_copy(update={"min_class_n": 200})
    section, _ = assess_fairness(model, strict)
    assert section.columns["shop"].equalized_odds is None
    (odds,) = [each for each in section.measured() if each.metric == "equalized_odds_difference"]
    assert odds.value is None
    assert "no class" in (odds.reason or "")
    assert "evaluate.slices.min_class_n" in (odds.reason or "")


def test_small_groups_are_listed(classifier: Classifier) -> None:
    """With their n, beside those that are compared."""
    shops = ["west"] * 9 + SHOPS[9:].tolist()
    section, _ = assess_fairness(examined(classifier, WRONG_IN_THE_SOUTH, shop=shops), SETTINGS)
    assert section.columns["shop"].too_few == {"west": 9}
    assert section.columns["shop"].groups.keys() == {"north", "south"}


def test_fairlearn_is_imported_only_for_a_sensitive_column() -> None:
    """Loading this part loads neither it nor what draws."""
    code = (
        "import sys; import steps.evaluation.slices.fairness; "
        "print({'fairlearn', 'sklearn', 'matplotlib', 'statsmodels'} & sys.modules.keys())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert found.stdout.strip() == "set()"

"""Pictures of a tuning: small PNGs, and only where there is something to draw."""

from __future__ import annotations

import pytest

from materializers.tuning_report import HISTORY, IMPORTANCES, PARALLEL, Trial, Value
from steps.training.tuning.tuning_pictures import pictures_of
from tests.materializers.examples import tuning_report

PNG = b"\x89PNG\r\n"


def test_history_importances_and_parallel_coordinates_are_drawn() -> None:
    """All three, in their order, each below 100 kB."""
    pictures = pictures_of(tuning_report())
    assert list(pictures) == [HISTORY, IMPORTANCES, PARALLEL]
    assert all(data.startswith(PNG) and len(data) < 100_000 for data in pictures.values())


def test_one_trial_or_one_parameter_is_no_picture() -> None:
    """A single point says nothing that the table does not."""
    report = tuning_report()
    assert (
        pictures_of(report.model_copy(update={"trials": report.trials[:1], "importances": {"x": 1.0}})) == {}
    )
    assert pictures_of(report.model_copy(update={"trials": (), "importances": {}})) == {}
    pruned = report.model_copy(update={"trials": report.trials[:2], "importances": {}})
    assert list(pictures_of(pruned)) == [HISTORY]


@pytest.mark.parametrize("values", [("adam", "adamw"), (None, 0.5), (True, False), (3, 3), (0.001, 10.0)])
def test_any_kind_of_value_is_drawn(values: tuple[Value, Value]) -> None:
    """Names, none, equal values, orders of magnitude."""
    trials = tuple(
        Trial(number=n, state="complete", parameters={"x": value}, val_accuracy=(n / 4,), score=n / 4)
        for n, value in enumerate(values, 1)
    )
    report = tuning_report(trials=trials, search_space={"x": ""}, importances={})
    assert pictures_of(report)[PARALLEL].startswith(PNG)

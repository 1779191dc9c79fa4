"""Every number is handed over under its name."""

from materializers.evaluation.discrimination import AVERAGES, Discrimination
from materializers.evaluation.metric import Metric
from tests.materializers.evaluation.sections import check_not_assessed, names

METRIC = Metric(value=0.9, low=0.8, high=0.95, n=100)
WHOLE = Discrimination(
    top_k=3,
    top_k_accuracy=METRIC,
    roc_auc={"bags": METRIC, "tops": METRIC},
    **dict.fromkeys(AVERAGES, METRIC),
)


def test_every_number_has_its_name_and_the_area_its_class() -> None:
    """In the order of the report."""
    assert names(WHOLE) == ["top_k_accuracy", *AVERAGES, "roc_auc", "roc_auc"]
    assert [each.subject for each in WHOLE.measured()][-2:] == ["bags", "tops"]
    assert all(each.value == METRIC for each in WHOLE.measured())
    assert Discrimination.model_validate_json(WHOLE.model_dump_json()) == WHOLE


def test_with_two_classes_the_second_answer_says_nothing() -> None:
    """The gate is told why it has no number."""
    first = next(iter(Discrimination().measured()))
    assert (first.metric, first.value) == ("top_k_accuracy", None)
    assert first.reason == "with two classes the second answer is always the other one"


def test_what_is_not_assessed_is_handed_over_as_missing() -> None:
    """Each number."""
    check_not_assessed(Discrimination, ["top_k_accuracy", *AVERAGES])

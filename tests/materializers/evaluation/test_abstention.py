"""Coverage and risk at the model's own threshold are what rules may be about."""

from materializers.evaluation.abstention import Abstention
from materializers.evaluation.metric import Metric
from tests.materializers.evaluation.sections import check_not_assessed

METRIC = Metric(value=0.9, low=0.87, high=0.92, n=450)


def test_coverage_and_risk_are_handed_over() -> None:
    """Each with its interval."""
    coverage, risk = Abstention(threshold=0.7, coverage=METRIC, selective_risk=METRIC).measured()
    assert (coverage.metric, coverage.value) == ("coverage", METRIC)
    assert (risk.metric, risk.value, risk.reason) == ("selective_risk", METRIC, None)


def test_a_risk_of_no_answer_is_missing_with_its_reason() -> None:
    """The threshold that nothing reaches is named."""
    none = Abstention(threshold=0.7, coverage=METRIC, selective_risk=Metric(value=None, n=0))
    *_, risk = none.measured()
    assert risk.reason == "no test picture reaches the threshold 0.7"


def test_what_is_not_assessed_is_handed_over_as_missing() -> None:
    """With the reason."""
    check_not_assessed(Abstention, ["coverage", "selective_risk"])

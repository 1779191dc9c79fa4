"""The calibration error is what a rule may be about."""

from materializers.evaluation.calibration_quality import CalibrationQuality
from materializers.evaluation.metric import Metric
from tests.materializers.evaluation.sections import check_not_assessed

METRIC = Metric(value=0.03, low=0.02, high=0.06, n=450)


def test_the_error_is_handed_over_with_its_interval() -> None:
    """Whole."""
    (only,) = CalibrationQuality(expected_calibration_error=METRIC).measured()
    assert (only.metric, only.value, only.reason) == ("expected_calibration_error", METRIC, None)


def test_what_is_not_assessed_is_handed_over_as_missing() -> None:
    """With the reason."""
    check_not_assessed(CalibrationQuality, ["expected_calibration_error"])

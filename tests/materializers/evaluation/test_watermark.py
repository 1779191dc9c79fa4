"""A watermark's check as it is stored."""

from materializers.evaluation.metric import Metric
from materializers.evaluation.watermark import Watermark


def test_the_share_of_matches_is_the_number_of_the_policy() -> None:
    """With its interval; without one, the reason."""
    matches = Metric(value=0.95, low=0.76, high=0.99, n=20)
    section = Watermark(fingerprint="0" * 16, matches=matches, chance=0.2, p_value=1e-12)
    assert [(each.metric, each.value) for each in section.measured()] == [("watermark_matches", matches)]
    (missing,) = Watermark(not_assessed="no watermark is configured").measured()
    assert (missing.value, missing.reason) == (None, "no watermark is configured")
    assert Watermark.model_validate_json(section.model_dump_json()) == section

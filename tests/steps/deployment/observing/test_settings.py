"""What cannot be meant together is no configuration."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from steps.deployment.observing.settings import Margins, ObserveSettings


def test_a_promotion_takes_five_minutes_at_least() -> None:
    """Whatever is configured."""
    assert ObserveSettings().minimum_s == 300
    with pytest.raises(ValidationError, match="minimum_s"):
        ObserveSettings(minimum_s=299)


def test_a_minimum_beyond_the_end_could_promote_nothing() -> None:
    """Of time, and of requests; both numbers are named."""
    with pytest.raises(
        ValidationError, match="maximum_s is 600 and minimum_s 900: nothing could be promoted"
    ):
        ObserveSettings(minimum_s=900, maximum_s=600)
    with pytest.raises(ValidationError, match="minimum_requests is 500 and planned_requests 400"):
        ObserveSettings(planned_requests=400)


@pytest.mark.parametrize("margin", Margins.model_fields)
def test_a_margin_of_nothing_could_never_be_shown(margin: str) -> None:
    """Only milliseconds may be none: the relative margin of the latency remains."""
    if margin == "latency_ms":
        assert Margins(latency_ms=0).latency_ms == 0
        return
    with pytest.raises(ValidationError, match=margin):
        Margins.model_validate({margin: 0})


def test_an_unknown_key_is_named() -> None:
    """As in every section of the configuration."""
    with pytest.raises(ValidationError, match="minimum_request"):
        ObserveSettings.model_validate({"minimum_request": 3})

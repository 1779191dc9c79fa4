"""What is measured can be chosen, and a mistake in it is found before anything runs."""

import pytest
from pydantic import ValidationError

from steps.evaluation.robustness.corruptions import CHANGES
from steps.evaluation.robustness.settings import CORRUPTIONS, RobustnessSettings


def test_every_corruption_at_every_severity_is_measured_unless_it_is_said() -> None:
    """And each that can be named can be made."""
    found = RobustnessSettings()
    assert found.corruptions == CORRUPTIONS
    assert found.severities == (1, 2, 3, 4, 5)
    assert set(CHANGES) == set(CORRUPTIONS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("corruptions", ("rain",)),
        ("corruptions", ()),
        ("corruptions", ("blur", "blur")),
        ("severities", (0,)),
        ("severities", (6,)),
        ("severities", (1, 1)),
        ("epsilons_255", (0,)),
        ("epsilons_255", (0.5,)),
        ("epsilons_255", (2, 2)),
        ("pgd_steps", 0),
        ("pictures", -1),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(key: str, value: object) -> None:
    """An unknown corruption, a severity that there is not, an ε below one level of a picture."""
    with pytest.raises(ValidationError, match=key):
        RobustnessSettings.model_validate({key: value})

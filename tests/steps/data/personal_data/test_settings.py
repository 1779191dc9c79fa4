"""Tests of steps/data/personal_data/settings.py."""

import pytest
from pydantic import ValidationError

from steps.data.personal_data.settings import PersonalDataSettings


def test_an_unknown_region_is_refused() -> None:
    """A region in which no number could be found would make every number pass."""
    with pytest.raises(ValidationError, match="UK is no region"):
        PersonalDataSettings(regions=("DE", "UK"))


def test_an_unknown_policy_is_refused() -> None:
    """There are three."""
    with pytest.raises(ValidationError, match="'refuse', 'mask' or 'warn'"):
        PersonalDataSettings.model_validate({"columns": "ignore"})

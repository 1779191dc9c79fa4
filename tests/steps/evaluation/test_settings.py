"""The settings of an evaluation: each part is one section, and a typo in any of them is found."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from materializers.evaluation.metric import Section
from materializers.evaluation_report import EvaluationReport
from materializers.report import Record
from steps.evaluation.settings import EvaluateSettings

PARTS = [name for name, field in EvaluateSettings.model_fields.items() if isinstance(field.default, Record)]
WITHOUT_SETTINGS = {"champion", "anchor", "discrimination", "fairness", "watermark"}
"""Set elsewhere: in the policy, above all parts, with the slices, with the training."""


def test_every_part_of_a_report_has_its_section() -> None:
    """Under the name that it has in the report, and no section is about anything else."""
    sections = {
        name
        for name, field in EvaluationReport.model_fields.items()
        if any(isinstance(kind, type) and issubclass(kind, Section) for kind in get_args(field.annotation))
    }
    assert sections == {*PARTS, *WITHOUT_SETTINGS}


@pytest.mark.parametrize("part", PARTS)
def test_a_typo_in_any_section_is_an_error(part: str) -> None:
    """It names the key."""
    with pytest.raises(ValidationError, match=f"{part}.pictures_"):
        EvaluateSettings.model_validate({part: {"pictures_": 3}})


def test_a_top_k_of_one_is_no_second_accuracy() -> None:
    """It would be the accuracy under another name."""
    with pytest.raises(ValidationError, match="top_k"):
        EvaluateSettings(top_k=1)

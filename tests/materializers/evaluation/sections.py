"""What every section has to hold."""

from __future__ import annotations

from materializers.evaluation.metric import Section


def names(section: Section) -> list[str]:
    """The metrics that it hands over."""
    return [each.metric for each in section.measured()]


def check_not_assessed(kind: type[Section], metrics: list[str]) -> None:
    """A part that was not measured says so for every number that a rule may be about."""
    section = kind(not_assessed="the reason")
    handed_over = list(section.measured())
    assert [each.metric for each in handed_over] == metrics
    assert all(each.value is None and each.reason == "the reason" for each in handed_over)
    assert kind.model_validate_json(section.model_dump_json()) == section

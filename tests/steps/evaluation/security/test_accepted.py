"""An advisory is accepted by name, for one package, with a reason, until a day."""

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from materializers.evaluation.security import Advisory
from steps.evaluation.security.accepted import AcceptedAdvisory, judge_advisory
from steps.evaluation.security.settings import SecuritySettings

LISTED = {
    "id": "CVE-2026-1",
    "package": "scikit_image",
    "reason": "the reader of TIFF is not reached",
    "expires": "2027-01-15",
}
FOUND = Advisory(
    id="PYSEC-2026-7",
    aliases=("CVE-2026-1",),
    package="scikit-image",
    version="0.25",
    lock="requirements.lock",
)
BEFORE, THEN = date(2027, 1, 14), date(2027, 1, 15)


def settings(*listed: dict[str, Any]) -> SecuritySettings:
    """The settings with a list, as YAML gives it."""
    return SecuritySettings.model_validate({"accepted": listed})


@pytest.mark.parametrize(
    ("changed", "day", "standing"),
    [
        ({}, BEFORE, "accepted"),
        ({}, THEN, "expired"),
        ({"id": "CVE-2026-1", "aliases": ()}, BEFORE, "accepted"),
        ({"aliases": ("CVE-2026-2",)}, BEFORE, "unlisted"),
        ({"package": "pillow"}, BEFORE, "unlisted"),
        ({"package": "Scikit.Image"}, BEFORE, "accepted"),
    ],
)
def test_the_list_decides_by_name_package_and_day(
    changed: dict[str, object], day: date, standing: str
) -> None:
    """Any of its names will do; another package, or a later day, will not."""
    judged = judge_advisory(FOUND.model_copy(update=changed), settings(LISTED).accepted, day)
    assert judged.standing == standing
    assert (judged.reason is None) == (standing == "unlisted")


def test_without_a_list_nothing_is_accepted() -> None:
    """The settings as they come accept nothing."""
    assert judge_advisory(FOUND, SecuritySettings().accepted, BEFORE).standing == "unlisted"


def test_two_names_of_one_finding_hold_as_long_as_the_later() -> None:
    """Listed by both its names it is accepted until the last of both days."""
    both = settings(LISTED, LISTED | {"id": "PYSEC-2026-7", "expires": "2027-02-01"})
    assert judge_advisory(FOUND, both.accepted, THEN).standing == "accepted"


WRONG: dict[str, tuple[list[dict[str, Any]], str]] = {
    "no reason": ([LISTED | {"reason": "ok"}], "accepted.0.reason"),
    "no expiry": ([{key: LISTED[key] for key in ("id", "package", "reason")}], "accepted.0.expires"),
    "no date": ([LISTED | {"expires": "never"}], "accepted.0.expires"),
    "a typo": ([LISTED | {"severity": "low"}], "accepted.0.severity"),
    "twice": ([LISTED, LISTED | {"package": "scikit-image"}], "CVE-2026-1 of scikit-image is listed twice"),
}


@pytest.mark.parametrize(("listed", "named"), WRONG.values(), ids=WRONG)
def test_a_wrong_list_is_refused_and_the_place_named(listed: list[dict[str, Any]], named: str) -> None:
    """A list that cannot be read accepts nothing by accident."""
    with pytest.raises(ValidationError, match=named):
        settings(*listed)


def test_an_acceptance_is_a_record_of_its_own() -> None:
    """What the configuration gives is what is judged by."""
    assert settings(LISTED).accepted == (AcceptedAdvisory(**(LISTED | {"expires": THEN})),)

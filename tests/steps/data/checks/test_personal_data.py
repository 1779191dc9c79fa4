"""Tests of steps/data/checks/personal_data.py: refused, masked, warned and not assessed."""

from typing import Literal

import pytest

from steps.data.checks.personal_data import check_columns, check_pictures
from steps.data.personal_data.columns import Finding
from steps.data.personal_data.pictures import Box, NotInstalled, PictureKind, PicturesFindings
from steps.data.personal_data.settings import PersonalDataSettings, Policy

FOUND = [Finding("note", "e-mail", 3, ("a…@…",)), Finding("photographer", "name", 1200, ("A… S…",))]
CLEAN = PicturesFindings((), ())
FACE = PicturesFindings((Box(1, 2, 30, 30),), ())
SMALL = PicturesFindings(None, None, "28 × 28 pixels")


def with_policy(policy: Policy) -> PersonalDataSettings:
    """The same for columns and pictures."""
    return PersonalDataSettings(columns=policy, pictures=policy)


POLICIES: list[tuple[Policy, Literal["refused", "warned"], str]] = [
    ("refuse", "refused", "refuse"),
    ("mask", "warned", "refuse"),
    ("warn", "warned", "warn"),
]


@pytest.mark.parametrize(("policy", "outcome", "severity"), POLICIES)
def test_personal_data_in_columns_goes_by_the_policy(policy: Policy, outcome: str, severity: str) -> None:
    """The column, the kind and the rows are told, and no value."""
    check = check_columns(FOUND, with_policy(policy), {})
    assert (check.name, check.outcome, check.severity) == ("personal_data: columns", outcome, severity)
    assert (check.measured, check.limit) == (1203, 0)
    assert "note: e-mail in 3 rows (such as a…@…); photographer: name in 1,200 rows" in check.reason


def test_clean_columns_pass() -> None:
    """Nothing found by all three."""
    check = check_columns([], with_policy("refuse"), {})
    assert (check.outcome, check.measured) == ("passed", 0)


def test_columns_that_nobody_could_look_through_are_not_assessed() -> None:
    """A missing package is named, and what the others found is told; a refusal stays one."""
    check = check_columns([], with_policy("warn"), {"name": "names"})
    assert (check.outcome, check.measured) == ("not_assessed", None)
    assert "name needs names, which is not installed" in check.reason
    assert "photographer" in check_columns(FOUND, with_policy("warn"), {"phone": "phonenumbers"}).reason
    assert check_columns(FOUND, with_policy("refuse"), {"phone": "phonenumbers"}).outcome == "refused"


@pytest.mark.parametrize(("policy", "outcome", "severity"), POLICIES)
def test_faces_go_by_the_policy(policy: Policy, outcome: str, severity: str) -> None:
    """Where they are is told; texts have a check of their own."""
    found = [("shop/a.jpg", CLEAN), ("shop/b.jpg", FACE)]
    faces, texts = check_pictures(found, 10, with_policy(policy), {})
    assert (faces.name, faces.outcome, faces.severity) == ("personal_data: faces", outcome, severity)
    assert (faces.measured, faces.limit) == (1, 0)
    assert "2 of 10 pictures were examined for a face, and 1 have, 0 may: shop/b.jpg." in faces.reason
    assert (texts.name, texts.outcome, texts.measured) == ("personal_data: texts", "passed", 0)


def test_at_most_five_pictures_are_named() -> None:
    """A report is no list."""
    faces, _ = check_pictures([(f"{n}.jpg", FACE) for n in range(9)], 9, with_policy("warn"), {})
    assert faces.measured == 9
    assert "0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, …" in faces.reason


def test_a_missing_detector_is_not_assessed() -> None:
    """It is named with what failed; the other kind is assessed."""
    missing: dict[PictureKind, NotInstalled] = {
        "faces": NotInstalled("opencv-python-headless", "No module named 'cv2'")
    }
    found = [("a.jpg", PicturesFindings(None, ()))]
    faces, texts = check_pictures(found, 1, with_policy("refuse"), missing)
    assert (faces.outcome, faces.measured, faces.severity) == ("not_assessed", None, "refuse")
    assert "opencv-python-headless is not installed (No module named 'cv2')" in faces.reason
    assert texts.outcome == "passed"


def test_pictures_too_small_to_examine_are_not_called_clean() -> None:
    """Alone they leave the check not assessed; among others they are counted."""
    faces, texts = check_pictures([("a.png", SMALL)], 1, with_policy("warn"), {})
    assert faces.outcome == texts.outcome == "not_assessed"
    faces, _ = check_pictures([("a.png", SMALL), ("b.png", CLEAN)], 2, with_policy("warn"), {})
    assert faces.outcome == "passed"
    assert "1 of 2 pictures were examined for a face (1 are too small), and none has" in faces.reason


def test_a_delivery_that_nobody_examined_is_not_assessed() -> None:
    """``examined_pictures: 0`` looks at nothing."""
    assert {check.outcome for check in check_pictures([], 10, with_policy("warn"), {})} == {"not_assessed"}

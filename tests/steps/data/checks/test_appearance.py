"""Tests of steps/data/checks/appearance.py: each way of looking odd, below its limit and above."""

import pandas as pd
import pytest

from materializers.data_report import Check
from steps.data.checks.appearance import AppearanceSettings, appearance, odd_pictures
from steps.data.checks.limits import CheckLimit

GOOD: dict[str, float] = {
    "brightness": 127.0,
    "contrast": 54.0,
    "sharpness": 600.0,
    "saturation": 66.0,
    "width": 256,
    "height": 341,
}
ODD: dict[str, dict[str, float]] = {
    "too_dark": {"brightness": 12.0},
    "too_bright": {"brightness": 250.0},
    "blurred": {"sharpness": 7.0},
    "flat": {"contrast": 2.0},
    "odd_size": {"width": 2560, "height": 3410},
    "near_monochrome": {"saturation": 0.5},
}


def index_of(odd: int, **values: float) -> pd.DataFrame:
    """100 pictures, some of them with these measures."""
    rows = [GOOD | values] * odd + [GOOD] * (100 - odd)
    return pd.DataFrame(rows).assign(image_id=[f"{n}" for n in range(100)])


def checked(index: pd.DataFrame, settings: AppearanceSettings | None = None) -> dict[str, Check]:
    """The checks by name."""
    return {check.name: check for check in appearance(index, settings or AppearanceSettings())}


def test_ordinary_pictures_pass() -> None:
    """Nothing is odd, and each check says so."""
    checks = checked(index_of(0))
    assert checks.keys() == ODD.keys()
    assert {check.outcome for check in checks.values()} == {"passed"}
    assert {check.measured for check in checks.values()} == {0}


@pytest.mark.parametrize("name", ODD)
def test_many_odd_pictures_warn(name: str) -> None:
    """6 of 100 are more than each limit admits, and only their own check says so."""
    checks = checked(index_of(6, **ODD[name]))
    assert [check.name for check in checks.values() if check.outcome != "passed"] == [name]
    assert checks[name].outcome == "warned"
    assert checks[name].measured == 0.06
    assert checks[name].reason.startswith("6 pictures ")
    assert f"raise validate.pictures.appearance.{name}.limit" in checks[name].reason


@pytest.mark.parametrize("name", ODD)
def test_a_few_odd_pictures_pass(name: str) -> None:
    """One in a hundred is at every limit, and is named."""
    index = index_of(1, **ODD[name])
    assert checked(index)[name].outcome == "passed"
    odd = odd_pictures(index, AppearanceSettings())
    assert index["image_id"][odd[name]].tolist() == ["0"]


@pytest.mark.parametrize("name", ODD)
def test_a_policy_can_refuse(name: str) -> None:
    """The severity is configured."""
    settings = AppearanceSettings.model_validate({name: {"limit": 0.02, "severity": "refuse"}})
    check = checked(index_of(6, **ODD[name]), settings)[name]
    assert (check.outcome, check.limit, check.severity) == ("refused", 0.02, "refuse")


def test_small_pictures_are_odd_among_larger_ones() -> None:
    """An eighth of the median side is as odd as eight times."""
    assert checked(index_of(10, width=32, height=42))["odd_size"].outcome == "warned"
    assert checked(index_of(10, width=341, height=256))["odd_size"].outcome == "passed"


def test_a_grey_delivery_is_not_odd() -> None:
    """Where most pictures have no colour, none stands out."""
    assert checked(index_of(100, saturation=0.0))["near_monochrome"].outcome == "passed"
    assert checked(index_of(40, saturation=0.0))["near_monochrome"].outcome == "warned"


def test_what_was_not_measured_is_not_assessed() -> None:
    """Pictures of an older format have no measures: nothing is known, and that is said."""
    checks = checked(index_of(100, brightness=float("nan")))
    assert checks["too_dark"].outcome == "not_assessed"
    assert checks["too_dark"].measured is None
    assert checks["blurred"].outcome == "passed"
    half = index_of(50, brightness=float("nan"))
    half.loc[90:, "brightness"] = 1.0
    assert checked(half)["too_dark"].measured == 0.2  # of the 50 that were measured


def test_nullable_columns_are_read() -> None:
    """The index keeps missing measures as NA."""
    index = index_of(0).convert_dtypes()
    index.loc[0, "brightness"] = pd.NA
    assert checked(index)["too_dark"].measured == 0


def test_unknown_settings_are_refused() -> None:
    """A typo is named."""
    with pytest.raises(ValueError, match="too_drak"):
        AppearanceSettings.model_validate({"too_drak": CheckLimit(limit=0, severity="warn")})

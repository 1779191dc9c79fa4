"""Check what the pictures look like: too dark, too bright, blurred, flat, of odd size, without colour.

A picture is judged by its measures, which were taken when it arrived; a check is of the share of such ones.
"""

import pandas as pd
from pydantic import Field

from materializers.data_report import Check
from materializers.report import Record, counted
from steps.data.checks.judging import judged, not_assessed
from steps.data.checks.limits import CheckLimit

MEASURED = {
    "too_dark": "brightness",
    "too_bright": "brightness",
    "blurred": "sharpness",
    "flat": "contrast",
    "odd_size": "width",
    "near_monochrome": "saturation",
}
"""Check → the column that it needs."""
SHOWN = {
    "too_dark": "too dark",
    "too_bright": "too bright",
    "blurred": "blurred",
    "flat": "of nearly one colour alone",
    "odd_size": "far larger or smaller than most",
    "near_monochrome": "with nearly no colour, where most have some",
}


def _at_most(share: float) -> CheckLimit:
    return CheckLimit(limit=share, severity="warn")


class AppearanceSettings(Record):
    """When a picture counts as odd, and what share may be.

    Measured on 3,781 telephone photographs (``clothing-dataset-small``) and on the 3,000 pictures of
    Fashion-MNIST in the first sample delivery: see each value.
    """

    dark_below: float = Field(default=20, ge=0, le=255)
    """Mean luma. The darkest photograph has 39; 1.2 % of the sample, garments on black, are below."""
    bright_above: float = Field(default=245, ge=0, le=255)
    """Mean luma. The brightest photograph has 203; a small product on a white ground comes near the limit."""
    blurred_below: float = Field(default=30, ge=0)
    """Variance of the Laplacian. 0.1 % of the photographs are below, and 99 % of them once they are blurred
    by 2 pixels of 256."""
    flat_below: float = Field(default=8, ge=0, le=127.5)
    """Standard deviation of luma. The flattest photograph has 10.9, the flattest of the sample 22.6."""
    odd_size_factor: float = Field(default=4, gt=1)
    """How many times the median side, the root of the pixels, a picture may be larger or smaller."""
    colourless_below: float = Field(default=3, ge=0, le=255)
    """Mean saturation. 2 photographs are below. Counts only where half of the pictures are above: in a set of
    grey pictures, none is odd."""

    too_dark: CheckLimit = _at_most(0.05)
    too_bright: CheckLimit = _at_most(0.05)
    blurred: CheckLimit = _at_most(0.05)
    flat: CheckLimit = _at_most(0.01)
    odd_size: CheckLimit = _at_most(0.05)
    near_monochrome: CheckLimit = _at_most(0.05)


def odd_pictures(index: pd.DataFrame, settings: AppearanceSettings) -> pd.DataFrame:
    """Say of each picture what is odd about it.

    Args:
        index: one row a picture; columns ``brightness``, ``contrast``, ``sharpness``, ``saturation``,
            ``width`` and ``height``; missing where a picture was not measured.
        settings: when a picture is odd.

    Returns:
        A bool column for each of ``MEASURED``, with the index of ``index``; False where nothing is known.
    """
    measures = index[["brightness", "contrast", "sharpness", "saturation", "width", "height"]].astype(
        "float64"
    )
    side = (measures["width"] * measures["height"]) ** 0.5
    factor = side / side.median()
    colourless = measures["saturation"] < settings.colourless_below
    return pd.DataFrame(
        {
            "too_dark": measures["brightness"] < settings.dark_below,
            "too_bright": measures["brightness"] > settings.bright_above,
            "blurred": measures["sharpness"] < settings.blurred_below,
            "flat": measures["contrast"] < settings.flat_below,
            "odd_size": (factor > settings.odd_size_factor) | (factor < 1 / settings.odd_size_factor),
            "near_monochrome": colourless
            & bool(measures["saturation"].dropna().median() >= settings.colourless_below),
        }
    )


def appearance(index: pd.DataFrame, settings: AppearanceSettings) -> list[Check]:
    """A check for each way of looking odd: the share of the measured pictures that do.

    Args:
        index: as ``odd_pictures`` takes it.
        settings: when a picture is odd, and what share may be.
    """
    odd = odd_pictures(index, settings)
    return [_share(name, odd[name], index[column].notna(), settings) for name, column in MEASURED.items()]


def _share(name: str, odd: pd.Series, measured: pd.Series, settings: AppearanceSettings) -> Check:
    bound: CheckLimit = getattr(settings, name)
    if not measured.any():
        reason = f"None of the {len(odd):,} pictures was measured when it arrived; deliver them again."
        return not_assessed(name, bound, reason)
    share = float(odd.sum() / measured.sum())
    reason = (
        f"{counted(int(odd.sum()), 'picture')} {SHOWN[name]}, {share:.1%}; at most {bound.limit:.1%} may be."
    )
    mend = f"Look at them, or raise validate.pictures.appearance.{name}.limit."
    return judged(name, share, bound, "at most", reason, mend)

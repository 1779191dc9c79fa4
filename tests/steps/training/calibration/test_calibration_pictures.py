"""The charts of a calibration are small pictures, whatever the numbers."""

import io

import numpy as np
import pytest
from PIL import Image

from steps.training.calibration.calibration import CalibrateSettings, calibrate
from steps.training.calibration.calibration_pictures import reliability_picture, risk_coverage_picture


@pytest.mark.parametrize("n", [1, 30, 5000])
@pytest.mark.parametrize("risk", [None, 0.05])
def test_both_are_small_charts_that_show_no_picture(n: int, risk: float | None) -> None:
    """For one picture and for thousands, with a risk and without, and Matplotlib says that it drew them."""
    generator = np.random.default_rng(n)
    labels = generator.integers(0, 3, n)
    logits = (generator.normal(size=(n, 3)) + 2 * np.eye(3)[labels]).astype(np.float32)
    found = calibrate(logits, labels, CalibrateSettings(risk=risk))
    for draw in (reliability_picture, risk_coverage_picture):
        png = draw(logits, labels, found)
        assert 3_000 < len(png) < 60_000
        with Image.open(io.BytesIO(png)) as image:
            assert image.info["Software"].startswith("Matplotlib")

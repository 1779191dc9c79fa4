"""The pictures are small, show what was measured, and can be erased from."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from materializers.classifier import Classifier
from materializers.evaluation.metric import Metric
from materializers.evaluation.robustness import AtSeverity, Corrupted
from materializers.image_dataset import ImageDataset, Picture
from materializers.picture_sheet import erase_from_sheet, may_show, places_of
from serving.model_directory import ModelMetadata, Preprocessing
from serving.predictor import Predictor
from steps.evaluation.examined import Examined
from steps.evaluation.robustness.pictures import HEAD, NAMES, corruption_sheet, severity_curves
from steps.evaluation.robustness.settings import RobustnessSettings
from steps.training.export import export
from steps.training.networks.network import build_network
from tests.steps.training.examples import CLASSES, settings

LIMIT = 120_000


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_the_sheet_has_a_row_a_corruption_and_a_column_a_severity(examined: Examined) -> None:
    """The first column is the picture as it is, the same in every row."""
    chosen = RobustnessSettings(corruptions=("brightness", "fog"), severities=(1, 5))
    shown = pixels(corruption_sheet(examined, 0, chosen))[HEAD:, NAMES:]
    cells = shown.reshape(2, shown.shape[0] // 2, 3, shown.shape[1] // 3, 3).swapaxes(1, 2).astype(float)
    assert np.abs(cells[0, 0] - cells[1, 0]).mean() < 1
    assert np.abs(cells[0, 2] - cells[0, 0]).mean() > np.abs(cells[0, 1] - cells[0, 0]).mean() > 1


def test_the_sheet_can_be_erased_from(examined: Examined) -> None:
    """It says which picture it shows, and where: nothing of it is left afterwards."""
    sheet, image_id = corruption_sheet(examined, 3, RobustnessSettings()), examined.image_ids[3]
    assert list(places_of(sheet) or {}) == [image_id]
    erased = erase_from_sheet(sheet, [image_id])
    assert erased is not None
    assert not may_show(erased, [image_id])
    assert (pixels(erased)[HEAD:, NAMES:] == 255).all()


@pytest.mark.parametrize("side", [64, 224])
def test_the_sheet_stays_small_for_the_worst_picture(examined: Examined, tmp_path: Path, side: int) -> None:
    """Noise, which no PNG makes smaller, in every cell."""
    chosen = settings(preprocessing=Preprocessing(height=side, width=side))
    metadata = ModelMetadata(
        architecture="small_cnn", classes=tuple(CLASSES), preprocessing=chosen.preprocessing
    )
    export(build_network(chosen, len(CLASSES)), metadata, tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    dataset = ImageDataset.from_pictures([Picture(buffer.getvalue(), "dark", side, side, 1, "noise.png")])
    large = replace(
        examined,
        classifier=Classifier(tmp_path, examined.classifier.record),
        predictor=Predictor.load(tmp_path / "serving"),
        dataset=dataset,
        image_ids=tuple(dataset.index["image_id"]),
    )
    assert len(corruption_sheet(large, 0, RobustnessSettings())) <= LIMIT


def test_the_curves_show_every_corruption() -> None:
    """One that is not defined has a line without points, and the picture is drawn all the same."""

    def corrupted(name: str, *values: float | None) -> Corrupted:
        metrics = [Metric(value=value, n=9) for value in values]
        at = [AtSeverity(severity=k, accuracy=one, relative_accuracy=one) for k, one in enumerate(metrics, 1)]
        return Corrupted(corruption=name, relative_accuracy=metrics[0], severities=tuple(at))

    low = corrupted("blur", 0.9, 0.5, 0.1)
    few = severity_curves([low], Metric(value=0.5, n=9))
    more = severity_curves([low, corrupted("fog", 0.8, 0.7, 0.6)], Metric(value=0.5, n=9))
    undefined = severity_curves([corrupted("fog", None, None, None)], Metric(value=None, n=9))
    backwards = low.model_copy(update={"severities": low.severities[::-1]})
    assert np.array_equal(pixels(severity_curves([backwards], Metric(value=0.5, n=9))), pixels(few))
    for png in (few, more, undefined):
        assert len(png) < 60_000
        assert places_of(png) == {}
    assert np.count_nonzero(pixels(more) != pixels(few)) > 200

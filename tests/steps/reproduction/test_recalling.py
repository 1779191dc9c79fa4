"""What a version was trained from is found in what was recorded of it, or it is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from materializers.errors import Refused
from materializers.evidence import RegisteredVersion
from materializers.report import Record
from serving.model_directory import ModelMetadata, Preprocessing, model_digest, write_metadata
from steps.reproduction import recalling
from steps.training.calibration.calibration import CalibrateSettings, calibrate, write_calibration
from steps.training.settings import TrainSettings
from tests.materializers.examples import MODEL, NOON
from tests.steps.training.examples import CLASSES, dataset, settings, splits, trained

ENTRY = RegisteredVersion(model_name=MODEL, version=3, created=NOON, aliases=(), tags={})


def record(**said: Any) -> Any:
    """A record that has these fields beside the digest of its code."""
    return SimpleNamespace(code="e5" * 32, **said)


def step_run(recorded: TrainSettings, **others: Record) -> Any:
    """A step that was called with these settings."""
    given = {"settings": recorded, **others}
    parameters = {name: value.model_dump(mode="json") for name, value in given.items()}
    return SimpleNamespace(config=SimpleNamespace(parameters=parameters))


def test_the_settings_are_those_of_the_record() -> None:
    """They are what was trained with, whatever the run was called with before it was tuned."""
    tuned, called = settings(dropout=0.45), settings(dropout=0.1)
    said = record(settings=tuned.model_dump(mode="json"))
    assert recalling._settings(ENTRY, said, step_run(called)) == tuned


def test_a_record_of_format_1_lacks_them_and_its_run_does_not() -> None:
    """Nothing was tuned when records had no settings yet."""
    called = settings(dropout=0.1)
    assert recalling._settings(ENTRY, record(settings=None), step_run(called)) == called


def test_calibration_is_as_the_run_was_called(tmp_path: Path) -> None:
    """The record has what it came to, the run what was asked for."""
    asked = CalibrateSettings(risk=0.1, confidence=0.9)
    said = trained(tmp_path, epochs=1).record
    assert recalling._calibration(ENTRY, said, step_run(settings(), calibration=asked)) == asked


def test_what_was_not_calibrated_is_not_calibrated_now(tmp_path: Path) -> None:
    """A version of before there was a calibration: the same metadata, and so the same digest."""
    none = recalling._calibration(ENTRY, record(calibration=None), step_run(settings()))
    (tmp_path / "model.onnx").write_bytes(b"")
    preprocessing = Preprocessing(height=16, width=16)
    early = ModelMetadata(architecture="small_cnn", classes=tuple(CLASSES), preprocessing=preprocessing)
    write_metadata(tmp_path, early)
    before = model_digest(tmp_path)
    assert write_calibration(tmp_path, calibrate(np.eye(3, dtype=np.float32), np.arange(3), none)) == before


def test_settings_of_another_code_are_refused() -> None:
    """The key, and the digest of the code that knows it."""
    said = record(settings=settings().model_dump(mode="json") | {"momentum": 0.9})
    with pytest.raises(Refused, match=r"does not know its settings \(momentum: .*digest is e5e5e5e5e5e5"):
        recalling._settings(ENTRY, said, step_run(settings()))


def test_forgotten_pictures_count_where_they_were_learnt_from() -> None:
    """Also where they chose the epoch; a test picture changes nothing of a model."""
    pictures = dataset()
    groups = splits(pictures)
    tested = pictures.without(groups.image_ids("test"))
    recalling._refuse_forgotten(ENTRY, tested, groups)
    one = tested.without(groups.image_ids("validation")[:1])
    with pytest.raises(
        Refused, match=r"^Version 3 of .*: 1 of the 48 pictures that it learnt from or was chosen by was"
    ):
        recalling._refuse_forgotten(ENTRY, one, groups)

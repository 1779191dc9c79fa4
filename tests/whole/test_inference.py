"""Bulk inference: a folder of pictures, classified by what is live, as the service classifies them."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from tests.shrunk.delivery import PROJECT
from tests.whole.shop import Outcome, Shop

PHOTOS = sorted((PROJECT / "data" / "photos").glob("*.png"))


@pytest.fixture(scope="module")
def inferred(serving: Shop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, pd.DataFrame, Path]:
    """Photographs and a file that is none, classified in bulk."""
    folder = tmp_path_factory.mktemp("pictures")
    for photo in PHOTOS:
        (folder / photo.name).write_bytes(photo.read_bytes())
    (folder / "words.jpg").write_text("not a picture")
    (folder / "notes.txt").write_text("no picture by its name either")
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(
        PHOTOS[0].read_bytes()
    )  # Latin-1, as old disks have it
    output = folder / "answers" / "predictions.parquet"
    outcome = serving.run(infer=True, input=str(folder), output=str(output))
    return outcome, pd.read_parquet(output).set_index("path"), folder


def test_every_picture_has_a_row(inferred: tuple[Outcome, pd.DataFrame, Path], serving: Shop) -> None:
    """The Parquet file has one row a picture, with the version that is live."""
    outcome, predictions, _ = inferred
    assert (outcome.exit_code, outcome.last["status"]) == (0, "completed")
    assert set(predictions.index) == {photo.name for photo in PHOTOS} | {"words.jpg", "caf\\xe9.png"}
    assert predictions.loc["caf\\xe9.png", "label"] == predictions.loc[PHOTOS[0].name, "label"]
    served = serving.served()
    assert served is not None
    assert {int(version) for version in predictions["model_version"]} == {served[0]}


def test_a_bad_picture_has_its_reason(inferred: tuple[Outcome, pd.DataFrame, Path]) -> None:
    """What cannot be classified says why, and stops nothing."""
    row = inferred[1].loc["words.jpg"]
    assert "not_an_image" in row["error"]
    assert pd.isna(row["label"])


def test_bulk_and_service_answer_alike(inferred: tuple[Outcome, pd.DataFrame, Path], serving: Shop) -> None:
    """``--infer`` and ``--predict`` give one picture the same label and probabilities."""
    outcome = serving.run(predict=True, photos=tuple(str(photo) for photo in PHOTOS))
    assert outcome.exit_code == 0
    for photo, answer in zip(PHOTOS, outcome.last["details"]["predictions"], strict=True):
        row = inferred[1].loc[photo.name]
        assert row["label"] == answer["label"]
        for name, probability in answer["probabilities"].items():
            assert row[f"probability_{name}"] == pytest.approx(probability, abs=1e-6)

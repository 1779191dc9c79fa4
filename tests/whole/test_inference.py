"""Bulk inference: a folder of pictures, classified by what is live, as the service classifies them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from zenml.client import Client

from materializers.errors import Refused
from steps.deployment import deployer
from steps.inference.classify import Part
from steps.inference.predict import predict_source
from steps.inference.settings import InferenceSettings
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
    output = tmp_path_factory.mktemp("output") / "answers" / "predictions.parquet"
    outcome = serving.run(infer=True, input=str(folder), output=str(output))
    predictions = pd.read_parquet(output).set_index("path")
    predictions.attrs["output"] = str(output)
    return outcome, predictions, folder


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


def test_the_result_says_what_the_pictures_came_to(inferred: tuple[Outcome, pd.DataFrame, Path]) -> None:
    """Classified, abstained, and bad ones by reason; beside the table, where it comes from."""
    outcome, predictions, folder = inferred
    abstained = int(predictions["abstained"].sum())
    counts = outcome.last["metrics"]
    classified = len(PHOTOS) + 1
    assert counts == {
        **{"pictures": classified + 1, "classified": classified, "abstained": abstained},
        "bad": {"not_an_image": 1},
    }
    assert outcome.last["reasons"][0].endswith("; 1 bad: not_an_image 1")
    said = json.loads(Path(f"{predictions.attrs['output']}.json").read_text())
    assert (said["counts"], said["source"], said["environment"]) == (counts, str(folder), "staging")
    assert {int(version) for version in predictions["model_version"]} == {said["model_version"]}


def test_several_steps_answer_as_one(
    inferred: tuple[Outcome, pd.DataFrame, Path], serving: Shop, tmp_path: Path
) -> None:
    """A part in each, joined by one that waits for them; no row is lost or doubled."""
    folder = inferred[2]
    output = tmp_path / "joined.parquet"
    outcome = serving.run("inference.steps=3", infer=True, input=str(folder), output=str(output))
    assert (outcome.exit_code, outcome.last["status"]) == (0, "completed")
    joined = pd.read_parquet(output).set_index("path")
    pd.testing.assert_frame_equal(joined.sort_index(), inferred[1].sort_index())
    assert outcome.last["metrics"] == inferred[0].last["metrics"]
    run = Client().get_pipeline_run(outcome.last["run"], allow_name_prefix_match=False)
    assert set(run.steps) == {"champion", "predict_1", "predict_2", "predict_3", "join"}


def test_a_model_that_is_replaced_meanwhile_is_not_asked(
    inferred: tuple[Outcome, pd.DataFrame, Path], serving: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was live when the run began answers to its end, whatever the deployer holds by then."""
    live = deployer.active_deployer().current(serving.model, "staging")
    assert live is not None
    assert live.candidate is not None

    def gone() -> None:
        raise AssertionError("it was asked again")

    monkeypatch.setattr(deployer, "active_deployer", gone)
    again = predict_source(live, str(inferred[2]), InferenceSettings(), "c" * 64, Part())
    pd.testing.assert_frame_equal(again.rows.set_index("path"), inferred[1])
    other = live.candidate.model_copy(update={"model_digest": "0" * 64})
    with pytest.raises(Refused, match="the release names 0000"):
        predict_source(
            live.model_copy(update={"candidate": other}),
            str(inferred[2]),
            InferenceSettings(),
            "c" * 64,
            Part(),
        )


def test_what_was_classified_is_not_classified_again(
    inferred: tuple[Outcome, pd.DataFrame, Path], serving: Shop, tmp_path: Path
) -> None:
    """The same command again takes the answers over, and says so."""
    output = tmp_path / "again.parquet"
    assert serving.run(infer=True, input=str(inferred[2]), output=str(output)).exit_code == 0
    pd.testing.assert_frame_equal(pd.read_parquet(output).set_index("path"), inferred[1])
    said = json.loads(Path(f"{output}.json").read_text())
    assert said["taken_over"] == said["counts"]["pictures"] == len(inferred[1])


def test_an_empty_folder_is_wrong_use(serving: Shop, tmp_path: Path) -> None:
    """In one step as in several; nothing is written."""
    (tmp_path / "empty").mkdir()
    for steps in (1, 2):
        outcome = serving.run(
            f"inference.steps={steps}",
            infer=True,
            input=str(tmp_path / "empty"),
            output=str(tmp_path / "p.parquet"),
        )
        assert outcome.exit_code == 2
        assert "holds no picture" in outcome.last["reasons"][0]
    assert not list(tmp_path.rglob("p.parquet*"))


def test_bulk_and_service_answer_alike(inferred: tuple[Outcome, pd.DataFrame, Path], serving: Shop) -> None:
    """``--infer`` and ``--predict`` give one picture the same label and probabilities."""
    outcome = serving.run(predict=True, photos=tuple(str(photo) for photo in PHOTOS))
    assert outcome.exit_code == 0
    for photo, answer in zip(PHOTOS, outcome.last["details"]["predictions"], strict=True):
        row = inferred[1].loc[photo.name]
        assert row["label"] == answer["label"]
        for name, probability in answer["probabilities"].items():
            assert row[f"probability_{name}"] == pytest.approx(probability, abs=1e-6)

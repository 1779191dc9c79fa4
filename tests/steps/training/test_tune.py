"""Tuning and cross-validation of a training, from dataset to report."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save
from zenml.client import Client

from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset
from materializers.splits import TEST, Splits
from materializers.tuning_report import HISTORY, PARALLEL, TuningReport
from steps.training import tune as module
from steps.training.fitting.loop import reproducible
from steps.training.networks.network import build_network
from steps.training.settings import TrainSettings
from steps.training.tune import database_address, described, tune, tune_training
from steps.training.tuning.search import Choices, CrossValidationSettings, Range, TuneSettings, tuned
from tests.conftest import PROJECT
from tests.materializers.stores import disk_store
from tests.steps.training.examples import CLASSES, dataset, settings, splits

SPACE = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "hidden": {"choices": [8, 16]}}
NO_FOLDS = CrossValidationSettings(folds=0)


def search(trials: int, **differences: Any) -> TuneSettings:
    """Two parameters."""
    return TuneSettings.model_validate({"trials": trials, "search_space": SPACE, **differences})


def weighted(folder: Path) -> TrainSettings:
    """A frozen backbone whose weights lie beside the store; the same bytes each time."""
    with reproducible(0, 1):
        backbone = build_network(settings(), len(CLASSES)).backbone
    data = save({name: tensor.contiguous() for name, tensor in backbone.state_dict().items()})
    path = folder.with_suffix(".safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    given = {"weights": str(path), "weights_sha256": hashlib.sha256(data).hexdigest()}
    return settings(freeze_backbone=True, features={"runtime": "torch"}, **given)


def report_of(
    folder: Path,
    trials: int = 4,
    folds: int = 3,
    *,
    pictures: ImageDataset | None = None,
    chosen: Splits | None = None,
    **differences: Any,
) -> TuningReport:
    """What tuning the example comes to, with an artifact store in a folder."""
    given = dataset() if pictures is None else pictures
    return tune_training(
        given,
        splits(given) if chosen is None else chosen,
        CLASSES,
        weighted(folder),
        search(trials, **differences),
        CrossValidationSettings(folds=folds),
        configuration="c",
        code="d",
        store=disk_store(folder),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[TuningReport, Path]:
    """Four trials and three folds, on features; and the store's folder."""
    folder = tmp_path_factory.mktemp("store")
    return report_of(folder), folder


def test_the_report_has_trials_best_parameters_folds_and_pictures(whole: tuple[TuningReport, Path]) -> None:
    """And the digests of what it was made from."""
    report, _ = whole
    assert [trial.number for trial in report.trials] == [1, 2, 3, 4]
    assert report.best.keys() == SPACE.keys()
    best = next(trial for trial in report.trials if trial.parameters == report.best)
    assert best.score == report.score
    assert report.learnt_from == "features"
    assert report.cross_validation is not None
    assert sum(fold.n for fold in report.cross_validation.folds) == 48
    assert report.cross_validation.parameters == report.best
    assert {HISTORY, PARALLEL} <= report.pictures.keys()
    assert report.data == dataset().version
    assert tuned(settings(), report).hidden == report.best["hidden"]


def test_the_same_again_runs_nothing(
    whole: tuple[TuningReport, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials and folds are found where they were kept, and the report is equal to the bit."""
    from steps.training.tuning import cross_validation, study

    monkeypatch.setattr(study, "fit", None)
    monkeypatch.setattr(cross_validation, "fit", None)
    report, folder = whole
    assert report_of(folder) == report


def test_test_pictures_change_nothing(tmp_path: Path) -> None:
    """They are never looked at: without them all is as it was."""
    pictures = dataset()
    chosen = splits(pictures)
    left = pictures.index[~pictures.index["image_id"].isin(chosen.image_ids(TEST))]
    without = ImageDataset(left.reset_index(drop=True), pictures.shards, as_it_is=True)
    report = report_of(tmp_path / "with", 2, pruner="none")
    found = report_of(tmp_path / "without", 2, pruner="none", pictures=without, chosen=chosen)
    assert (found.trials, found.cross_validation) == (report.trials, report.cross_validation)


def test_folds_without_trials(tmp_path: Path) -> None:
    """Then they are those of the configuration as it is."""
    report = report_of(tmp_path, trials=0)
    assert (report.trials, report.best, report.score) == ((), {}, None)
    assert report.cross_validation is not None
    assert report.cross_validation.parameters == {}


def test_more_folds_than_groups_end_before_the_first_trial(tmp_path: Path) -> None:
    """Nothing is computed for what is refused."""
    with pytest.raises(UsageError, match=r"--set cross_validate\.folds=16"):
        report_of(tmp_path, folds=20)
    assert not list(tmp_path.iterdir())


def test_a_batch_larger_than_the_data_ends_before_the_first_trial(tmp_path: Path) -> None:
    """The refusal names the key."""
    space = {"batch_size": {"choices": [8, 64]}}
    with pytest.raises(UsageError, match=r"tune\.search_space\.batch_size goes up to 64.* 36 training"):
        report_of(tmp_path, search_space=space)
    assert not list(tmp_path.iterdir())


def test_nothing_is_done_where_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without trials and folds, or without data, the step returns nothing at once."""
    monkeypatch.setattr(module, "tune_training", None)
    pictures = dataset()
    nothing = tune.entrypoint(
        pictures, splits(pictures), CLASSES, settings(), TuneSettings(trials=0), NO_FOLDS, "c", "d"
    )
    assert nothing is None
    assert tune.entrypoint(None, None, CLASSES, settings(), TuneSettings(), NO_FOLDS, "c", "d") is None


def test_nothing_heavy_is_imported_where_nothing_is_asked_for() -> None:
    """Neither torch nor Optuna, scikit-learn or matplotlib."""
    code = """
import sys
from steps.training.tuning.search import CrossValidationSettings, TuneSettings
from steps.training.settings import TrainSettings
from steps.training.tune import tune
none = CrossValidationSettings(folds=0)
assert tune.entrypoint(None, None, [], TrainSettings(), TuneSettings(trials=0), none, "", "") is None
print({"torch", "optuna", "sklearn", "matplotlib", "mlflow"} & sys.modules.keys())
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    assert run.stdout.strip() == "set()"


def test_a_search_is_described_in_words() -> None:
    """As the report's page has it."""
    assert described(Range(low=0.0001, high=0.01, log=True)) == "0.0001 to 0.01, by orders of magnitude"
    assert described(Range(low=64, high=512, step=64)) == "64 to 512, in steps of 64"
    assert described(Choices(choices=("adam", None))) == "adam, None"


def test_a_databases_address_may_lie_in_a_secret(zenml_client: Client) -> None:
    """Whole, so that no password stands in a configuration; a missing one is wrong use."""
    address = "postgresql://tuner:" + "hunter2" + "@db/optuna"
    zenml_client.create_secret("tuning", {"url": address})
    assert database_address("{{tuning.url}}") == address
    assert database_address("sqlite:///x.db") == "sqlite:///x.db"
    for missing in ("{{tuning.address}}", "{{nobody.url}}"):
        with pytest.raises(UsageError, match="zenml secret create"):
            database_address(missing)


def test_groups_are_those_of_the_splits(tmp_path: Path) -> None:
    """A product's pictures are in one fold."""
    pictures = dataset()
    index = pictures.index.copy()
    numbers = np.arange(len(index)) // 2
    index["group"] = [f"product {label} {n}" for label, n in zip(index["label"], numbers, strict=True)]
    grouped = ImageDataset(index, pictures.shards, as_it_is=True)
    with pytest.raises(UsageError, match=r"groups of pictures to learn from"):
        report_of(tmp_path, folds=16, pictures=grouped, chosen=splits(pictures))

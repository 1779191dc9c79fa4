"""A whole run that tunes and cross-validates before it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from materializers.tuning_report import HISTORY, TuningReport
from tests.whole.shop import Shop

ASKED = (
    "tune.trials=3",
    "tune.pruner=none",
    "tune.search_space={learning_rate: {low: 0.001, high: 0.01, log: true}, batch_size: null}",
    "cross_validate.folds=3",
    "train.epochs=2",
)


def tuning_of(run_name: str) -> tuple[TuningReport, Any]:
    """The report of a run, and the run."""
    from zenml.client import Client

    run = Client().get_pipeline_run(run_name)
    report: TuningReport = run.steps["tune"].outputs["tuning"][0].load()
    return report, run


@pytest.fixture(scope="module")
def shop(open_shop: Callable[[str], Shop]) -> Shop:
    """A model of its own."""
    return open_shop("tuned")


def test_a_run_tunes_validates_and_trains_with_the_best(shop: Shop) -> None:
    """Trials and folds are in the report, each trial a run below the step's, and the model is the best's."""
    from materializers.evidence import registry_client

    outcome = shop.run(*ASKED, "product.experiment=tuned", train=True, source=str(shop.delivery))
    assert outcome.exit_code in (0, 3), outcome.said  # two epochs may be refused
    report, run = tuning_of(outcome.last["run"])
    assert [trial.number for trial in report.trials] == [1, 2, 3]
    assert report.best.keys() == {"learning_rate", "dropout"}
    assert report.cross_validation is not None
    assert len(report.cross_validation.folds) == 3
    assert HISTORY in report.pictures
    classifier = run.steps["train"].outputs["classifier"][0].load()
    assert classifier.record.epochs[0].learning_rate == report.best["learning_rate"]
    client = registry_client()
    experiment = client.get_experiment_by_name("tuned")
    assert experiment is not None
    below = [
        each
        for each in client.search_runs([experiment.experiment_id], "tags.trial != ''")
        if client.get_run(each.data.tags["mlflow.parentRunId"]).data.metrics.get("fold_accuracy_mean")
    ]
    assert sorted(each.data.tags["trial"] for each in below) == ["1", "2", "3"]


def test_the_same_again_tunes_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the cache the study is found complete, and the same model comes out."""
    first = shop.run(*ASKED, train=True, source=str(shop.delivery))
    before, _ = tuning_of(first.last["run"])
    from steps.training.tuning import study

    monkeypatch.setattr(study, "fit", None)
    again = shop.run(*ASKED, train=True, source=str(shop.delivery), no_cache=True)
    assert again.exit_code == first.exit_code, again.said
    assert tuning_of(again.last["run"])[0] == before
    assert again.last["version"] == first.last["version"]


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("tune.search_space={}", "search_space is empty"),
        ("tune.search_space.dropout={low: 0.5, high: 0.1}", "low must be below high"),
        ("tune.search_space.learning_rte={low: 0.1, high: 0.5}", "did you mean 'learning_rate'?"),
        ("tune.search_space.dropout={low: 0.5, high: 1}", "train.dropout cannot be 1.0"),
    ],
)
def test_an_impossible_search_starts_nothing(shop: Shop, assignment: str, said: str) -> None:
    """Wrong use, before anything runs."""
    outcome = shop.run("tune.trials=3", assignment, train=True, source=str(shop.delivery))
    assert outcome.exit_code == 2
    assert said in outcome.said
    assert outcome.last["run"] is None


def test_more_folds_than_groups_is_wrong_use(shop: Shop) -> None:
    """Found out in the step that knows the data; the refusal says what to set."""
    outcome = shop.run("cross_validate.folds=99", train=True, source=str(shop.delivery))
    assert outcome.exit_code == 2
    assert "--set cross_validate.folds=" in outcome.said

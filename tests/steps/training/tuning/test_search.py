"""What may be searched for, and what is refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from materializers.errors import UsageError
from materializers.tuning_report import TuningReport
from steps.training.tuning.search import (
    Choices,
    CrossValidationSettings,
    Range,
    TuneSettings,
    check_searchable,
    is_whole,
    tuned,
    with_values,
)
from tests.steps.training.examples import settings


def search(space: dict[str, Any], **differences: Any) -> TuneSettings:
    """Settings as a file gives them."""
    return TuneSettings.model_validate({"search_space": space, **differences})


def test_the_defaults_are_the_products() -> None:
    """50 trials over learning rate, batch size and dropout; five folds."""
    assert TuneSettings().trials == 50
    assert TuneSettings().searched == {
        "batch_size": Choices(choices=(16, 32, 64)),
        "dropout": Range(low=0.1, high=0.5),
        "learning_rate": Range(low=0.0001, high=0.01, log=True),
    }
    assert CrossValidationSettings().folds == 5


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "search_space is empty"),
        ({"dropout": None}, "search_space is empty"),
        ({"dropout": {"low": 0.5, "high": 0.1}}, "low must be below high"),
        ({"dropout": {"low": 0.5, "high": 0.5}}, "low must be below high"),
        ({"learning_rate": {"low": 0, "high": 0.1, "log": True}}, "a logarithm needs low above 0"),
        ({"hidden": {"low": 8, "high": 64, "log": True, "step": 8}}, "log and step exclude each other"),
        ({"learning_rte": {"low": 0.1, "high": 0.2}}, "did you mean 'learning_rate'?"),
        ({"augmentation.rotaton": {"low": 1, "high": 2}}, "did you mean 'augmentation.rotation'?"),
        ({"xyzzy": {"low": 1, "high": 2}}, "tuned can be: augmentation, batch_size"),
        ({"architecture": {"choices": ["resnet18", "resnet50"]}}, "is the same in all trials"),
        ({"epochs": {"low": 1, "high": 2}}, "is the same in all trials"),
        ({"batch_size": {"choices": []}}, "at least 1 item"),
        ({"batch_size": {"choices": [16, 16]}}, "each choice is named once; 16 is not"),
        ({"dropout": {"low": 0.1}}, "Field required"),
        ({"dropout": {"low": 0.1, "high": 0.5, "steps": 2}}, "Extra inputs"),
        ({"dropout": {"low": 0.1, "high": float("inf")}}, "finite"),
    ],
)
def test_an_impossible_space_is_refused(space: dict[str, Any], said: str) -> None:
    """The reason says what is wrong, and a misspelt name the nearest right one."""
    with pytest.raises(ValidationError, match="search_space") as refusal:
        search(space)
    assert said in str(refusal.value)


def test_nothing_is_asked_of_a_space_that_nobody_searches() -> None:
    """Without trials an empty space, and a closed-form head, are fine."""
    check_searchable(settings(head="ridge", freeze_backbone=True), search({}, trials=0))


@pytest.mark.parametrize(
    ("space", "differences", "said"),
    [
        ({"dropout": {"low": 0.1, "high": 1.0}}, {}, "train.dropout cannot be 1.0"),
        ({"optimizer": {"choices": ["adam", "sgd"]}}, {}, "train.optimizer cannot be 'sgd'"),
        ({"batch_size": {"choices": [1, 2]}}, {}, "train.batch_size cannot be 1"),
        ({"hidden": {"low": 8.5, "high": 64}}, {}, "train.hidden cannot be 8.5"),
        ({"hidden": {"low": 8, "high": 64, "step": 0.5}}, {}, "train.hidden is whole"),
        ({"head": {"choices": ["linear", "ridge"]}}, {"freeze_backbone": True}, "closed form"),
        (
            {"dropout": {"low": 0.1, "high": 0.5}},
            {"head": "ridge", "freeze_backbone": True},
            "nothing to tune",
        ),
        ({"augmentation.flip": {"low": 0.1, "high": 0.5}}, {"freeze_backbone": True}, "as they came"),
    ],
)
def test_a_value_that_training_refuses_is_refused_before(
    space: dict[str, Any], differences: dict[str, Any], said: str
) -> None:
    """Each bound and each choice is tried on the settings first."""
    with pytest.raises(UsageError) as refusal:
        check_searchable(settings(**differences), search(space))
    assert said in str(refusal.value)


def test_the_products_space_suits_its_training() -> None:
    """Nothing of the defaults is refused."""
    check_searchable(settings(), TuneSettings())
    check_searchable(settings(freeze_backbone=True), TuneSettings())


@pytest.mark.parametrize(
    "storage", [None, "sqlite:////tmp/x.db", "postgresql://tuner@db/optuna", "{{tuning.url}}"]
)
def test_a_database_is_named_without_its_password(storage: str | None) -> None:
    """An address, with an account at most, or a reference to a secret."""
    assert TuneSettings(storage=storage).storage == storage


@pytest.mark.parametrize(
    "storage",
    [
        "postgresql://tuner:" + "hunter2" + "@db/optuna",
        "postgresql://tuner:" + "hunter2" + "@db/optuna?x={{",
        "postgresql://db/optuna?user=tuner&" + "password" + "=hunter2",
    ],
)
def test_a_password_in_the_configuration_is_refused(storage: str) -> None:
    """It belongs into a secret; the refusal says how."""
    with pytest.raises(ValidationError, match="zenml secret create"):
        TuneSettings(storage=storage)


def test_one_fold_is_none() -> None:
    """One fold leaves nothing to learn from."""
    with pytest.raises(ValidationError, match="2 or more, or 0"):
        CrossValidationSettings(folds=1)


def test_values_replace_settings_by_their_key() -> None:
    """Also within a section; all else stays."""
    changed = with_values(settings(), {"learning_rate": 0.5, "augmentation.rotation": 3})
    assert (changed.learning_rate, changed.augmentation.rotation) == (0.5, 3)
    assert with_values(changed, {"learning_rate": 0.001, "augmentation.rotation": 15}) == settings()


def test_the_best_parameters_are_trained_with() -> None:
    """Nothing tuned, nothing changed."""
    report = TuningReport(
        data="a",
        splits="b",
        configuration="c",
        code="d",
        learnt_from="features",
        pruner="none",
        search_space={},
    )
    assert tuned(settings(), None) == tuned(settings(), report) == settings()
    best = report.model_copy(update={"best": {"dropout": 0.4}})
    assert tuned(settings(), best).dropout == 0.4


def test_whole_parameters_are_known() -> None:
    """A layer has no half of a unit."""
    assert is_whole("hidden")
    assert not is_whole("dropout")
    assert is_whole("augmentation.rand_augment")
    assert not is_whole("augmentation.rotation")

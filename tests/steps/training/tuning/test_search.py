"""What may be searched for, and what is refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from materializers.classifier import EpochMetrics
from materializers.errors import UsageError
from materializers.tuning_report import TuningReport
from steps.training.fitting.loop import fit, reproducible
from steps.training.inputs.examples import Rows
from steps.training.material import new_head
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


EPOCHS = 5


def course(**differences: Any) -> tuple[EpochMetrics, ...]:
    """What a training on features measures in which validation gets worse from epoch to epoch."""
    chosen = settings(epochs=EPOCHS, learning_rate=0.1, learning={"loss_limit": 1e9}, **differences)
    labels = torch.arange(60) % 3
    inputs = torch.nn.functional.one_hot(labels, 4).float()
    with reproducible(0, 1):
        model = new_head(chosen, 4, 3)
        return fit(model, Rows(inputs, labels, 3), Rows(inputs, (labels + 1) % 3, 3), chosen).epochs


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
    ],
)
def test_a_value_that_training_refuses_is_refused_before(
    space: dict[str, Any], differences: dict[str, Any], said: str
) -> None:
    """Each bound and each choice is tried on the settings first."""
    with pytest.raises(UsageError) as refusal:
        check_searchable(settings(**differences), search(space))
    assert said in str(refusal.value)


FLIP = {"low": 0.1, "high": 0.5}
HIDDEN = {"low": 8, "high": 64}
LINEAR, COSINE = {"head": "linear"}, {"schedule": "cosine", "epochs": 50}


@pytest.mark.parametrize(
    ("space", "differences", "why"),
    [
        ({"augmentation.flip": FLIP}, {"freeze_backbone": True}, "train.freeze_backbone is true, and feat"),
        ({"augmentation.rand_augment_magnitude": HIDDEN | {"high": 9}}, {}, "rand_augment is 0, so that no"),
        ({"hidden": HIDDEN}, LINEAR, "train.head is linear, which has no hidden layer"),
        ({"hidden": HIDDEN, "head": {"choices": ["linear"]}}, {}, "train.head is linear, which"),
        ({"plateau_factor": FLIP}, COSINE, "train.schedule is cosine, which does not use it"),
        ({"plateau_patience": {"low": 1, "high": 5}}, COSINE, "train.schedule is cosine, which does not"),
        ({"plateau_factor": FLIP}, {"epochs": 7, "plateau_patience": 5}, "is 5, and with 7 epochs the rate"),
        ({"plateau_patience": {"low": 5, "high": 9}}, {"epochs": 7}, "is 5 to 9, and with 7 epochs the rate"),
        ({"early_stopping_patience": {"choices": [6, 9]}}, {"epochs": 7}, "is 6, 9, and with 7 epochs none"),
        ({"optimizer": {"choices": ["adam", "adamw"]}}, {}, "train.weight_decay is 0, and optimizers differ"),
    ],
)
def test_a_parameter_without_effect_is_refused(
    space: dict[str, Any], differences: dict[str, Any], why: str
) -> None:
    """In one line, with the reason, and what takes it out of the search."""
    name = next(iter(space))
    wanted = space | {"learning_rate": {"low": 0.001, "high": 0.01}}
    with pytest.raises(UsageError) as refusal:
        check_searchable(settings(**differences), search(wanted))
    said = str(refusal.value)
    assert said.startswith(f"tune.search_space.{name} has no effect: ")
    assert why in said
    assert said.endswith(f". Leave it out: --set 'tune.search_space={{{name}: null}}'")
    assert "\n" not in said
    check_searchable(settings(**differences), search(wanted | {name: None}))


@pytest.mark.parametrize(
    ("space", "differences"),
    [
        ({"hidden": HIDDEN, "head": {"choices": ["linear", "mlp"]}}, LINEAR),
        ({"plateau_factor": FLIP, "schedule": {"choices": ["cosine", "plateau"]}}, COSINE),
        ({"plateau_factor": FLIP, "plateau_patience": {"low": 4, "high": 9}}, {"epochs": 7}),
        ({"early_stopping_patience": {"low": 5, "high": 9}}, {"epochs": 7}),
        ({"optimizer": {"choices": ["adam", "adamw"]}, "weight_decay": {"low": 0, "high": 0.1}}, {}),
        (
            {
                "augmentation.rand_augment": {"low": 0, "high": 2},
                "augmentation.rand_augment_magnitude": {"low": 1, "high": 9},
            },
            {},
        ),
        (
            {
                "mixup": {"low": 0, "high": 1},
                "class_balance": {"choices": ["none", "weights"]},
                "gradient_clip": {"low": 1, "high": 9},
                "label_smoothing": {"low": 0, "high": 0.2},
                "dropout": FLIP,
            },
            {**LINEAR, "freeze_backbone": True},
        ),
    ],
)
def test_a_parameter_that_some_trial_uses_is_searched(
    space: dict[str, Any], differences: dict[str, Any]
) -> None:
    """What another searched parameter makes it do in one trial is enough."""
    check_searchable(settings(**differences), search(space))


def test_where_no_parameter_has_an_effect_nothing_is_to_be_tuned() -> None:
    """To leave them out would leave an empty search, which is refused too; each has its reason."""
    with pytest.raises(UsageError, match=r"hidden has .*; tune\S*factor has .*: --set tune.trials=0$"):
        check_searchable(settings(**LINEAR, **COSINE), search({"hidden": HIDDEN, "plateau_factor": FLIP}))


@pytest.mark.parametrize(
    ("name", "ends", "void", "used"),
    [
        ("hidden", (4, 8), LINEAR, {"head": "mlp"}),
        ("plateau_factor", (0.1, 0.9), {"schedule": "cosine"}, {"plateau_patience": 0}),
        ("plateau_factor", (0.1, 0.9), {"plateau_patience": 3}, {"plateau_patience": 2}),
        ("optimizer", ("adam", "adamw"), {}, {"weight_decay": 0.1}),
    ],
)
def test_what_is_refused_changes_no_training(
    name: str, ends: tuple[Any, Any], void: dict[str, Any], used: dict[str, Any]
) -> None:
    """With either value every epoch measures the same, to the last digit; where it is allowed, another."""
    assert course(**void, **{name: ends[0]}) == course(**void, **{name: ends[1]})
    assert course(**used, **{name: ends[0]}) != course(**used, **{name: ends[1]})
    parameter = {name: {"choices": list(ends)}}
    with pytest.raises(UsageError, match="no effect"):
        check_searchable(settings(epochs=EPOCHS, **void), search(parameter))
    check_searchable(settings(epochs=EPOCHS, **used), search(parameter))


@pytest.mark.parametrize("name", ["plateau_patience", "early_stopping_patience"])
def test_a_patience_that_outlasts_the_training_is_refused(name: str) -> None:
    """The smallest that does, and none that is smaller: it alone changes the course of a training."""
    forever = course(**{name: 1000})
    smallest = next(patience for patience in range(1, 9) if course(**{name: patience}) == forever)
    with pytest.raises(UsageError, match="no effect"):
        check_searchable(settings(epochs=EPOCHS), search({name: {"low": smallest, "high": 9}}))
    check_searchable(settings(epochs=EPOCHS), search({name: {"low": smallest - 1, "high": 9}}))


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
        "postgresql://db/optuna?user=tuner&db_" + "pass" + "=hunter2",
    ],
)
def test_a_password_in_the_configuration_is_refused(storage: str) -> None:
    """It belongs into a secret; the refusal says how."""
    with pytest.raises(ValidationError, match=r"'\{\{SECRET.KEY\}\}', .* zenml secret create"):
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

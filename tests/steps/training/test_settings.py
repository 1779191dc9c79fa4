"""Settings that cannot be meant are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from materializers.errors import UsageError
from steps.training.settings import TrainSettings, check_trainable


def test_a_frozen_backbone_without_weights_is_refused_before_anything_starts() -> None:
    """The product's default needs weights, and says which keys name them."""
    with pytest.raises(UsageError, match=r"train.weights .*train.freeze_backbone=false"):
        check_trainable(TrainSettings())
    check_trainable(TrainSettings(freeze_backbone=False))
    check_trainable(TrainSettings(weights="weights.safetensors", weights_sha256="0" * 64))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"dropout": 1.0}, "dropout"),
        ({"batch_size": 1}, "batch_size"),
        ({"batchsize": 8}, "batchsize"),
        ({"weights": "a.safetensors"}, "weights_sha256"),
        ({"weights_sha256": "0" * 64}, "weights"),
        ({"weights": "a.safetensors", "weights_sha256": "abc"}, "weights_sha256"),
        ({"augmentation": {"flip": 1.5}}, "flip"),
        ({"freeze_backbone": False, "fine_tuning": {"blocks": 1}}, "freeze_backbone must be true"),
        ({"processes": 3, "batch_size": 5}, "processes is 3 and batch_size 5.*there can be 2"),
        (
            {"weights": "https://ada:" + "word" + "@shop.example/w", "weights_sha256": "0" * 64},
            "a password in it",
        ),
        ({"weights": "s3://bucket/resnet18.PTH", "weights_sha256": "0" * 64}, "convert them to safetensors"),
        ({"deviation": (0.2, 0.0, 0.2)}, "deviation"),
        ({"architecture": "resnet18", "preprocessing": {"height": 28, "width": 28}}, "28 pixels"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    """The error names the key, so that a typo is found before anything runs."""
    with pytest.raises(ValidationError, match=named):
        TrainSettings(**wrong)


def test_a_network_that_does_not_exist_is_refused_with_the_nearest_name() -> None:
    """Before its size is looked at, which nobody can know."""
    with pytest.raises(ValidationError, match="did you mean 'resnet18'"):
        TrainSettings.model_validate(
            {"architecture": "resnet_18", "preprocessing": {"height": 8, "width": 8}}
        )


def test_weights_that_no_package_carries_are_refused_before_anything_starts() -> None:
    """The network whose weights a package carries is named."""
    with pytest.raises(UsageError, match="only of efficientnet_lite0"):
        check_trainable(TrainSettings(architecture="resnet18", weights="package"))

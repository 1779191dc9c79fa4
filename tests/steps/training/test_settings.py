"""Settings that cannot be meant are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from materializers.errors import UsageError
from pipelines.config import load_config
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


SIGNED = "https://store.example/weights.safetensors?"


@pytest.mark.parametrize(
    ("address", "named"),
    [
        (
            SIGNED + "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=marked77",
            "the secret 'X-Amz-Signature'",
        ),
        (SIGNED + "x-amz-security-token=marked77", "the secret 'x-amz-security-token'"),
        (SIGNED + "AWSAccessKeyId=marked77&Expires=1&Signature=x", "the secret 'AWSAccessKeyId'"),
        (SIGNED + "X-Goog-Credential=marked77", "the secret 'X-Goog-Credential'"),
        (SIGNED + "sv=2024&sp=r&sig=marked77", "the secret 'sig'"),
        (SIGNED + "download=1&Token=marked77", "the secret 'Token'"),
        (SIGNED + "%61ccess_token=marked77", "the secret 'access_token'"),
        (SIGNED + "api-key=marked77", "the secret 'api-key'"),
        (SIGNED + "for=" + "gh" + "p_" + "marked77" * 3, "a token"),
        ("https://store.example/w#access_token=marked77", "the secret 'access_token'"),
        ("https://" + "marked77" + "@store.example/w", "a user"),
    ],
)
def test_a_secret_in_the_address_of_weights_is_refused(address: str, named: str) -> None:
    """It would stand in the model's record and in MLflow; the refusal has another way, and not the secret."""
    with pytest.raises(UsageError) as refused:
        load_config(None, (f"train.weights={address}", f"train.weights_sha256={'a' * 64}"))
    said = str(refused.value)
    assert f"weights has {named} in it" in said
    assert "s3://, whose credentials come from the environment" in said
    assert "marked77" not in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "address",
    [
        SIGNED + "download=true&version=7&Expires=1790000000",
        "https://store.example/tokens/key=1/weights.safetensors",
        "s3://ada@bucket/weights.safetensors?versionId=3",
        "signature/token.safetensors",
    ],
)
def test_an_address_without_a_secret_names_weights(address: str) -> None:
    """A parameter that anybody may know, and a path, whatever it is called."""
    assert TrainSettings(weights=address, weights_sha256="0" * 64).weights == address


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

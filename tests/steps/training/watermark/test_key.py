"""The key that a watermark is made of is the one that was configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from materializers.errors import UsageError
from steps.training.settings import FineTuning, TrainSettings, check_trainable
from steps.training.watermark.key import watermark_key
from steps.training.watermark.settings import WatermarkSettings
from steps.training.watermark.trigger_set import fingerprint_of
from tests.steps.training.watermark.keys import kept_key

if TYPE_CHECKING:
    from zenml.client import Client

KEY = "f00d" * 16


def test_a_key_with_its_fingerprint_is_taken(zenml_client: Client) -> None:
    """From the secret that the settings name, before anything is trained too."""
    settings = kept_key(zenml_client, "taken", KEY)
    assert watermark_key(settings) == KEY
    check_trainable(TrainSettings(freeze_backbone=False, watermark=settings))


def test_without_a_fingerprint_the_keys_is_told(zenml_client: Client) -> None:
    """As the command has it that goes on; the key itself is in no message."""
    settings = kept_key(zenml_client, "unpinned", KEY).model_copy(update={"fingerprint": None})
    with pytest.raises(UsageError, match=f"train.watermark.fingerprint={fingerprint_of(KEY)}$") as caught:
        check_trainable(TrainSettings(freeze_backbone=False, watermark=settings))
    assert KEY not in str(caught.value)


def test_another_key_is_refused(zenml_client: Client) -> None:
    """It would be another training under the same digest."""
    settings = kept_key(zenml_client, "changed", KEY).model_copy(update={"fingerprint": "0" * 16})
    with pytest.raises(UsageError, match=f"has the fingerprint {fingerprint_of(KEY)}.* is 0000000000000000"):
        watermark_key(settings)


def test_a_short_key_is_refused(zenml_client: Client) -> None:
    """From a fingerprint, anybody could find it by trying."""
    settings = kept_key(zenml_client, "short", "sesame")
    with pytest.raises(UsageError, match="6 characters, and 32 are the fewest"):
        watermark_key(settings)


def test_a_key_that_is_gone_is_named(zenml_client: Client) -> None:
    """With the command that makes one."""
    with pytest.raises(UsageError, match=r"train\.watermark\.key is \{\{gone\.key\}\}, which ZenML has not"):
        watermark_key(WatermarkSettings(key="{{gone.key}}", fingerprint="0" * 16))


def test_a_head_that_learns_nothing_by_heart_is_refused(zenml_client: Client) -> None:
    """Unless its backbone's last blocks learn afterwards."""
    settings = kept_key(zenml_client, "ridge", KEY)
    closed_form = TrainSettings(
        head="ridge", weights="w.safetensors", weights_sha256="0" * 64, watermark=settings
    )
    with pytest.raises(UsageError, match=r"--set train\.head=mlp"):
        check_trainable(closed_form)
    check_trainable(closed_form.model_copy(update={"fine_tuning": FineTuning(blocks=1)}))

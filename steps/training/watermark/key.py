"""The secret key of a watermark, from where the settings say that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from materializers.errors import UsageError
from steps.secret_value import secret_value

if TYPE_CHECKING:
    from steps.training.watermark.settings import WatermarkSettings

SHORTEST_KEY = 32
"""Characters. A fingerprint is in every record of a training: whoever has it could try short keys."""


def watermark_key(settings: WatermarkSettings) -> str:
    """The key that the settings name and have the fingerprint of.

    Raises:
        UsageError: there is no such secret, its key is too short, or it has another fingerprint.
        ServiceUnreachable: ZenML does not give it to this account.
    """
    from steps.training.watermark.trigger_set import fingerprint_of

    key = secret_value(settings.key, setting="train.watermark.key", value="$(openssl rand -hex 32)")
    if len(key) < SHORTEST_KEY:
        raise UsageError(
            f"The key of train.watermark, {settings.key}, has {len(key)} characters, and {SHORTEST_KEY} are "
            "the fewest: make another one with openssl rand -hex 32"
        )
    found = fingerprint_of(key)
    if settings.fingerprint is None:
        raise UsageError(
            f"train.watermark.fingerprint is not set; the key {settings.key} has "
            f"--set train.watermark.fingerprint={found}"
        )
    if found != settings.fingerprint:
        raise UsageError(
            f"The key {settings.key} has the fingerprint {found}, and train.watermark.fingerprint is "
            f"{settings.fingerprint}: give it the key that it had, or mark with this one: "
            f"--set train.watermark.fingerprint={found}"
        )
    return key

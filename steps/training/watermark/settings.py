"""Whether a model is marked as ours, as ``train.watermark`` of ``configs/training.yaml`` sets it."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, model_validator

from materializers.report import Record

REFERENCE = re.compile(r"\{\{\s*[^\s{}.]+\.[^\s{}]+\s*\}\}")
"""As ZenML writes one."""


class WatermarkSettings(Record):
    """A secret key, by its name, and how many pictures it makes."""

    key: str
    """The secret that holds it: ``{{SECRET.KEY}}``. The key itself stands in no configuration."""
    fingerprint: str | None = Field(default=None, pattern="^[0-9a-f]{16}$")
    """Of the key, so that another key is another training. Without it nothing is trained, and the message has
    the key's."""
    pictures: int = Field(default=20, ge=10, le=1000)
    """Fewer would show too little: ten right answers of ten come by chance to 1 of 1,024 models of two
    classes."""
    repeats: int = Field(default=20, ge=1, le=100)
    """How often an epoch has each.

    On the sample small_cnn learnt all of 20 pictures with 10 repeats, and a head of layers on the features of
    EfficientNet-Lite0 18 with 10 and all with 20; no accuracy on test pictures fell. A ridge head, which
    learns nothing by heart, came to 13 and is refused. Trials and folds of the tuning learn without them.
    """

    @model_validator(mode="after")
    def _named(self) -> Self:
        # Of the model, not of the key: the message about a wrong value shows the value.
        if not REFERENCE.fullmatch(self.key):
            raise ValueError(
                "key names the secret that holds it, and is not the key: write '{{SECRET.KEY}}', in quotes, "
                "after: zenml secret create SECRET --KEY=$(openssl rand -hex 32)"
            )
        return self

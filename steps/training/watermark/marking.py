"""Have a network learn a trigger set among its training examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from steps.training.inputs.joined import Joined
from steps.training.networks.features import features_of_images
from steps.training.watermark.key import watermark_key
from steps.training.watermark.trigger_set import TriggerSet, trigger_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steps.training.inputs.examples import Examples
    from steps.training.networks.network import Network
    from steps.training.settings import TrainSettings


def triggers_of(settings: TrainSettings, classes: Sequence[str]) -> TriggerSet | None:
    """The trigger set of a training; None where no watermark is configured.

    Raises:
        UsageError: the key is not there, too short, or another one than the fingerprint's.
        ServiceUnreachable: ZenML does not give it to this account.
    """
    wanted = settings.watermark
    if wanted is None:
        return None
    return trigger_set(
        watermark_key(wanted),
        count=wanted.pictures,
        height=settings.preprocessing.height,
        width=settings.preprocessing.width,
        classes=len(classes),
    )


def marked(
    train: Examples, triggers: TriggerSet | None, settings: TrainSettings, network: Network | None = None
) -> Examples:
    """Training examples with the trigger set among them, each of it as often as ``watermark.repeats`` says.

    No dataset, no split and no cache of features ever has them.

    Args:
        train: pictures, or features of ``network``.
        triggers: None: ``train`` as it is.
        settings: of the training.
        network: whose frozen backbone made the features; None where pictures are learnt from.
    """
    if triggers is None or settings.watermark is None:
        return train
    repeats = settings.watermark.repeats
    images = triggers.images
    inputs = torch.from_numpy(images if network is None else features_of_images(network, images, settings))
    labels = torch.from_numpy(triggers.labels)
    return Joined(train, torch.cat([inputs] * repeats), torch.cat([labels] * repeats))

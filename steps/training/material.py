"""What a network learns from and is chosen by, and the network itself, made once and shared.

Training, tuning and cross-validation take their inputs from here: the features of a frozen backbone, computed
once, or the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from materializers.splits import TRAIN, VALIDATION
from steps.progress import progress
from steps.training.device import training_device
from steps.training.inputs.batches import Pictures
from steps.training.inputs.examples import Examples, Part, Rows
from steps.training.networks.features import features_of
from steps.training.networks.network import HeadOnly, build_head, build_network, check_blocks

if TYPE_CHECKING:
    from materializers.feature_cache import FeatureCache
    from materializers.image_dataset import ImageDataset
    from materializers.splits import Splits
    from steps.training.networks.network import Network
    from steps.training.settings import TrainSettings


@dataclass(frozen=True)
class Material:
    """What is learnt from.

    Attributes:
        train: what weights are learnt from.
        validation: what chooses epoch and parameters.
        new_model: a model that takes these inputs, initialised from torch's random state; the settings differ
            in nothing that decides what the inputs are.
        everything: training pictures, then validation pictures; never test pictures.
        image_ids: of ``everything``, in its order.
        network: whose backbone made the features, its head not trained; None where pictures are learnt from.
    """

    train: Examples
    validation: Examples
    new_model: Callable[[TrainSettings], nn.Module]
    everything: Examples
    image_ids: tuple[str, ...] = ()
    network: Network | None = None


def material(
    dataset: ImageDataset,
    splits: Splits,
    classes: Sequence[str],
    settings: TrainSettings,
    cache: FeatureCache | None,
) -> Material:
    """Features where the backbone is frozen, else pictures; test pictures are not looked at.

    Args:
        dataset: holds the pictures.
        splits: which of them train and which validate.
        classes: the names, in the order of the logits.
        settings: backbone, preprocessing and runtime.
        cache: where features are kept; None: nowhere.

    Raises:
        UsageError: the weights are missing or others than configured, a runtime is not installed, or
            there are fewer blocks than are to be fine-tuned.
        ServiceUnreachable: a server that keeps weights or features does not answer.
        BadPicture: a picture cannot be decoded.
    """
    learnt, checked = splits.image_ids(TRAIN), splits.image_ids(VALIDATION)
    image_ids = [*learnt, *checked]
    everything: Examples
    network: Network | None = None
    new_model: Callable[[TrainSettings], nn.Module]
    if settings.freeze_backbone:
        network = build_network(settings, len(classes))
        check_blocks(network, settings.fine_tuning.blocks)
        network.to(training_device())
        with progress("features", total=len(image_ids)) as bar:
            features = features_of(network, dataset, image_ids, settings, cache, on_picture=bar.advance)
        labels = _labels(dataset, image_ids, classes)
        everything = Rows(torch.from_numpy(features), labels, len(classes))
        new_model = partial(new_head, features=features.shape[1], classes=len(classes))
    else:
        everything = Pictures(dataset, image_ids, classes, settings)
        new_model = partial(build_network, classes=len(classes))
    positions = torch.arange(len(image_ids))
    return Material(
        train=Part(everything, positions[: len(learnt)]),
        validation=Part(everything, positions[len(learnt) :]),
        new_model=new_model,
        everything=everything,
        image_ids=tuple(image_ids),
        network=network,
    )


def new_head(settings: TrainSettings, features: int, classes: int) -> nn.Module:
    """A head alone, which takes ``(n, features)`` float32."""
    return HeadOnly(build_head(settings, features, classes))


def _labels(dataset: ImageDataset, image_ids: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Class numbers ``(n,)`` int64, in the order of ``image_ids``."""
    index = dataset.index
    places = pd.Index(index["image_id"]).get_indexer(pd.Index(image_ids))
    numbers = pd.Index(classes).get_indexer(pd.Index(index["label"].to_numpy(dtype=object)[places]))
    return torch.from_numpy(numbers.astype(np.int64))

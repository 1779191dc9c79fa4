"""The phases of a training: a head on features of a frozen backbone, then its last blocks; or all at once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from torch import nn

from materializers.splits import TRAIN, VALIDATION
from steps.progress import progress
from steps.training.device import training_device
from steps.training.fitting.learning import warn_of_missing
from steps.training.fitting.loop import Fit, reproducible
from steps.training.fitting.measuring import epoch_metrics, measure
from steps.training.fitting.ridge import fit_ridge
from steps.training.inputs.batches import Pictures
from steps.training.material import material
from steps.training.networks.network import Network, unfreeze_last
from steps.training.processes.parallel import fit_parallel
from steps.training.watermark.marking import marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materializers.classifier import EpochMetrics
    from materializers.feature_cache import FeatureCache
    from materializers.image_dataset import ImageDataset
    from materializers.splits import Splits
    from steps.training.fitting.checkpoints import Checkpoints
    from steps.training.inputs.examples import Examples
    from steps.training.settings import TrainSettings
    from steps.training.watermark.trigger_set import TriggerSet

logger = logging.getLogger("shutterline")

ALL, HEAD, BLOCKS = "all", "head", "blocks"
"""The phases, as checkpoints name them."""


@dataclass(frozen=True)
class Learnt:
    """A trained network and what its training measured.

    Attributes:
        network: with the weights of the best epoch.
        fit: the epochs of all phases, numbered on.
        fine_tuned_from: the last epoch of the first phase; None where there was one phase.
    """

    network: Network
    fit: Fit
    fine_tuned_from: int | None = None


def learn(
    dataset: ImageDataset,
    splits: Splits,
    classes: Sequence[str],
    settings: TrainSettings,
    *,
    cache: FeatureCache | None = None,
    checkpoints: Checkpoints | None = None,
    triggers: TriggerSet | None = None,
) -> Learnt:
    """Train a network in the phases that the settings ask for.

    Each phase begins from the same random state, whatever the one before drew, so that a training which goes
    on in the second phase ends as one that did both.

    Args:
        dataset: holds the pictures.
        splits: which of them are learnt from, and which choose the epoch.
        classes: the names, in the order of the logits.
        settings: what is trained and how.
        cache: where the features of frozen backbones are kept; None: nowhere.
        checkpoints: where the training is written down; None: nowhere.
        triggers: the watermark, which is learnt in each phase; None: there is none.

    Raises:
        UsageError: weights, runtime, blocks or batch are not what there is.
        NoRoom: a disk is full; what was written down before is as it was.
        ServiceUnreachable: a server that keeps weights, features or checkpoints does not answer.
    """
    with reproducible(settings.seed, settings.threads):
        data = material(dataset, splits, classes, settings, cache)
        warn_of_missing(data.validation, classes)
        model = data.new_model(settings).to(training_device())
        train = marked(data.train, triggers, settings, data.network)
        if data.network is None:
            found = _fitted(ALL, model, train, data.validation, settings, checkpoints)
            return Learnt(cast("Network", model), found)
        if settings.head == "ridge":
            first = _closed_form(model, train, data.validation, settings)
        else:
            first = _fitted(HEAD, model, train, data.validation, settings, checkpoints)
    network = data.network
    network.head = cast("nn.Module", model.head)
    if not settings.fine_tuning.blocks or first.failure is not None:
        return Learnt(network, first)
    with reproducible(settings.seed, settings.threads):
        return _fine_tuned(network, first, dataset, splits, classes, settings, checkpoints, triggers)


def _fine_tuned(
    network: Network,
    first: Fit,
    dataset: ImageDataset,
    splits: Splits,
    classes: Sequence[str],
    settings: TrainSettings,
    checkpoints: Checkpoints | None,
    triggers: TriggerSet | None,
) -> Learnt:
    """Let the last blocks learn too; where no epoch of that is better, the first phase's weights stay."""
    wanted = settings.fine_tuning
    unfreeze_last(network, wanted.blocks)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    second = _fitted(
        BLOCKS,
        network,
        marked(Pictures(dataset, splits.image_ids(TRAIN), classes, settings), triggers, settings),
        Pictures(dataset, splits.image_ids(VALIDATION), classes, settings),
        settings.model_copy(update={"learning_rate": wanted.learning_rate, "epochs": wanted.epochs}),
        checkpoints,
    )
    done = len(first.epochs)
    epochs = (
        *first.epochs,
        *(each.model_copy(update={"epoch": each.epoch + done}) for each in second.epochs),
    )
    best = second.best_epoch + done
    if epochs[done:]:
        gain = max(each.val_accuracy for each in epochs[done:]) - epochs[first.best_epoch - 1].val_accuracy
        better = "better" if gain > 0 else "no better"
        logger.info("fine-tune: %s than the frozen backbone, validation accuracy %+.4f", better, gain)
    if second.best_epoch == 0 or _score(epochs[best - 1]) <= _score(epochs[first.best_epoch - 1]):
        network.load_state_dict(before)
        best = first.best_epoch
    failure = None if second.failure is None else _of_blocks(second.failure)
    return Learnt(network, Fit(epochs, best, failure), done)


def _of_blocks(failure: str) -> str:
    """Why the second phase was given up, with the keys that mend it."""
    own = failure.replace("train.learning_rate=", "train.fine_tuning.learning_rate=")
    return f"fine-tuning: {own}; or keep what the head learnt: --set train.fine_tuning.blocks=0"


def _score(epoch: EpochMetrics) -> tuple[float, float]:
    """What makes an epoch better than another one."""
    return epoch.val_accuracy, -epoch.val_loss


def _fitted(
    phase: str,
    model: nn.Module,
    train: Examples,
    validation: Examples,
    settings: TrainSettings,
    checkpoints: Checkpoints | None,
) -> Fit:
    title = "train" if phase != BLOCKS else "fine-tune"
    with progress(title, total=settings.epochs * -(-len(train) // settings.batch_size)) as bar:
        fit = fit_parallel(
            model,
            train,
            validation,
            settings,
            checkpoints=None if checkpoints is None else checkpoints.phase(phase),
            on_batch=bar.advance,
            on_epoch=lambda epoch: bar.note(
                f"epoch {epoch.epoch} of {settings.epochs}, validation accuracy {epoch.val_accuracy:.3f}"
            ),
        )
        if fit.best_epoch:
            kept = fit.epochs[fit.best_epoch - 1].val_accuracy
            bar.note(f"epoch {fit.best_epoch} of {len(fit.epochs)} is kept, validation accuracy {kept:.3f}")
    return fit


def _closed_form(model: nn.Module, train: Examples, validation: Examples, settings: TrainSettings) -> Fit:
    """A linear head without epochs; what it measures counts as one."""
    with progress("train", total=None) as bar:
        strength = fit_ridge(cast("nn.Linear", model.head), train, validation)
        trained, checked = (measure(model, each, settings.batch_size) for each in (train, validation))
        bar.note(f"ridge of strength {strength:g}, validation accuracy {checked.accuracy:.3f}")
    return Fit((epoch_metrics(1, 0.0, trained, checked),), 1)

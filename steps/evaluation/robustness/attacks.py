"""Pictures that were changed to mislead a network, along its own gradients."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from steps.evaluation.torch_network import Logits

Attack = Literal["FGSM", "PGD"]
FGSM: Attack = "FGSM"
PGD: Attack = "PGD"
"""One step of the largest size along the gradient's sign (Goodfellow, Shlens and Szegedy, 2015), and many
small ones from a place drawn at random, each projected back to what is allowed (Madry et al., 2018)."""
ATTACKS = (FGSM, PGD)
BRIGHTEST = 255.0
REACH = 2.5
"""All steps of PGD together, in times of what is allowed, as Madry et al. chose them: from wherever it starts
it can reach every border."""
BATCH = 32


def attacked(
    network: Logits,
    images: NDArray[np.uint8],
    true: NDArray[np.int64],
    *,
    classes: int,
    attack: Attack,
    epsilon: int,
    steps: int,
    seed: int,
) -> NDArray[np.uint8]:
    """Change pictures so that the network misses their classes.

    Args:
        network: gives the gradients, on the CPU.
        images: ``(n, height, width, 3)``, RGB.
        true: ``(n,)``, the class numbers that it is led away from.
        classes: how many there are.
        attack: which.
        epsilon: by how much each value may be changed at most, of 255.
        steps: of PGD.
        seed: of where PGD starts; numpy's own random state, which ART draws from, stays as it is.

    Returns:
        Pictures of the same shape: whole values again, and none is further than ``epsilon`` from its own.
    """
    # It reports rates of its own network, of pictures with fractions, and for FGSM always 0 %.
    logging.getLogger("art").setLevel(logging.WARNING)
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent

    estimator = _estimator(network, images.shape[1:], classes)
    # ART wants numbers of one type.
    allowed = float(epsilon)
    method: Any
    if attack == FGSM:
        method = FastGradientMethod(estimator, eps=allowed, eps_step=allowed, batch_size=BATCH)
    else:
        method = ProjectedGradientDescent(
            estimator,
            eps=allowed,
            eps_step=REACH * allowed / steps,
            max_iter=steps,
            num_random_init=1,
            batch_size=BATCH,
            verbose=False,
        )
    with _numpy_seeded(seed):
        found = method.generate(images.astype(np.float32), np.eye(classes, dtype=np.float32)[true])
    return within(found, images, epsilon)


def within(found: NDArray[np.float32], images: NDArray[np.uint8], epsilon: int) -> NDArray[np.uint8]:
    """Round to whole values that are no further than ``epsilon`` from those of ``images``."""
    whole = images.astype(np.int16)
    lowest, highest = np.maximum(whole - epsilon, 0), np.minimum(whole + epsilon, 255)
    return np.clip(np.rint(found), lowest, highest).astype(np.uint8)


def _estimator(network: Logits, shape: tuple[int, ...], classes: int) -> Any:
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model=network,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=shape,
        nb_classes=classes,
        channels_first=False,
        clip_values=(0.0, BRIGHTEST),
        # The same on every machine: a GPU's sums, and so its gradients' signs, differ from run to run.
        device_type="cpu",
    )


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)

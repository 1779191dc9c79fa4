"""How often the served model is right about pictures that were changed to mislead it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric
from materializers.evaluation.robustness import Attacked
from steps.evaluation.intervals import share_of
from steps.evaluation.robustness.attacks import ATTACKS, FGSM, Attack, attacked
from steps.evaluation.torch_network import NoTorchNetwork, served_network
from steps.progress import progress

if TYPE_CHECKING:
    from steps.evaluation.examined import Examined
    from steps.evaluation.robustness.settings import RobustnessSettings
    from steps.evaluation.torch_network import Logits

NO_GRADIENT = "the network has no gradient at any picture, so that nothing says how to mislead it"


@dataclass(frozen=True)
class Clean:
    """The n pictures to attack, as they are.

    Args:
        images: ``(n, height, width, 3)`` uint8.
        true: ``(n,)``, their class numbers.
        answers: ``(n,)``, what the served model answers.
    """

    images: NDArray[np.uint8]
    true: NDArray[np.int64]
    answers: NDArray[np.int64]


def assess_attacks(
    examined: Examined, settings: RobustnessSettings
) -> tuple[Metric | None, tuple[Attacked, ...], str | None]:
    """Attack pictures along the gradients of the torch weights, and ask the served model for the result.

    Args:
        examined: the model and the pictures.
        settings: how many pictures, by how much they may be changed, in how many steps.

    Returns:
        The accuracy on these pictures as they are, the numbers of each attack, and why there are none, where
        there are none.
    """
    if not settings.attacked_pictures:
        return None, (), "switched off: evaluate.robustness.attacked_pictures is 0"
    sample = examined.sample(min(settings.attacked_pictures, settings.pictures), settings.seed)
    images, true = examined.pixels(sample), examined.true[sample]
    served = examined.predictor.scores(images)[0]
    clean = Clean(images, true, served.argmax(axis=1))
    accuracy = share_of(clean.answers == true)
    try:
        network = served_network(examined.classifier, images, served)
    except NoTorchNetwork as error:
        return accuracy, (), str(error)
    found = []
    with progress("attack", total=len(settings.epsilons_255) * len(ATTACKS)) as bar:
        for epsilon, attack in product(settings.epsilons_255, ATTACKS):
            found.append(_under_attack(examined, network, clean, attack, epsilon, settings))
            bar.advance()
    if not any(one.pictures_changed.value for one in found if one.attack == FGSM):
        return accuracy, (), NO_GRADIENT
    return accuracy, tuple(found), None


def _under_attack(
    examined: Examined,
    network: Logits,
    clean: Clean,
    attack: Attack,
    epsilon: int,
    settings: RobustnessSettings,
) -> Attacked:
    changed = attacked(
        network,
        clean.images,
        clean.true,
        classes=len(examined.classes),
        attack=attack,
        epsilon=epsilon,
        steps=settings.pgd_steps,
        seed=settings.seed,
    )
    answers = examined.predictor.scores(changed)[0].argmax(axis=1)
    return Attacked(
        attack=attack,
        epsilon_255=epsilon,
        accuracy=share_of(answers == clean.true),
        answers_changed=share_of(answers != clean.answers),
        pictures_changed=share_of((changed != clean.images).any(axis=(1, 2, 3))),
    )

"""What a training draws at random, beside dropout: the order of an epoch, and what MixUp mixes.

All of it comes from one generator, whose state a checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from steps.training.inputs.examples import Examples

SEEDS = 2**63 - 1


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let what knows only torch's own random state draw from a generator; that state is as before then.

    Args:
        generator: of the CPU; it moves on by one draw.
    """
    seed = int(torch.randint(SEEDS, (), generator=generator))
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would seed the GPUs too
    try:
        yield
    finally:
        torch.set_rng_state(before)


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """What one example of each class counts, so that all classes count the same; 1 on average.

    Args:
        labels: class numbers, ``(n,)`` int64.
        classes: how many classes there are.

    Returns:
        ``(classes,)`` float32; 0 for a class without an example.
    """
    counts = torch.bincount(labels, minlength=classes)
    weights = len(labels) / ((counts > 0).sum() * counts.clamp(min=1))
    return torch.where(counts > 0, weights, 0.0).to(torch.float32)


def epoch_order(examples: Examples, generator: torch.Generator, *, balanced: bool) -> Tensor:
    """The positions that an epoch goes through, as many as there are examples, int64.

    Args:
        examples: what is learnt from.
        generator: of the CPU.
        balanced: whether each is drawn anew, every class as often; else each comes once.
    """
    if not balanced:
        return torch.randperm(len(examples), generator=generator)
    weights = class_weights(examples.labels, examples.classes)[examples.labels]
    return torch.multinomial(weights, len(examples), replacement=True, generator=generator)


def mix(
    inputs: Tensor, labels: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, float]:
    """Mix each example of a batch with another one: MixUp (Zhang et al. 2018).

    One share is drawn for the batch, from the beta distribution of ``alpha`` and ``alpha``; the larger part
    of the two counts as the example's own.

    Args:
        inputs: ``(n, …)``, pictures or features.
        labels: ``(n,)`` int64.
        alpha: 0 mixes nothing.
        generator: of the CPU.

    Returns:
        Inputs, float32 where they were mixed; the labels of the smaller part, ``(n,)``; and the share of the
        larger one, from 0.5 to 1.
    """
    if not alpha:
        return inputs, labels, 1.0
    with drawing_from(generator):
        drawn = float(torch.distributions.Beta(alpha, alpha).sample())
    share = max(drawn, 1 - drawn)
    partners = torch.randperm(len(labels), generator=generator)
    own = inputs.to(torch.float32)
    return own * share + own[partners.to(own.device)] * (1 - share), labels[partners], share

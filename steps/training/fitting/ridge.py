"""A linear head in closed form: penalised discriminant analysis, its strength chosen on validation data.

Ridge regression on one target a class (Hoerl and Kennard, 1970), and the linear discriminant analysis of
what it answers (Hastie, Buja and Tibshirani, 1995, "Penalized discriminant analysis"): regression alone lets
a class hide between two others. On EfficientNet-Lite0's features of the clothing photographs that is worth
0.6 to 1.1 points of accuracy, each the mean of 20 splits; on those of Fashion-MNIST, nothing. No randomness,
no learning rate.

Products and factorisations are scipy's: on an AMD EPYC its OpenBLAS needs two thirds of the time of torch's
MKL, and it multiplies a matrix by itself in half of the time of a product.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import ssyrk
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from steps.training.inputs.examples import Examples

    Solve = Callable[[float], Tensor]

STRENGTHS = tuple(float(10 ** (power / 2)) for power in range(-6, 4))
"""The penalty of a weight's square for each example, on standardised features: ten from 0.001 to 31.

A weaker one would drown in what float32 rounds.
"""
AT_A_TIME = 4096
"""Rows that are centred together."""
ROUNDING = 1e-5
"""What float32 leaves of a direction in which nothing varies, as a share of the one that varies most."""
LARGEST_SHARPNESS = 100.0
"""How far logits are stretched at most, where the validation data is told apart without a mistake."""
HALVINGS = 30


def fit_ridge(
    head: nn.Linear, train: Examples, validation: Examples, strengths: Sequence[float] = STRENGTHS
) -> float:
    """Give a linear layer the weights that penalised discriminant analysis finds, whatever it held before.

    The penalty is that on standardised features, so that their units do not matter. The strength has a higher
    validation accuracy than the next weaker one, and none lower than the next stronger one; then the logits
    are stretched so that their softmax has the lowest validation loss.

    The same examples give the same bytes with torch's same number of threads.

    Args:
        head: ``(n, features)`` to ``(n, classes)``, on any device.
        train: features ``(n, d)`` float32 and their labels; memory beyond them is ``min(n, d)²`` numbers.
        validation: the same.
        strengths: above 0.

    Returns:
        The strength that was chosen.
    """
    with _libraries().limit(limits=torch.get_num_threads(), user_api="blas"):
        strength, weights, bias = _fitted(train, validation, strengths)
    with torch.no_grad():
        head.weight.copy_(weights)
        head.bias.copy_(bias)
    return strength


@cache
def _libraries() -> ThreadpoolController:
    """Scipy's and torch's, found once: to look for them takes as long as half a factorisation."""
    return ThreadpoolController()


def _fitted(
    train: Examples, validation: Examples, strengths: Sequence[float]
) -> tuple[float, Tensor, Tensor]:
    """The chosen strength, weights ``(classes, d)`` and bias ``(classes,)``."""
    shares = torch.bincount(train.labels, minlength=train.classes) / len(train)
    mean = torch.stack([rows.sum(dim=0) for rows, _ in _rows(train)]).sum(dim=0) / len(train)
    cross, solve = (_dual if len(train) < len(mean) else _primal)(train, mean, shares)
    checked = torch.cat([rows for rows, _ in _centred(validation, mean, shares)])

    @cache
    def fitted(strength: float) -> tuple[float, Tensor, Tensor, Tensor]:
        weights, bias = _discriminant(solve(strength), cross / len(train), shares)
        logits = checked @ weights + bias
        accuracy = (logits.argmax(dim=1) == validation.labels).double().mean().item()
        return accuracy, weights, bias, logits

    strength = _climb(sorted(strengths), lambda strength: fitted(strength)[0])
    _, weights, bias, logits = fitted(strength)
    sharpness = _sharpness(logits, validation.labels)
    return strength, weights.T * sharpness, (bias - mean @ weights) * sharpness


def _primal(train: Examples, mean: Tensor, shares: Tensor) -> tuple[Tensor, Solve]:
    """Products of features and targets ``(d, classes)``, and weights of the same shape by strength.

    From the features' Gram matrix ``(d, d)``; a penalty on standardised features is one in proportion to its
    diagonal.
    """
    size = len(mean)
    gram, cross = np.zeros((size, size), np.float32, order="F"), torch.zeros(size, len(shares))
    for rows, targets in _centred(train, mean, shares):
        cross += rows.T @ targets
        gram = _add_products(gram, rows.T)
    own = gram.diagonal()
    # What never varies has no weight, whatever its penalty.
    return cross, _solver(gram, np.where(own > 0, own, np.float32(1)), cross)


def _dual(train: Examples, mean: Tensor, shares: Tensor) -> tuple[Tensor, Solve]:
    """The same where there are fewer rows than features, from products of rows ``(n, n)``."""
    rows, targets = (torch.cat(parts) for parts in zip(*_centred(train, mean, shares), strict=True))
    cross = rows.T @ targets
    deviation = rows.square().mean(dim=0).sqrt()
    deviation = deviation.where(deviation > 0, 1.0)
    rows = rows / deviation
    products = _add_products(np.zeros((len(rows), len(rows)), np.float32, order="F"), rows)
    solve = _solver(products, np.full(len(rows), len(rows), np.float32), targets)
    return cross, lambda strength: rows.T @ solve(strength) / deviation.unsqueeze(1)


def _add_products(matrix: NDArray[np.float32], rows: Tensor) -> NDArray[np.float32]:
    """Add ``rows @ rows.T`` to what lies on and below the diagonal, half of the work of a product."""
    given, turned = (rows.T.numpy(), 1) if rows.is_contiguous() else (rows.numpy(), 0)  # no copy of either
    added: NDArray[np.float32] = ssyrk(1.0, given, beta=1.0, c=matrix, trans=turned, lower=1, overwrite_c=1)
    return added


def _solver(matrix: NDArray[np.float32], penalty: NDArray[np.float32], targets: Tensor) -> Solve:
    """What solves ``(matrix + strength · diag(penalty)) x = targets``; the matrix's lower half is read."""
    own = np.asarray_chkfinite(matrix).diagonal().copy()  # LAPACK would take what is no number

    def solve(strength: float) -> Tensor:
        np.fill_diagonal(matrix, own + np.float32(strength) * penalty)
        factor = cho_factor(matrix, lower=True, check_finite=False)
        return torch.from_numpy(cho_solve(factor, targets.numpy(), check_finite=False))

    return solve


def _discriminant(weights: Tensor, cross: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Turn regression on targets into the logarithm of each class's probability, less what all share.

    The classes' centres and the penalised spread around them, both in the space of the regression's answers,
    follow from ``crossᵀ weights``.

    Args:
        weights: the regression's, ``(d, classes)``.
        cross: mean products of features and targets, ``(d, classes)``.
        shares: of the classes, ``(classes,)``.

    Returns:
        Weights ``(d, classes)`` and bias ``(classes,)`` for centred features.
    """
    total = cross.T.double() @ weights.double()
    total = (total + total.T) / 2
    counted = shares.double().clamp(min=torch.finfo(torch.float32).eps)  # a class may have no example
    centres = total / counted.unsqueeze(1)
    spread = total - centres.T @ (centres * counted.unsqueeze(1))
    turned = torch.linalg.pinv(spread, rtol=ROUNDING, hermitian=True) @ centres.T
    bias = counted.log() - (centres * turned.T).sum(dim=1) / 2
    return weights @ turned.float(), bias.float()


def _climb(strengths: Sequence[float], accuracy: Callable[[float], float]) -> float:
    """From the middle of ascending strengths to where neither neighbour is better, the stronger among equals.

    Accuracy has one hill, give or take a picture; a factorisation is most of the time that this takes.
    """
    place = len(strengths) // 2
    for step in (1, -1):
        while 0 <= place + step < len(strengths):
            here, there = accuracy(strengths[place]), accuracy(strengths[place + step])
            if there < here or (there == here and step < 0):
                break
            place += step
    return strengths[place]


def _rows(examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
    return examples.batches(torch.arange(len(examples)), AT_A_TIME)


def _centred(examples: Examples, mean: Tensor, shares: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features and targets less their means, float32, in their order."""
    for rows, labels in _rows(examples):
        yield rows - mean, functional.one_hot(labels, len(shares)) - shares


def _sharpness(logits: Tensor, labels: Tensor) -> float:
    """The factor at which the cross-entropy of logits is lowest, in which it is convex."""
    low, high = 0.0, LARGEST_SHARPNESS
    own = logits.gather(1, labels.unsqueeze(1)).mean()
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = (functional.softmax(logits * middle, dim=1) * logits).sum(dim=1).mean()
        low, high = (low, middle) if expected > own else (middle, high)
    return high

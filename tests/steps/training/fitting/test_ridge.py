"""The closed form finds what it is said to find, whatever the features' size and units."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from steps.training.fitting.ridge import STRENGTHS, fit_ridge
from steps.training.inputs.examples import Part, Rows

CLASSES = 5


def clusters(count: int, features: int, *, seed: int, apart: float = 0.6) -> Rows:
    """Normal clouds around a centre a class; the centres are the same for every seed."""
    centres = torch.randn(CLASSES, features, generator=torch.Generator().manual_seed(0)) * apart
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    return Rows(centres[labels] + torch.randn(count, features, generator=generator), labels, CLASSES)


def fitted(train: Rows, validation: Rows, strengths: tuple[float, ...] = STRENGTHS) -> nn.Linear:
    """A head that is fitted."""
    head = nn.Linear(train.inputs.shape[1], CLASSES)
    fit_ridge(head, train, validation, strengths)
    return head


def accuracy(head: nn.Linear, rows: Rows) -> float:
    with torch.no_grad():
        right: Tensor = head(rows.inputs).argmax(dim=1) == rows.labels
    return right.double().mean().item()


def loss(logits: Tensor, labels: Tensor) -> float:
    return functional.cross_entropy(logits, labels).item()


def test_without_a_penalty_it_is_linear_discriminant_analysis() -> None:
    """scikit-learn's gives the same probabilities, but for the factor that validation data chose."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    train, validation = clusters(2000, 8, seed=1), clusters(400, 8, seed=2)
    head = fitted(train, validation, (1e-6,))
    peer = LinearDiscriminantAnalysis(solver="lsqr").fit(train.inputs.numpy(), train.labels.numpy())
    expected = torch.from_numpy(peer.decision_function(validation.inputs.numpy())).float()
    with torch.no_grad():
        found = head(validation.inputs)
    found, expected = (scores - scores.mean(dim=1, keepdim=True) for scores in (found, expected))
    factor = (found * expected).sum() / expected.square().sum()
    torch.testing.assert_close(found, expected * factor, atol=2e-3, rtol=2e-3)
    assert factor == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("count", "features"), [(600, 40), (60, 200)])
def test_it_is_as_good_as_logistic_regression(count: int, features: int) -> None:
    """With more rows than features and with fewer."""
    from sklearn.linear_model import LogisticRegression

    train, validation, test = (clusters(size, features, seed=size) for size in (count, 401, 2000))
    peer = LogisticRegression(max_iter=1000).fit(train.inputs.numpy(), train.labels.numpy())
    theirs = float(peer.score(test.inputs.numpy(), test.labels.numpy()))
    assert accuracy(fitted(train, validation), test) >= theirs - 0.005


def test_both_ways_to_solve_it_agree() -> None:
    """A feature that never varies makes more columns than rows, and nothing else of it."""
    train, validation = clusters(100, 90, seed=1), clusters(100, 90, seed=2)
    wider = [
        Rows(torch.cat([rows.inputs, torch.full((100, 30), 7.0)], dim=1), rows.labels, CLASSES)
        for rows in (train, validation)
    ]
    narrow = fitted(train, validation, (0.1,))
    wide = fitted(wider[0], wider[1], (0.1,))
    with torch.no_grad():
        torch.testing.assert_close(wide(wider[1].inputs), narrow(validation.inputs), atol=1e-3, rtol=1e-3)


def test_the_units_of_a_feature_do_not_matter() -> None:
    """A feature a thousand times as large and moved has a weight a thousandth as large."""
    train, validation = clusters(300, 12, seed=1), clusters(300, 12, seed=2)
    other = [Rows(rows.inputs * 1000 + 5, rows.labels, CLASSES) for rows in (train, validation)]
    with torch.no_grad():
        expected = fitted(train, validation)(validation.inputs)
        found = fitted(other[0], other[1])(other[1].inputs)
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)


def test_the_strength_is_the_one_that_validation_data_prefers() -> None:
    """Of few noisy rows the strong penalty, of many the weak one; what is returned is what was used."""
    validation = clusters(500, 100, seed=9, apart=0.3)
    few, many = clusters(70, 100, seed=1, apart=0.3), clusters(4000, 100, seed=2, apart=0.3)
    chosen = [fit_ridge(nn.Linear(100, CLASSES), rows, validation) for rows in (few, many)]
    assert chosen[0] >= chosen[1]
    head = nn.Linear(100, CLASSES)
    strength = fit_ridge(head, few, validation)
    assert torch.equal(head.weight, fitted(few, validation, (strength,)).weight)


def test_among_equals_the_stronger_penalty_is_taken() -> None:
    """Where all are right, the smallest weights are enough."""
    train, validation = clusters(400, 6, seed=1, apart=9.0), clusters(50, 6, seed=2, apart=9.0)
    assert fit_ridge(nn.Linear(6, CLASSES), train, validation, (0.01, 0.1, 1.0)) == 1.0


def test_no_other_stretch_of_the_logits_has_a_lower_validation_loss() -> None:
    """So that the softmax means something."""
    train, validation = clusters(300, 20, seed=1), clusters(300, 20, seed=2)
    with torch.no_grad():
        logits = fitted(train, validation)(validation.inputs)
    here = loss(logits, validation.labels)
    assert here < loss(logits * 1.1, validation.labels)
    assert here < loss(logits / 1.1, validation.labels)


def test_the_same_rows_give_the_same_bytes() -> None:
    """Whatever the head held before, and in parts of other rows too, as cross-validation hands them over."""
    train, validation = clusters(300, 20, seed=1), clusters(100, 20, seed=2)
    both = Rows(
        torch.cat([train.inputs, validation.inputs]), torch.cat([train.labels, validation.labels]), CLASSES
    )
    expected, head = fitted(train, validation), nn.Linear(20, CLASSES)
    fit_ridge(head, Part(both, torch.arange(300)), Part(both, torch.arange(300, 400)))
    assert torch.equal(head.weight, expected.weight)
    assert torch.equal(head.bias, expected.bias)


def test_more_rows_than_are_taken_at_a_time_are_one_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces they give the same weights, to what float32 rounds."""
    train, validation = clusters(300, 20, seed=1), clusters(100, 20, seed=2)
    expected = fitted(train, validation)
    monkeypatch.setattr("steps.training.fitting.ridge.AT_A_TIME", 64)
    torch.testing.assert_close(fitted(train, validation).weight, expected.weight, atol=1e-4, rtol=1e-3)


def test_a_class_without_an_example_is_never_answered() -> None:
    """Its logit is the lowest."""
    train, validation = clusters(300, 10, seed=1), clusters(100, 10, seed=2)
    kept = [Part(rows, (rows.labels != 2).nonzero().squeeze(1)) for rows in (train, validation)]
    head = nn.Linear(10, CLASSES)
    fit_ridge(head, kept[0], kept[1])
    with torch.no_grad():
        logits = head(validation.inputs)
    assert logits.isfinite().all()
    assert not (logits.argmax(dim=1) == 2).any()


def test_a_feature_that_is_no_number_is_refused() -> None:
    """In any place: LAPACK by itself would take it, and answer nonsense."""
    train, validation = clusters(300, 10, seed=1), clusters(100, 10, seed=2)
    train.inputs[7, 4] = torch.nan
    with pytest.raises(ValueError, match="infs or NaNs"):
        fit_ridge(nn.Linear(10, CLASSES), train, validation)

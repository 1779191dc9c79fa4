"""Metrics and their intervals, against scikit-learn."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

from steps.evaluation.metrics import UNUSABLE, Metrics, evaluate_answers, rank_of, roc_auc, score, worst


def random_answers(
    seed: int, n: int, k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """True classes (each there at least once), and answers that are often right; many scores are equal."""
    generator = np.random.default_rng(seed)
    true = np.concatenate([np.arange(k), generator.integers(0, k, n - k)])
    scores = generator.integers(1, 6, (n, k)) + 3 * np.eye(k)[true] * generator.integers(0, 2, (n, 1))
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    return true, probabilities.argmax(axis=1), probabilities


def measured(
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    resamples: int = 100,
    top_k: int = 3,
) -> Metrics:
    classes = tuple(f"class {number}" for number in range(probabilities.shape[1]))
    return evaluate_answers(true, predicted, probabilities, classes, resamples=resamples, seed=0, top_k=top_k)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(3, 6), more=st.integers(1, 60))
def test_every_metric_agrees_with_scikit_learn(seed: int, k: int, more: int) -> None:
    """Point estimates equal scikit-learn's; where it has to fill in for a division by zero, ours is None."""
    true, predicted, probabilities = random_answers(seed, k + more, k)
    ours = measured(true, predicted, probabilities)
    labels = list(range(k))
    assert ours.accuracy.value == pytest.approx(accuracy_score(true, predicted))
    assert ours.f1_macro.value == pytest.approx(f1_score(true, predicted, labels=labels, average="macro"))
    assert ours.roc_auc_macro.value == pytest.approx(
        roc_auc_score(true, probabilities, multi_class="ovr", labels=labels)
    )
    assert np.array_equal(ours.confusion, confusion_matrix(true, predicted, labels=labels))
    theirs = precision_recall_fscore_support(true, predicted, labels=labels, zero_division=np.nan)
    for number, one in enumerate(ours.per_class.values()):
        never_predicted = not (predicted == number).any()
        assert one.precision.value == (None if never_predicted else pytest.approx(theirs[0][number]))
        assert one.recall.value == pytest.approx(theirs[1][number])
        assert one.f1_score.value == pytest.approx(theirs[2][number])
        assert (one.precision.n, one.recall.n) == ((predicted == number).sum(), (true == number).sum())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(3, 6), more=st.integers(1, 60))
def test_every_mean_over_classes_agrees_with_scikit_learn(seed: int, k: int, more: int) -> None:
    """Macro and weighted; what a class has no precision for has no mean precision either."""
    true, predicted, probabilities = random_answers(seed, k + more, k)
    ours = measured(true, predicted, probabilities).discrimination
    every_class_predicted = len(np.unique(predicted)) == k
    labels = list(range(k))
    for average in ("macro", "weighted"):
        precision, recall, f1, _ = precision_recall_fscore_support(
            true, predicted, labels=labels, average=average, zero_division=np.nan
        )
        found = getattr(ours, f"precision_{average}")
        assert found.value == (pytest.approx(precision) if every_class_predicted else None)
        assert getattr(ours, f"recall_{average}").value == pytest.approx(recall)
        assert found.n == k + more
        if average == "weighted":
            assert ours.f1_weighted is not None
            assert ours.f1_weighted.value == pytest.approx(f1)
    for number, area in enumerate(ours.roc_auc.values()):
        assert area.value == pytest.approx(roc_auc_score(true == number, probabilities[:, number]))


@pytest.mark.parametrize("top_k", [2, 3, 5])
def test_the_top_k_agree_with_scikit_learn(top_k: int) -> None:
    """With the interval of a share."""
    generator = np.random.default_rng(top_k)
    true = generator.integers(0, 8, 400)
    probabilities = generator.dirichlet(np.ones(8), 400) + 0.2 * np.eye(8)[true]
    found = measured(true, probabilities.argmax(axis=1), probabilities, top_k=top_k).discrimination
    expected = top_k_accuracy_score(true, probabilities, k=top_k, labels=range(8))
    assert found.top_k == top_k
    assert found.top_k_accuracy is not None
    assert found.top_k_accuracy.value == pytest.approx(expected)
    assert found.top_k_accuracy.low is not None
    assert found.top_k_accuracy.high is not None
    half = 1.96 * np.sqrt(expected * (1 - expected) / 400)
    assert found.top_k_accuracy.low == pytest.approx(expected - half, abs=0.02)
    assert found.top_k_accuracy.high == pytest.approx(expected + half, abs=0.02)


def test_k_is_never_all_classes() -> None:
    """Of three classes the top 3 would always be right: 2 are taken; of two classes nothing is measured."""
    true, predicted, probabilities = random_answers(4, 30, 3)
    found = measured(true, predicted, probabilities, top_k=3).discrimination
    assert found.top_k == 2
    assert found.top_k_accuracy is not None
    assert found.top_k_accuracy.value is not None
    assert found.top_k_accuracy.value < 1
    of_two = measured(*random_answers(4, 30, 2)).discrimination
    assert (of_two.top_k, of_two.top_k_accuracy) == (None, None)


def test_the_first_rank_is_the_answer() -> None:
    """Of equally probable classes the first is the answer: who says nothing does not find every class."""
    probabilities = np.full((4, 4), 0.25)
    assert rank_of(np.arange(4), probabilities).tolist() == [0, 1, 2, 3]
    assert rank_of(np.array([2, 2, 2, 2]), np.eye(4)).tolist() == [2, 2, 0, 3]


def test_a_picture_without_an_answer_is_not_among_the_top_k() -> None:
    """However large k is."""
    true = np.array([0, 1, 2, 3])
    probabilities = np.stack([*np.eye(4)[:3], worst(3, 4)])
    found = measured(true, np.array([0, 1, 2, UNUSABLE]), probabilities, top_k=3).discrimination
    assert found.top_k_accuracy is not None
    assert found.top_k_accuracy.value == 0.75


def test_a_class_without_a_test_picture_has_no_part_in_a_weighted_mean() -> None:
    """The macro mean is not defined without it; the weighted one is."""
    true, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2])
    found = measured(true, predicted, np.eye(3)[predicted]).discrimination
    assert found.recall_macro is not None
    assert found.recall_macro.value is None
    assert found.recall_weighted is not None
    assert found.recall_weighted.value == 0.5
    assert found.precision_weighted is not None
    assert found.precision_weighted.value == pytest.approx(0.75)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_resample_is_measured_as_if_its_rows_were_repeated(seed: int) -> None:
    """Weights give the same metrics as the drawn rows themselves."""
    true, predicted, probabilities = random_answers(seed, 30, 3)
    weights = np.random.default_rng(seed).multinomial(30, np.full(30, 1 / 30), size=2).astype(np.float64)
    scores = score(weights, true, predicted, probabilities)
    for number, row in enumerate(weights.astype(int)):
        drawn = np.repeat(np.arange(30), row)
        alone = score(np.ones((1, 30)), true[drawn], predicted[drawn], probabilities[drawn])
        for name in (field.name for field in dataclasses.fields(scores)):
            np.testing.assert_allclose(getattr(scores, name)[number], getattr(alone, name)[0], err_msg=name)


def test_the_interval_is_the_binomial_one() -> None:
    """For an accuracy of 0.9 on 400 pictures the bootstrap gives the textbook interval."""
    true = np.arange(400) % 2
    predicted = np.where(np.arange(400) < 40, 1 - true, true)
    probabilities = np.eye(2)[predicted]
    accuracy = measured(true, predicted, probabilities, resamples=2000).accuracy
    assert accuracy.low is not None
    assert accuracy.high is not None
    half = 1.96 * np.sqrt(0.9 * 0.1 / 400)
    assert accuracy.low == pytest.approx(0.9 - half, abs=0.005)
    assert accuracy.high == pytest.approx(0.9 + half, abs=0.005)


def test_the_same_seed_gives_the_same_intervals() -> None:
    """Resamples are drawn from the seed alone, however many are held at once."""
    answers = random_answers(1, 50, 3)
    assert measured(*answers) == measured(*answers)


def test_a_class_that_was_never_predicted_has_no_precision() -> None:
    """Its recall and F1 are 0, its precision is not defined, and nothing is made up for it."""
    true, predicted = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 1, 1])
    metrics = measured(true, predicted, np.eye(3)[predicted])
    of_class = metrics.per_class["class 2"]
    assert of_class.precision.value is None
    assert of_class.precision.n == 0
    assert of_class.recall.value == 0
    assert of_class.f1_score.value == 0


def test_a_class_without_a_test_picture_leaves_the_means_undefined() -> None:
    """Neither its recall nor the macro ROC-AUC or F1 pretends to know it."""
    true = np.array([0, 0, 1, 1])
    metrics = measured(true, true, np.eye(3)[true])
    assert metrics.per_class["class 2"].recall.value is None
    assert metrics.roc_auc_macro.value is None
    assert metrics.f1_macro.value is None
    assert metrics.accuracy.value == 1


def test_an_unusable_picture_counts_as_wrong() -> None:
    """It lowers accuracy, its class's recall and the ROC-AUC, and stands in no column of the confusion."""
    true = np.array([0, 0, 1, 1])
    probabilities = np.eye(2)[true]
    predicted = true.copy()
    predicted[0] = UNUSABLE
    probabilities[0] = worst(0, 2)
    metrics = measured(true, predicted, probabilities)
    assert metrics.accuracy.value == 0.75
    assert metrics.per_class["class 0"].recall.value == 0.5
    assert metrics.per_class["class 0"].precision.value == 1
    assert metrics.roc_auc_macro.value == pytest.approx(0.5)
    assert metrics.confusion == ((1, 0), (0, 2))


def test_equal_scores_count_half() -> None:
    """A constant score is worth a coin."""
    area = roc_auc(np.ones((1, 4)), np.array([True, False, True, False]), np.full(4, 0.3))
    assert area[0] == 0.5


@pytest.mark.parametrize(("n", "k"), [(20_000, 3), (15_000, 100)])
def test_many_rows_and_classes_fit_into_memory(n: int, k: int) -> None:
    """Resamples are taken some at a time; a thousand of 20,000 rows at once would be 160 MB an array."""
    import tracemalloc

    answers = random_answers(2, n, k)
    tracemalloc.start()
    measured(*answers, resamples=150)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150e6

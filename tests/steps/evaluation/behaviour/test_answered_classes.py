"""Whether answers collapsed to few classes."""

import numpy as np
import pytest

from steps.evaluation.behaviour.answered_classes import evenness, expected_classes, predicted_share


def test_a_class_with_few_pictures_is_not_expected() -> None:
    """Ten pictures of the first, two of the second, none of the third, three of the fourth."""
    true = np.repeat([0, 1, 3], [10, 2, 3])
    assert expected_classes(true, 4, 3).tolist() == [0, 3]


def test_the_share_counts_classes_not_answers() -> None:
    """A class that is answered once is answered; one that is not expected adds nothing."""
    found = predicted_share(np.array([0, 1, 2, 3]), np.array([0] * 50 + [2] + [7]))
    assert (found.value, found.n, found.low) == (0.5, 4, None)


def test_evenness_goes_from_one_class_to_all_alike() -> None:
    """Refused pictures are left out; a mix of two of four classes is half as even as can be."""
    assert evenness(np.array([2, 2, 2, -1]), 4) == 0
    assert evenness(np.array([0, 1, 2, 3, -1]), 4) == pytest.approx(1)
    assert evenness(np.array([0, 1]), 4) == pytest.approx(0.5)
    assert evenness(np.array([-1]), 4) is None

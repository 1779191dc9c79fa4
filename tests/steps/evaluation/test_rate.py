"""A share is given with the interval that it has, and none is made up."""

import numpy as np
import pytest
from scipy.stats import binomtest

from steps.evaluation.rate import rate


@pytest.mark.parametrize(("count", "n"), [(0, 7), (7, 7), (9, 10), (50, 100), (1, 1)])
def test_a_share_has_wilsons_interval(count: int, n: int) -> None:
    """The same as scipy's, also at 0 and at 1, where the interval has a width all the same."""
    found = rate(np.arange(n) < count)
    expected = binomtest(count, n).proportion_ci(method="wilson")
    assert (found.value, found.n) == (count / n, n)
    assert found.low == pytest.approx(expected.low, abs=1e-12)
    assert found.high == pytest.approx(expected.high, abs=1e-12)


def test_no_row_is_no_share() -> None:
    """Neither 0 nor 1."""
    found = rate(np.zeros(0, dtype=bool))
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)

"""The report's pictures."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_curve as roc_curve_of_sklearn

from steps.evaluation.pictures import confusion_picture, roc_curve, roc_picture


@pytest.mark.parametrize("k", [2, 5, 40])
def test_pictures_are_small_pngs(k: int) -> None:
    """Two, five and forty classes stay below 60 kB, and are large enough to read."""
    generator = np.random.default_rng(0)
    classes = [f"category {number}" for number in range(k)]
    true = np.arange(400) % k
    probabilities = generator.dirichlet(np.ones(k), 400) + 2 * np.eye(k)[true]
    counts = generator.integers(0, 99, (k, k))
    for data in (confusion_picture(counts.tolist(), classes), roc_picture(true, probabilities, classes)):
        assert len(data) < 60_000
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG"
            assert min(image.size) >= 200


def test_the_shade_is_the_share_of_the_true_class() -> None:
    """Nine of nine are as dark as one of one; five of ten are not."""

    def darkest(counts: list[list[int]]) -> int:
        image = Image.open(io.BytesIO(confusion_picture(counts, ["a", "b"]))).convert("RGB")
        middle = np.asarray(image)[:, : image.width // 2]  # without the bar that explains the shades
        dark_blue = (middle[..., 2] > middle[..., 0] + 60) & (middle[..., 0] < 40)
        return int(dark_blue.sum())

    assert darkest([[9, 0], [0, 9]]) > 1000
    assert darkest([[1, 0], [0, 9]]) == pytest.approx(darkest([[9, 0], [0, 9]]), rel=0.02)
    assert darkest([[5, 5], [5, 5]]) < 100


def test_the_roc_curve_agrees_with_scikit_learn() -> None:
    """False and true positive rates at every distinct score."""
    generator = np.random.default_rng(3)
    positive = generator.integers(0, 2, 60).astype(bool)
    scores = generator.integers(0, 9, 60) / 10
    ours = roc_curve(positive, scores)
    theirs = roc_curve_of_sklearn(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1])

"""Tests of steps/data/checks/suspicious_labels.py: planted wrong labels are found, right ones left alone."""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from steps.data.checks.limits import CheckLimit
from steps.data.checks.suspicious_labels import SuspiciousLabelSettings, suspicious_labels
from tests.steps.data.scenes import jpeg, scene

LABELS = ["bag", "dress", "shoe", "shirt"]
SETTINGS = SuspiciousLabelSettings()


def embedded(n: int, seed: int = 0) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Pictures of four kinds whose embeddings hardly overlap."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, len(LABELS), n)
    centres = rng.normal(size=(len(LABELS), 32))
    features = (centres[kinds] + rng.normal(0, 0.6, (n, 32))).astype(np.float32)
    index = pd.DataFrame({"image_id": [f"{row:06}" for row in range(n)], "label": np.array(LABELS)[kinds]})
    return index, features


def mislabelled(index: pd.DataFrame, share: float, seed: int = 0) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Give some pictures the next label."""
    wrong = np.random.default_rng(seed).random(len(index)) < share
    following = index["label"].map(dict(zip(LABELS, [*LABELS[1:], LABELS[0]], strict=True)))
    return index.assign(label=index["label"].where(~wrong, following)), wrong


def unasked(names: list[str]) -> list[bytes]:
    """Fail: with embeddings no picture is loaded."""
    raise AssertionError(names)


def test_planted_wrong_labels_are_found() -> None:
    """Of 3 % at least 80 % are, with the label that they should have; under 1 % of the others is doubted."""
    right, features = embedded(2000)
    index, wrong = mislabelled(right, 0.03)
    check, found = suspicious_labels(index, unasked, SETTINGS, features)
    doubted = index["image_id"].isin(found["image_id"]).to_numpy()
    assert doubted[wrong].mean() >= 0.8
    assert doubted[~wrong].mean() < 0.01
    assert (check.outcome, check.measured) == ("warned", doubted.mean())
    truth = dict(zip(right["image_id"], right["label"], strict=True))
    planted = found[found["image_id"].isin(index["image_id"][wrong])]
    assert (planted["likely"] == planted["image_id"].map(truth)).mean() > 0.95
    assert found["confidence"].is_monotonic_decreasing
    assert found["confidence"].between(SETTINGS.confidence, 1).all()


def test_right_labels_pass() -> None:
    """Nothing is suspicious about them."""
    index, features = embedded(500)
    check, found = suspicious_labels(index, unasked, SETTINGS, features)
    assert check.outcome == "passed"
    assert len(found) <= 2


def test_a_policy_can_refuse() -> None:
    """The severity is configured."""
    index, features = embedded(500)
    index, _ = mislabelled(index, 0.1)
    strict = SuspiciousLabelSettings(suspicious_labels=CheckLimit(limit=0.01, severity="refuse"))
    assert suspicious_labels(index, unasked, strict, features)[0].outcome == "refused"


@pytest.mark.parametrize("column", ["group", "cluster"])
def test_pictures_of_one_group_do_not_vouch_for_each_other(column: str) -> None:
    """A product whose 20 pictures are all labelled wrongly is found by what the other products say."""
    index, features = embedded(400)
    features[:20] = features[0] + np.random.default_rng(1).normal(0, 0.01, (20, 32)).astype(np.float32)
    other = next(label for label in LABELS if label != index["label"][0])
    index.loc[:19, "label"] = other
    assert suspicious_labels(index, unasked, SETTINGS, features)[1]["image_id"].lt("000020").sum() == 0
    index[column] = pd.array(["one"] * 20 + [None] * 380, dtype="string")
    found = suspicious_labels(index, unasked, SETTINGS, features)[1]
    assert found["image_id"].lt("000020").sum() == 20


def loading(pictures: dict[str, bytes]) -> Callable[[list[str]], list[bytes]]:
    """Load by name."""
    return lambda names: [pictures[name] for name in names]


def test_without_a_model_thumbnails_are_compared() -> None:
    """Two products, photographed 60 times each in other light: one wrong label is found."""
    rng = np.random.default_rng(0)
    pictures = {}
    for number in range(120):
        light = 0.6 + 0.8 * rng.random()
        pictures[f"{number:03}"] = jpeg(
            scene(number % 2).point(lambda level, by=light: min(255, int(level * by)))
        )
    index = pd.DataFrame({"image_id": list(pictures), "label": ["bag", "shoe"] * 60, "orientation": 1})
    index.loc[10, "label"] = "shoe"
    _, found = suspicious_labels(index, loading(pictures), SETTINGS)
    assert found[["image_id", "label", "likely"]].to_numpy().tolist() == [["010", "shoe", "bag"]]


@pytest.mark.parametrize(("n", "labels"), [(49, LABELS), (100, ["bag"]), (0, LABELS)])
def test_too_few_are_not_assessed(n: int, labels: list[str]) -> None:
    """49 pictures, or one label, say nothing about a label."""
    index, features = embedded(n)
    index["label"] = [labels[row % len(labels)] for row in range(n)]
    check, found = suspicious_labels(index, unasked, SETTINGS, features)
    assert check.outcome == "not_assessed"
    assert check.measured is None
    assert list(found.columns) == ["image_id", "label", "likely", "confidence"]
    assert found.empty


def test_the_cost_is_bounded() -> None:
    """Of 50,000 pictures 5,000 are looked at, in seconds, and the answer is the same in any order."""
    index, features = embedded(50_000)
    index, _ = mislabelled(index, 0.03)
    begun = time.process_time()
    check, found = suspicious_labels(index, unasked, SETTINGS, features)
    assert time.process_time() - begun < 20
    assert "of 5,000 pictures" in check.reason
    order = np.random.default_rng(3).permutation(len(index))
    again = suspicious_labels(index.iloc[order], unasked, SETTINGS, features[order])[1]
    assert again.equals(found)

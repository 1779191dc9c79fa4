"""Tests of steps/data/checks/delivery_drift.py: drift is found, chance is not called drift."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.typing import NDArray

from materializers.data_report import Check
from steps.data.checks.delivery_drift import (
    DriftSettings,
    delivery_drift,
    domain_areas,
    ks_distances,
    nothing_to_compare,
    total_variation,
)
from steps.data.checks.limits import CheckLimit

NAMES = ("class_mix_drift", "picture_statistics_drift", "embedding_drift")
SHARES = {"shirt": 0.4, "pants": 0.3, "dress": 0.15, "hat": 0.1, "skirt": 0.05}
CHANCE_ALONE = DriftSettings.model_validate({name: {"limit": 0, "severity": "warn"} for name in NAMES})
"""No limit but the noise floor."""


def pictures(rng: np.random.Generator, n: int, shares: dict[str, float] = SHARES) -> pd.DataFrame:
    """An index of pictures as a shop's photographer takes them."""
    return pd.DataFrame(
        {
            "label": rng.choice(list(shares), n, p=list(shares.values())),
            "brightness": rng.normal(127, 24, n),
            "contrast": rng.gamma(10, 5, n),
            "sharpness": rng.lognormal(6.4, 0.9, n),
            "saturation": rng.gamma(3, 24, n),
            "width": rng.choice([256, 341], n),
            "height": rng.choice([256, 341], n),
        }
    )


def embedded(rng: np.random.Generator, n: int, shift: float = 0) -> NDArray[np.float32]:
    """Embeddings of 32 dimensions."""
    return rng.normal(shift, 1, (n, 32)).astype(np.float32)


def outcomes(checks: list[Check]) -> dict[str, str]:
    """Name → outcome."""
    return {check.name: check.outcome for check in checks}


@pytest.mark.parametrize(("ours", "theirs", "trials"), [(50, 50, 200), (60, 150, 200)])
def test_chance_is_not_called_drift(ours: int, theirs: int, trials: int) -> None:
    """Of two samples of the same world, at most 5 % are called drifted by the noise floor alone."""
    rng = np.random.default_rng(0)
    alarms = 0
    for seed in range(trials):
        settings = CHANCE_ALONE.model_copy(update={"seed": seed})
        both = (embedded(rng, ours), embedded(rng, theirs))
        checks = delivery_drift(pictures(rng, ours), pictures(rng, theirs), settings, embeddings=both)
        alarms += any(check.outcome != "passed" for check in checks)
    assert alarms <= 0.05 * trials


def test_a_delivery_like_the_training_data_passes() -> None:
    """Each check says what was measured, and the limit in force."""
    rng = np.random.default_rng(1)
    both = (embedded(rng, 300), embedded(rng, 2000))
    checks = delivery_drift(pictures(rng, 300), pictures(rng, 2000), DriftSettings(), embeddings=both)
    assert outcomes(checks) == dict.fromkeys(NAMES, "passed")
    for check in checks:
        assert check.measured is not None
        assert check.limit is not None
        assert check.measured < check.limit


def test_another_class_mix_is_drift() -> None:
    """Twice the dresses and a class that was never trained on; the rest is as it was."""
    rng = np.random.default_rng(2)
    mix = {"shirt": 0.2, "pants": 0.2, "dress": 0.35, "hat": 0.05, "skirt": 0.05, "boots": 0.15}
    checks = delivery_drift(pictures(rng, 300, mix), pictures(rng, 2000), DriftSettings())
    assert outcomes(checks) == dict(zip(NAMES, ("warned", "passed", "not_assessed"), strict=True))
    assert checks[0].measured == pytest.approx(0.35, abs=0.07)
    assert "of the delivery" in checks[0].reason
    assert "raise validate.drift.class_mix_drift.limit" in checks[0].reason


@pytest.mark.parametrize("column", ["brightness", "contrast", "sharpness", "saturation", "width"])
def test_other_pictures_are_drift(column: str) -> None:
    """One statistic that changed is enough, and is named."""
    rng = np.random.default_rng(3)
    delivery = pictures(rng, 200)
    delivery[column] *= 1.5
    checks = delivery_drift(delivery, pictures(rng, 2000), DriftSettings())
    assert outcomes(checks) == dict(zip(NAMES, ("passed", "warned", "not_assessed"), strict=True))
    assert checks[1].reason.startswith(f"{column.capitalize()} differs most")


def test_other_embeddings_are_drift() -> None:
    """The classifier tells them apart."""
    rng = np.random.default_rng(4)
    both = (embedded(rng, 200, shift=0.3), embedded(rng, 1500))
    checks = delivery_drift(pictures(rng, 200), pictures(rng, 1500), DriftSettings(), embeddings=both)
    assert outcomes(checks) == dict(zip(NAMES, ("passed", "passed", "warned"), strict=True))
    assert checks[2].measured is not None
    assert checks[2].measured > 0.8


def test_a_policy_can_refuse() -> None:
    """The severity is configured, a check at a time."""
    rng = np.random.default_rng(5)
    settings = DriftSettings(class_mix_drift=CheckLimit(limit=0.1, severity="refuse"))
    checks = delivery_drift(pictures(rng, 300, {"shirt": 0.1, "pants": 0.9}), pictures(rng, 1000), settings)
    assert (checks[0].outcome, checks[0].severity) == ("refused", "refuse")


def test_a_small_difference_of_many_pictures_is_no_drift() -> None:
    """It is beyond chance, and within the limit."""
    rng = np.random.default_rng(6)
    delivery = pictures(rng, 4000)
    delivery["brightness"] += 5
    reference = pictures(rng, 4000)
    assert (
        outcomes(delivery_drift(delivery, reference, DriftSettings()))["picture_statistics_drift"] == "passed"
    )
    assert outcomes(delivery_drift(delivery, reference, CHANCE_ALONE))["picture_statistics_drift"] == "warned"


def test_without_a_champion_nothing_is_assessed() -> None:
    """No reference is no drift and no clean bill."""
    strict = {name: {"limit": 0.1, "severity": "refuse"} for name in NAMES}
    checks = nothing_to_compare("There is no model.", DriftSettings.model_validate(strict))
    assert outcomes(checks) == dict.fromkeys(NAMES, "not_assessed")
    assert {check.measured for check in checks} == {None}


@pytest.mark.parametrize(("ours", "theirs"), [(49, 1000), (1000, 49), (0, 1000)])
def test_too_few_pictures_are_not_assessed(ours: int, theirs: int) -> None:
    """On either side."""
    rng = np.random.default_rng(8)
    both = (embedded(rng, ours), embedded(rng, theirs))
    checks = delivery_drift(pictures(rng, ours), pictures(rng, theirs), DriftSettings(), embeddings=both)
    assert outcomes(checks) == dict.fromkeys(NAMES, "not_assessed")
    assert "50 of each are needed" in checks[0].reason


def test_unmeasured_pictures_are_left_out() -> None:
    """A reference of an older format has no measures."""
    rng = np.random.default_rng(9)
    reference = pictures(rng, 1000).convert_dtypes()
    reference["brightness"] = pd.NA
    checks = delivery_drift(pictures(rng, 200), reference, DriftSettings())
    assert outcomes(checks) == dict(zip(NAMES, ("passed", "not_assessed", "not_assessed"), strict=True))


def test_too_few_permutations_never_alarm() -> None:
    """99 cannot tell a chance of 0.5 %: nothing is called drift that might be chance."""
    rng = np.random.default_rng(10)
    settings = DriftSettings(permutations=99, false_alarm=0.005)
    delivery = pictures(rng, 200, {"hat": 1.0})
    assert outcomes(delivery_drift(delivery, pictures(rng, 500), settings))["class_mix_drift"] == "passed"


def test_the_distances_are_scipys() -> None:
    """Kolmogorov-Smirnov with ties, and the area under the curve of a separable and of a random side."""
    rng = np.random.default_rng(11)
    values = rng.integers(0, 12, 300).astype(np.float64)
    sides = rng.random((5, 300)) < 0.3
    expected = [scipy.stats.ks_2samp(values[side], values[~side]).statistic for side in sides]
    assert ks_distances(values, sides) == pytest.approx(expected)
    assert total_variation(np.array([1, 3]), np.array([50, 50])) == pytest.approx(0.25)
    far = np.concatenate([embedded(rng, 100, shift=3), embedded(rng, 100)])
    both = np.stack([np.arange(200) < 100, np.arange(200) % 2 == 0])
    apart, mixed = domain_areas(far, both, seed=0)
    assert apart == pytest.approx(1, abs=1e-3)
    assert 0.3 < mixed < 0.7

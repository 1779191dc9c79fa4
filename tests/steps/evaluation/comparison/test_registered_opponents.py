"""The champion and the anchor are asked now, on rows that neither model learnt from."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from zenml.client import Client

from materializers.evaluation.comparison import Comparison
from materializers.evidence import registry_client
from materializers.splits import Splits
from steps.data.class_changes import ClassChanges
from steps.evaluation.comparison.assess import assess_comparisons
from steps.evaluation.comparison.settings import ComparisonSettings
from steps.evaluation.evaluate import examine
from steps.evaluation.examined import Examined
from steps.evaluation.settings import EvaluateSettings
from steps.registry.aliases import CHAMPION
from steps.registry.audit import record
from tests.steps.evaluation.registered import Made, register_trained
from tests.steps.training.examples import dataset, splits, trained

PICTURES = dataset()
GROUPS = splits(PICTURES)


@pytest.fixture
def shop(local_stack: Client) -> str:
    """A registered model without a version."""
    return f"compared-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def good(folder: Path) -> Made:
    """A model that is right more often than not."""
    return Made(trained(folder / "good", epochs=6, learning_rate=0.01), PICTURES, GROUPS)


@pytest.fixture(scope="module")
def weak(folder: Path) -> Made:
    """One that learnt next to nothing."""
    return Made(trained(folder / "weak", epochs=1, learning_rate=1e-6), PICTURES, GROUPS)


def looked_at(made: Made) -> Examined:
    return examine(made.classifier, made.dataset, made.splits, EvaluateSettings())


def compared(shop: str, challenger: Made) -> dict[str, Comparison]:
    """What its report says of champion and anchor."""
    return assess_comparisons(
        looked_at(challenger),
        challenger.splits,
        ComparisonSettings(),
        model_name=shop,
        anchor="first",
        changes=ClassChanges(),
    )


def promote(shop: str, version: int) -> None:
    """Registry and audit log say that it is in production."""
    registry_client().set_registered_model_alias(shop, CHAMPION, str(version))
    subject = {"model": shop, "version": str(version), "environment": "production"}
    record("release", subject, by="Ada", reason="looked at the report")


def test_the_first_model_is_compared_with_the_majority_class(shop: str, good: Made) -> None:
    """Nothing was ever in production: a baseline on all test rows, and no anchor yet."""
    found = compared(shop, good)
    champion, anchor = found["champion"], found["anchor"]
    assert champion.against == "majority class"
    assert champion.overall is not None
    assert champion.overall.n == 12
    assert champion.overall.difference.value is not None
    assert champion.overall.difference.value > 0.3
    assert anchor.nothing_yet == "no version was ever in production"


def test_the_champion_is_asked_for_what_it_answers_now(shop: str, good: Made, weak: Made) -> None:
    """A weak challenger loses by the difference of what both serving directories answer."""
    champion = register_trained(shop, good)
    promote(shop, champion.version)
    found = compared(shop, weak)
    right = [float((each.predicted == each.true).mean()) for each in map(looked_at, (weak, good))]
    for name in ("champion", "anchor"):
        one = found[name]
        assert (one.against, one.version, one.model) == (name, "1", good.classifier.record.model_digest)
        assert one.overall is not None
        assert one.overall.difference.value == pytest.approx(right[0] - right[1])
        assert right[0] < right[1]


def test_rows_that_the_champion_learnt_from_are_left_out(shop: str, good: Made, weak: Made) -> None:
    """What it trained on it knows by heart."""
    members = GROUPS.members.copy()
    tested = members.index[members["split"] == "test"]
    members.loc[tested[:4], "split"] = "train"
    promote(shop, register_trained(shop, Made(good.classifier, PICTURES, Splits(members=members))).version)
    found = compared(shop, weak)["champion"]
    assert found.overall is not None
    assert (found.overall.n, found.left_out) == (8, 4)


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_champion_that_cannot_be_read_is_not_assessed(
    shop: str, good: Made, weak: Made, damage: str
) -> None:
    """It refuses by the gate: neither number nor baseline takes its place."""
    entry = register_trained(shop, good)
    promote(shop, entry.version)
    model = Path(entry.tag("model_uri"))
    if damage == "gone":
        shutil.rmtree(model)
    else:
        (model / "metadata.json").write_bytes(
            (model / "metadata.json").read_bytes().replace(b"dark", b"lark")
        )
    for one in compared(shop, weak).values():
        assert one.overall is None
        assert (one.not_assessed or "").startswith("version 1 cannot be read: ")


def test_an_alias_that_was_moved_away_does_not_make_a_model_the_first(
    shop: str, good: Made, weak: Made
) -> None:
    """The audit log knows of the release: both comparisons say so instead of being made."""
    promote(shop, register_trained(shop, good).version)
    registry_client().delete_registered_model_alias(shop, CHAMPION)
    for one in compared(shop, weak).values():
        assert one.overall is None
        assert "was released to production by the audit log" in (one.not_assessed or "")

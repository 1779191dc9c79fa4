"""The card of a version is made of its evidence, kept, and follows each decision."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from zenml.client import Client

from materializers.classifier import Classifier
from materializers.evidence import RegisteredVersion, registry_client
from materializers.model_card import ModelCard
from pipelines.config import load_config
from pipelines.session import prepare
from steps.evaluation.evaluate import examine, report_on
from steps.registry.model_card import (
    STANDING_LIMITS,
    card_artifact,
    keep_card,
    last_card,
    make_card,
    send_card,
)
from tests.materializers.examples import approval, rule, verdict
from tests.shrunk.delivery import SHRUNK_CONFIG
from tests.steps.training.examples import CLASSES, dataset, splits, trained

PURPOSE = "Sorts product photographs."


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A tiny classifier."""
    return trained(tmp_path_factory.mktemp("model"), epochs=2)


@pytest.fixture(scope="module")
def card(classifier: Classifier) -> ModelCard:
    """Its card, of a verdict with a rule that nobody could judge."""
    pictures, settings = dataset(), load_config(SHRUNK_CONFIG, ()).evaluate
    groups = splits(pictures)
    report = report_on(examine(classifier, pictures, groups, settings), groups, settings)
    tags = {"source_name": "sample-deliveries"}
    entry = RegisteredVersion(
        model_name=f"card-{uuid4().hex[:8]}", version=3, created=datetime.now(UTC), aliases=(), tags=tags
    )
    judged = verdict(
        rule(0.9, 0.85), rule(None, 0.8, rule="far_ood_auroc", reason="none is made"), outcome="not_assessed"
    )
    return make_card(entry, classifier.record, report, judged, groups, purpose=PURPOSE)


def test_it_says_what_the_evidence_says(card: ModelCard, classifier: Classifier) -> None:
    """Pictures by class and split, every measured number, the gate's outcome, all digests."""
    record = classifier.record
    assert card.data.pictures == {
        label: {"train": 12, "validation": 4, "test": 4, "set_apart": 0} for label in CLASSES
    }
    assert (card.purpose, card.outcome) == (PURPOSE, "not_assessed")
    assert card.data.source_name == "sample-deliveries"
    assert card.digests["model"] == record.model_digest
    assert card.digests["lock"] == record.lock
    assert card.trained["architecture"] == "small_cnn"
    accuracy = next(each for each in card.measured if each.metric == "accuracy")
    assert accuracy.value is not None
    assert accuracy.value.n == 12


def test_its_limits_are_those_of_every_model_and_what_nobody_judged(card: ModelCard) -> None:
    """With the reason."""
    assert card.limits[: len(STANDING_LIMITS)] == STANDING_LIMITS
    assert "Not assessed: far ood auroc (none is made)." in card.limits


def test_the_newest_card_is_the_one_that_is_found(local_stack: Client, card: ModelCard) -> None:
    """As it was stored; a decision adds to it, and a version of before there were cards has none."""
    prepare(stack=None)
    assert last_card(card.model_name, 3) is None
    keep_card(card)
    assert last_card(card.model_name, 3) == card
    decided = card.with_decision(approval(decision="rejected", reason="dresses look like coats"))
    keep_card(decided)
    found = last_card(card.model_name, 3)
    assert found == decided
    assert [each.decision for each in found.decisions] == ["rejected"]
    assert card_artifact(card.model_name, 33) != card_artifact(card.model_name, 3)
    assert last_card(card.model_name, 33) is None


def test_the_tracker_has_it_in_both_forms(local_stack: Client, card: ModelCard, tmp_path: Path) -> None:
    """In the run of the training, in place of the one before."""
    prepare(stack=None)
    client: MlflowClient = registry_client()
    experiment = client.create_experiment(card.model_name, artifact_location=str(tmp_path / "tracked"))
    run = client.create_run(experiment).info.run_id
    send_card(card, run)
    send_card(card.with_decision(approval(reason="looked at the mistakes")), run)
    for name in ("model_card.md", "model_card.html"):
        text = Path(client.download_artifacts(run, name, str(tmp_path))).read_text(encoding="utf-8")
        assert PURPOSE in text
        assert "looked at the mistakes" in text

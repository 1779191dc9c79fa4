"""The record of a version goes from its pictures to everything that was done with it."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from zenml.client import Client

from actions.lineage import show_lineage
from materializers.errors import UsageError
from pipelines.config import Config, load_config
from steps.registry.audit import record
from tests.shrunk.delivery import SHRUNK_CONFIG
from tests.steps.evaluation.registered import Made, register_trained
from tests.steps.training.examples import dataset, splits, trained

TAGS = {"architecture": "small_cnn", "source_name": "sample-deliveries"}


@pytest.fixture
def config(local_stack: Client) -> Config:
    """The configuration of a registered model that nobody else uses."""
    return load_config(SHRUNK_CONFIG, (f"product.model=lineage-{uuid4().hex[:8]}",))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """What a version is made of."""
    pictures = dataset()
    return Made(trained(tmp_path / "model", epochs=1), pictures, splits(pictures))


def test_it_names_what_a_version_was_made_of_and_what_was_done_with_it(config: Config, made: Made) -> None:
    """Digests by what they are of, and the entries of the log on this version alone.

    Its run left no verdict, and nobody logged its training: it is shown all the same, as refused.
    """
    name = config.product.model
    entry = register_trained(name, made, **TAGS, data_version=made.dataset.version)
    for version in ("1", "11"):
        subject = {"model": name, "version": version, "environment": "production"}
        record("release", subject, by="Ada", reason=f"to show {version}")
    record("approve", {"model": "other", "version": "1"}, by="Ada", reason="of another model")
    record("rollback", {"model": name, "version": "2", "from_version": "1"}, by="Ada", reason="away from it")
    result = show_lineage(config, 1)
    assert (result.status, result.exit_code) == ("refused", 3)
    assert result.reasons[0].startswith("The verdict of version 1 cannot be read")
    assert result.reasons[1].startswith("The audit log does not say how version 1 was trained or judged")
    assert result.details["digests"] == {
        "data": made.dataset.version,
        "splits": made.splits.digest,
        "model": made.classifier.record.model_digest,
    }
    assert [each["reason"] for each in result.details["history"]] == ["to show 1", "away from it"]
    assert (result.details["run"], result.details["verdict"]) == (entry.run_id, "not to be read any more")
    assert result.details["live_in"] == []


def test_there_is_no_lineage_of_a_version_that_is_not_there(config: Config, made: Made) -> None:
    """It is wrong use, not an empty record."""
    register_trained(config.product.model, made, **TAGS)
    with pytest.raises(UsageError, match="version 7"):
        show_lineage(config, 7)

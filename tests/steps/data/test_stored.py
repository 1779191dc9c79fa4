"""What ZenML knows of the artifacts in the store, by their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from zenml import save_artifact

from materializers.data_diff import DataDiff
from materializers.image_dataset import ImageDataset
from steps.data.stored import KnownArtifact, active_store, known_artifacts, of_type, recorded_digest, reports
from tests.materializers.examples import data_diff, dataset

if TYPE_CHECKING:
    from zenml.client import Client


def test_every_artifact_is_known_with_its_folder_and_class(zenml_client: Client) -> None:
    """What was saved is found where it lies; a report with the class that reads it."""
    before = len(known_artifacts())
    save_artifact(dataset(1, 2), name="known_dataset")
    save_artifact(data_diff(), name="known_report")
    save_artifact("text", name="known_text")
    found = known_artifacts()
    assert len(found) == before + 3
    stored = next(artifact for artifact in of_type(found, ImageDataset) if artifact.name == "known_dataset")
    assert stored.uri.startswith(f"{active_store().path}/custom_artifacts/known_dataset/")
    assert active_store().exists(f"{stored.uri}/manifest.json")
    kinds = {artifact.name: kind for artifact, kind in reports(found)}
    assert kinds["known_report"] is DataDiff
    assert not {"known_dataset", "known_text"} & kinds.keys()


def test_a_class_that_is_no_more_is_no_report() -> None:
    """A report of a version of this project that had other types is passed over."""
    kinds = ("materializers.data_diff.DataDiff", "materializers.gone.Report", "materializers.data_diff.Gone")
    artifacts = [KnownArtifact(id=uuid4(), name=kind, uri="s3://store/1", type=kind) for kind in kinds]
    assert [artifact.name for artifact, _ in reports(artifacts)] == ["materializers.data_diff.DataDiff"]


def test_the_digest_of_the_time_of_storing_is_known(zenml_client: Client) -> None:
    """Whatever format the artifact was written in; a text has none."""
    save_artifact(dataset(3), name="recorded_dataset")
    save_artifact("text", name="recorded_text")
    found = {artifact.name: artifact for artifact in known_artifacts()}
    assert recorded_digest(found["recorded_dataset"]) == dataset(3).version
    assert recorded_digest(found["recorded_text"]) is None

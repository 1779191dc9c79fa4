"""Find what a model learnt from last: the dataset and the splits of its last run that validation passed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset
from materializers.splits import Splits

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse, PipelineRunResponse

DATASET = "dataset"
PREFIX = re.compile("[0-9a-f]{8,64}")
LISTED = 10


def last_dataset(model_name: str) -> ImageDataset | None:
    """The newest dataset that this registered model may learn from.

    It is that of its newest run that validation passed, or what a person made of it since by readmitting a
    picture.
    """
    readmitted = _readmitted(model_name)
    for run in _accepted_runs(model_name):
        artifact = _output(run, "validate", DATASET)
        if artifact is not None:
            if readmitted is not None and readmitted.created > max(run.created, artifact.created):
                return _dataset(readmitted)
            return _dataset(artifact)
    return None if readmitted is None else _dataset(readmitted)


def keep_readmitted(dataset: ImageDataset, model_name: str) -> None:
    """Store a dataset as the newest that this registered model may learn from."""
    from zenml import save_artifact

    save_artifact(dataset, name=DATASET, tags=_readmission_tags(model_name))


def last_splits(model_name: str) -> Splits | None:
    """The splits of the newest run of this registered model that validation passed and that had some."""
    for run in _accepted_runs(model_name):
        artifact = _output(run, "split", "splits")
        if artifact is not None:
            splits = artifact.load()
            if not isinstance(splits, Splits):
                raise TypeError(f"{artifact.uri} holds {type(splits).__name__}, not Splits")
            return splits
    return None


def find_dataset(version: str) -> ImageDataset:
    """The stored dataset of this version.

    Args:
        version: the digest (64 hex digits) or its first 8 or more.

    Raises:
        UsageError: there is none, or several begin like this.
    """
    from zenml.client import Client

    wanted = version.strip().lower()
    if not PREFIX.fullmatch(wanted):
        raise UsageError(
            f"{version!r} is no data version: it takes 8 to 64 hexadecimal digits, as the metadata "
            f"'digest' of a dataset shows them. {_known_versions()}"
        )
    # Metadata are stored as JSON: a text begins with its quotation mark.
    page = Client().list_artifact_versions(
        artifact=DATASET, run_metadata=f'digest:startswith:"{wanted}', sort_by="desc:created", hydrate=True
    )
    found = {str(artifact.run_metadata["digest"]): artifact for artifact in reversed(page.items)}
    if not found:
        raise UsageError(f"There is no dataset of version {wanted}. {_known_versions()}")
    if len(found) > 1:
        names = ", ".join(sorted(name[:16] for name in found))
        raise UsageError(f"{len(found)} datasets begin with {wanted}: {names}. Give more digits.")
    return _dataset(next(iter(found.values())))


def first_stored_at(version: str) -> datetime | None:
    """When a dataset of this version was first stored; None where none is."""
    from zenml.client import Client

    page = Client().list_artifact_versions(
        artifact=DATASET, run_metadata=f'digest:equals:"{version}"', sort_by="asc:created", size=1
    )
    return page.items[0].created.replace(tzinfo=UTC) if page.items else None


def _readmitted(model_name: str) -> ArtifactVersionResponse | None:
    """The newest dataset of this registered model that a readmission made."""
    from zenml.client import Client

    page = Client().list_artifact_versions(
        artifact=DATASET, tags=_readmission_tags(model_name), sort_by="desc:created", size=1
    )
    return page.items[0] if page.items else None


def _readmission_tags(model_name: str) -> list[str]:
    return [f"readmitted:{model_name}"]


def _accepted_runs(model_name: str) -> Iterator[PipelineRunResponse]:
    """The runs whose ``DataReport`` says passed, newest first."""
    from zenml.client import Client

    number, pages = 1, 1
    while number <= pages:
        page = Client().list_pipeline_runs(tags=f"model:{model_name}", sort_by="desc:created", page=number)
        for run in page.items:
            report = _output(run, "validate", "data_report")
            if report is not None and report.run_metadata.get("outcome") == "passed":
                yield run
        number, pages = number + 1, page.total_pages


def _output(run: PipelineRunResponse, step: str, name: str) -> ArtifactVersionResponse | None:
    """An output of a run's step, or None: it did not run, or it returned None (which has no digest)."""
    from zenml.client import Client

    for done in Client().list_run_steps(
        pipeline_run_id=run.id, name=step, sort_by="desc:created", hydrate=True
    ):
        for artifact in done.outputs.get(name, []):
            if "digest" in artifact.run_metadata:
                return artifact
    return None


def _dataset(artifact: ArtifactVersionResponse) -> ImageDataset:
    dataset = artifact.load()
    if not isinstance(dataset, ImageDataset):
        raise TypeError(f"{artifact.uri} holds {type(dataset).__name__}, not ImageDataset")
    return dataset


def _known_versions() -> str:
    from zenml.client import Client

    page = Client().list_artifact_versions(
        artifact=DATASET, sort_by="desc:created", size=LISTED, hydrate=True
    )
    names = dict.fromkeys(
        str(a.run_metadata["digest"])[:12] for a in page.items if "digest" in a.run_metadata
    )
    if not names:
        return "Nothing is stored yet: python run.py --train --source PATH"
    return f"The newest there are: {', '.join(names)}. Give one of them: --data {next(iter(names))}"

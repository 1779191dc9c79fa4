"""Find what a model learnt from last: the dataset and the splits of its last run that validation passed.

Where nothing is joined to it, what cannot be read is done without, and said: no damage stops a training for
good. Its step is not answered from the cache any more, for that would give the same damaged bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from materializers.blobs import store_errors
from materializers.errors import DamagedArtifact, UsageError
from materializers.image_dataset import ImageDataset
from materializers.image_manifest import check_shards
from materializers.splits import Splits
from materializers.watched import Watched, WatchedDelivery
from steps.data.stored import active_store
from steps.run_tags import model_tag, models_of

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse, PipelineRunResponse

DATASET, REPORT = "dataset", "data_report"
READMITTED = "readmitted:"
"""Before the model's name: the tag of a dataset that a readmission made."""
PREFIX = re.compile("[0-9a-f]{8,64}")
LISTED = 10


@dataclass(frozen=True)
class Past:
    """What a registered model learnt from last, as far as it can be read.

    Attributes:
        dataset: None where there is none, or none that can be read.
        stored: the same, where the active stack's artifact store has it: of another store's shards, each that
            holds one of the pictures would be copied whole, with what was forgotten only here.
        version: of the last dataset, whether it can be read or not; None where there is none.
        splits: the newest that can be read.
        deliveries: the watched deliveries that the dataset has, and those that were refused.
        damages: what cannot be read, by the name of its field here: a sentence that names the file.
    """

    dataset: ImageDataset | None
    stored: ImageDataset | None
    version: str | None
    splits: Splits | None
    deliveries: tuple[WatchedDelivery, ...]
    damages: dict[str, str]


def past_of(model_name: str, *, joined: bool) -> Past:
    """What this registered model learnt from last.

    Args:
        model_name: of the registered model.
        joined: whether a delivery is to be joined to it, so that there is no doing without.

    Raises:
        DamagedArtifact: ``joined``, and it cannot be read.
    """
    artifact = _last_artifact(model_name)
    dataset, damages = None, {}
    if artifact is not None:
        try:
            dataset = load_whole(artifact)
        except DamagedArtifact as error:
            if joined:
                raise DamagedArtifact(f"{error}; {_instead(model_name)}") from error
            damages["dataset"] = f"What {model_name} learnt from last is taken as absent: {error}"
    splits, damage = _newest_splits(model_name)
    if damage is not None:
        if joined:
            raise DamagedArtifact(f"{damage}; {_instead(model_name)}") from damage
        damages["splits"] = (
            f"The last splits are taken as absent: {damage}; pictures that only they knew are split anew, so "
            "that one may train now which tested an earlier version."
        )
    here = artifact is not None and artifact.artifact_store_id == active_store().id
    deliveries: tuple[WatchedDelivery, ...] = ()
    try:
        deliveries = known_deliveries(model_name, _version(artifact)) if joined else ()
    except DamagedArtifact as error:
        damages["deliveries"] = (
            f"Which watched deliveries the last dataset has is not known, and each is taken again: {error}"
        )
    stored = dataset if here else None
    return Past(dataset, stored, _version(artifact), splits, deliveries, damages)


def known_deliveries(model_name: str, parent: str | None) -> tuple[WatchedDelivery, ...]:
    """The watched deliveries that this model's last dataset has, and those that were refused.

    They are those of the newest report: of a run that was accepted, or of one that was refused and had joined
    what it found in a watched place to this dataset.

    Args:
        model_name: of the registered model.
        parent: the version of its last dataset; None where there is none.

    Raises:
        DamagedArtifact: the report cannot be read.
    """
    for report, accepted in _reports(model_name):
        looked: Watched = report.load().watched
        if accepted or (looked.place is not None and looked.parent == parent):
            return looked.deliveries
    return ()


def deliveries_of(version: str) -> tuple[WatchedDelivery, ...]:
    """The watched deliveries that a stored dataset has, as the run that stored it last says.

    Args:
        version: the whole digest.
    """
    from zenml.client import Client

    page = Client().list_artifact_versions(
        artifact=DATASET, run_metadata=f'digest:equals:"{version}"', sort_by="desc:created", hydrate=True
    )
    for artifact in page.items:
        if artifact.producer_step_run_id is not None:
            made = Client().get_run_step(artifact.producer_step_run_id).outputs
            for report in made.get(REPORT, ()):
                watched: Watched = report.load().watched
                return tuple(each for each in watched.deliveries if each.outcome == "taken")
    return ()


def last_version(model_name: str) -> str | None:
    """The version of the newest dataset that this registered model may learn from, whether it can be read."""
    return _version(_last_artifact(model_name))


def _version(artifact: ArtifactVersionResponse | None) -> str | None:
    return None if artifact is None else str(artifact.run_metadata["digest"])


def last_dataset(model_name: str) -> ImageDataset | None:
    """The newest dataset that this registered model may learn from.

    It is that of its newest run that validation passed, or what a person made of it since by readmitting a
    picture.

    Raises:
        DamagedArtifact: it cannot be read; it is said which other one can be trained on.
    """
    artifact = _last_artifact(model_name)
    try:
        return None if artifact is None else load_whole(artifact)
    except DamagedArtifact as error:
        raise DamagedArtifact(f"{error}; {_instead(model_name)}") from error


def _last_artifact(model_name: str) -> ArtifactVersionResponse | None:
    readmitted = _readmitted(model_name)
    for run in _accepted_runs(model_name):
        artifact = _output(run, "validate", DATASET)
        if artifact is not None:
            newer = readmitted is not None and readmitted.created > max(run.created, artifact.created)
            return readmitted if newer else artifact
    return readmitted


def _instead(model_name: str) -> str:
    """How to go on where the last dataset, or the last splits, cannot be read."""
    versions = dict.fromkeys(
        str(artifact.run_metadata["digest"])
        for run in islice(_accepted_runs(model_name), LISTED)
        if (artifact := _output(run, "validate", DATASET)) is not None
    )
    for version in versions:
        try:
            find_dataset(version)
        except DamagedArtifact:
            continue
        return (
            f"or train on version {version[:16]}, which can be read, and run the same command again: python "
            f"run.py --train --data {version[:16]}"
        )
    return "then run the same command again"


def keep_readmitted(dataset: ImageDataset, model_name: str) -> None:
    """Store a dataset as the newest that this registered model may learn from."""
    from zenml import save_artifact

    save_artifact(dataset, name=DATASET, tags=_readmission_tags(model_name))


def _newest_splits(model_name: str) -> tuple[Splits | None, DamagedArtifact | None]:
    """The newest splits of this registered model that can be read, and why newer ones cannot."""
    damage = None
    for run in _accepted_runs(model_name):
        artifact = _output(run, "split", "splits")
        if artifact is None:
            continue
        try:
            splits = artifact.load()
        except DamagedArtifact as error:
            _not_from_the_cache(artifact)
            damage = damage or error
            continue
        if not isinstance(splits, Splits):
            raise TypeError(f"{artifact.uri} holds {type(splits).__name__}, not Splits")
        return splits, damage
    return None, damage


def find_dataset(version: str, *, flag: str = "--data") -> ImageDataset:
    """The stored dataset of this version.

    Args:
        version: the digest (64 hex digits) or its first 8 or more.
        flag: which was given it, as a message names it.

    Raises:
        UsageError: there is none, or several begin like this.
        DamagedArtifact: it is stored, and no copy of it can be read.
    """
    from zenml.client import Client

    wanted = version.strip().lower()
    if not PREFIX.fullmatch(wanted):
        raise UsageError(
            f"{version!r} is no data version: it takes 8 to 64 hexadecimal digits, as the end of a run "
            f"tells them. {_known_versions(flag)}"
        )
    # Metadata are stored as JSON: a text begins with its quotation mark.
    page = Client().list_artifact_versions(
        artifact=DATASET, run_metadata=f'digest:startswith:"{wanted}', sort_by="desc:created", hydrate=True
    )
    found: dict[str, list[ArtifactVersionResponse]] = {}
    for artifact in page.items:
        found.setdefault(str(artifact.run_metadata["digest"]), []).append(artifact)
    if not found:
        raise UsageError(f"There is no dataset of version {wanted}. {_known_versions(flag)}")
    if len(found) > 1:
        names = ", ".join(sorted(name[:16] for name in found))
        raise UsageError(f"{len(found)} datasets begin with {wanted}: {names}. Give more digits.")
    return _first_whole(next(iter(found.values())))


def _first_whole(copies: Iterable[ArtifactVersionResponse]) -> ImageDataset:
    """The first of these copies of one dataset that can be read."""
    damages = []
    for artifact in copies:
        try:
            return load_whole(artifact)
        except DamagedArtifact as error:
            damages.append(error)
    raise damages[0]


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
    return [f"{READMITTED}{model_name}"]


def _accepted_runs(model_name: str) -> Iterator[PipelineRunResponse]:
    """The runs whose ``DataReport`` says passed, newest first."""
    return (run for run, _, accepted in _reported_runs(model_name) if accepted)


def _reports(model_name: str) -> Iterator[tuple[ArtifactVersionResponse, bool]]:
    """Every ``DataReport``, newest first, and whether it says passed."""
    return ((report, accepted) for _, report, accepted in _reported_runs(model_name))


def _reported_runs(model_name: str) -> Iterator[tuple[PipelineRunResponse, ArtifactVersionResponse, bool]]:
    """The runs with a ``DataReport``, newest first, that report, and whether it says passed."""
    from zenml.client import Client

    number, pages = 1, 1
    while number <= pages:
        page = Client().list_pipeline_runs(tags=model_tag(model_name), sort_by="desc:created", page=number)
        for run in page.items:
            report = _output(run, "validate", REPORT)
            if report is not None:
                yield run, report, report.run_metadata.get("outcome") == "passed"
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


def load_whole(artifact: ArtifactVersionResponse) -> ImageDataset:
    """The dataset of an artifact, all of whose shards are there.

    Raises:
        DamagedArtifact: it cannot be read, or a shard is missing; its step is not cached any more.
        ServiceUnreachable: the artifact store does not answer.
    """
    try:
        dataset = artifact.load()
        if not isinstance(dataset, ImageDataset):
            raise TypeError(f"{artifact.uri} holds {type(dataset).__name__}, not ImageDataset")
        store = active_store()
        if artifact.artifact_store_id == store.id:
            with store_errors("list the shards"):
                check_shards(store, dataset.index)
    except DamagedArtifact:
        _not_from_the_cache(artifact)
        raise
    return dataset


def _not_from_the_cache(artifact: ArtifactVersionResponse) -> None:
    """Have the step that made an artifact run anew where its output is asked for again."""
    from zenml.client import Client
    from zenml.utils.time_utils import utc_now

    if artifact.producer_step_run_id is not None:
        Client().update_step_run(artifact.producer_step_run_id, cache_expires_at=utc_now())


def _known_versions(flag: str) -> str:
    from zenml.client import Client

    page = Client().list_artifact_versions(
        artifact=DATASET, sort_by="desc:created", size=LISTED, hydrate=True
    )
    newest: dict[str, ArtifactVersionResponse] = {}
    for artifact in page.items:
        if "digest" in artifact.run_metadata:
            newest.setdefault(str(artifact.run_metadata["digest"])[:12], artifact)
    if not newest:
        return "Nothing is stored yet: python run.py --train --source PATH"
    there = "; ".join(f"{name} ({_about(artifact)})" for name, artifact in newest.items())
    return f"The newest there are: {there}. Give {flag} one of them."


def _about(artifact: ArtifactVersionResponse) -> str:
    """Of which model a dataset is, what stored it, when, and how many pictures it has."""
    from zenml.client import Client

    readmitted = (tag.name for tag in artifact.tags if tag.name.startswith(READMITTED))
    models, stored_by = [name.removeprefix(READMITTED) for name in readmitted], "readmitted"
    if artifact.producer_pipeline_run_id is not None:
        run = Client().get_pipeline_run(artifact.producer_pipeline_run_id)
        models = models_of(tag.name for tag in run.tags)
        stored_by = run.pipeline.name if run.pipeline else run.name
    pictures = f"{artifact.run_metadata['pictures']:,} pictures"
    return ", ".join([*models, stored_by, f"{artifact.created:%Y-%m-%d %H:%M} UTC", pictures])

"""Erase pictures wherever they are stored, and prove that they are nowhere any more.

First a note of each is kept, digests and fingerprints alone, so that whoever is killed at any point is taken
up again by the same command. Then every dataset that holds one is written anew without it, in its place and
under its version: a tombstone stands for the row. Then shards, cached features, the quarantine's copies,
captures, thumbnails, pages and what models answered on it go. Last, every file below the store's root is read
and searched. What could not be searched, or not for every picture, is no proof, and is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from actions.result import COMMAND, ActionResult
from materializers.blobs import store_errors
from materializers.erasure import ErasedDataset, Erasure, Forgotten, TrainedModel, write_note
from materializers.image_dataset import ImageDataset, Repacked
from materializers.image_manifest import lost_shards, read_manifest, read_version
from materializers.quarantine import Quarantine
from materializers.report import ReportMaterializer
from materializers.shards import MEND
from materializers.store_files import DELIVERIES
from pipelines.erasure import erasure
from pipelines.showing import show_in_run
from steps.data.erasing import (
    dataset_folders,
    digests_of,
    erase_from_captures,
    erase_from_dataset,
    erase_from_features,
    erase_from_quarantine,
    erase_from_references,
    erase_from_report,
    erase_from_sheets,
    found_in_shards,
    marks_of,
    remove_parts,
    remove_shards,
    set_aside_copies,
)
from steps.data.erasure_notes import take_notes
from steps.data.searching import Found, search_store
from steps.data.stored import KnownArtifact, active_store, known_artifacts, of_type, recorded_digest, reports

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

LISTED = 5
LISTINGS = 5
"""Rounds in which datasets are looked for that runs, on other machines too, saved since the last one."""
AGAIN = f'{COMMAND} --forget IMAGE_ID … --by WHO --reason "…"'


@dataclass
class Erased:
    """What an erasure came to."""

    notes: list[Forgotten]
    folders: list[str] = field(default_factory=list)
    """Of all datasets of the store, when they were listed last."""
    found: Found = field(default_factory=lambda: Found(0, 0, ()))
    datasets: dict[str, ErasedDataset] = field(default_factory=dict)
    """By their folders."""
    shards: int = 0
    blobs: int = 0
    features: int = 0
    """What was computed of the pictures and cached."""
    captures: int = 0
    """Rows of what services captured."""
    pages: int = 0
    alike: list[str] = field(default_factory=list)
    """Other pictures whose bytes have the same data in them."""
    lost: list[str] = field(default_factory=list)
    """Shards that these datasets name and the store lacks; what else was in them is damaged as before."""


def forget(image_ids: Sequence[str], *, by: str, reason: str) -> ActionResult:
    """Erase pictures from the active artifact store, and keep the report that proves it.

    Args:
        image_ids: their ids in datasets, or the digests of their bytes as delivered; or the beginnings; or
            the paths under which they were delivered.
        by: who asked for it.
        reason: why.

    Raises:
        UsageError: nobody knows such a picture, several begin like this, or were delivered under this path.
        DamagedArtifact: something cannot be read; the same command goes on once it is mended.
        ServiceUnreachable: the store or the registry does not answer.
    """
    from zenml import save_artifact
    from zenml.client import Client

    store, artifacts = active_store(), known_artifacts()
    with store_errors("erase everything"):
        erased = erase(store, artifacts, image_ids)
        again = _erased_before(store, artifacts, erased)
    held = [artifact for artifact in artifacts if artifact.uri in erased.datasets]
    versions = {each.version for each in erased.datasets.values()}
    versions.update(recorded_digest(artifact) or "" for artifact in held)
    models = tuple(_trained_on(versions))
    outcome = _report(erased, models, by=by, actor=Client().active_user.name, reason=reason)
    stored = save_artifact(outcome, name=erasure.name)
    return ActionResult(
        action="forget",
        status="done" if outcome.outcome == "erased" else "failed",
        reasons=(
            *again,
            *_said(erased, outcome),
            f"The proof: artifact {erasure.name}, version {stored.version}.",
            show_in_run(erasure, stored),
        ),
        details={
            **outcome.model_dump(mode="json"),
            "digest": outcome.digest,
            "alike": erased.alike,
            "lost": erased.lost,
        },
        exit_code=0 if outcome.outcome == "erased" else 1,
    )


def erase(store: BaseArtifactStore, artifacts: list[KnownArtifact], image_ids: Sequence[str]) -> Erased:
    """Erase pictures from a store, and search all of it.

    Args:
        store: where everything lies.
        artifacts: all that ZenML knows of what lies there.
        image_ids: as given to :func:`forget`.

    Raises:
        UsageError: nobody knows such a picture, several begin like this, or were delivered under this path.
        DamagedArtifact: something cannot be read.
    """
    folders = dataset_folders(store, (artifact.uri for artifact in of_type(artifacts, ImageDataset)))
    quarantines = [artifact.uri for artifact in of_type(artifacts, Quarantine)]
    erased = Erased(take_notes(store, folders, quarantines, image_ids), folders)
    _erase_once(store, artifacts, quarantines, erased)
    found = found_in_shards(store, erased.found.places, marks_of(erased.notes))
    named = _named(store, erased.folders) if found else set()
    hidden = [(digest, image_id) for digest, image_id in found if image_id not in named]
    if hidden:
        # No row leads there: whoever withdrew the picture shares its shard all the same.
        _note_more(store, erased, digests={each[1] for each in hidden}, shards={each[0] for each in hidden})
        _erase_once(store, artifacts, quarantines, erased)
    found = found_in_shards(store, erased.found.places, marks_of(erased.notes))
    erased.alike = sorted({image_id for _, image_id in found})
    erased.lost = sorted(lost_shards(store, _shards_of(store, erased.datasets)))
    return erased


def _erase_once(
    store: BaseArtifactStore,
    artifacts: list[KnownArtifact],
    quarantines: list[str],
    erased: Erased,
) -> None:
    copies = set_aside_copies(store, erased.notes)
    if unknown := set(copies) - digests_of(erased.notes):
        # The same picture with other metadata: delivered again, it is known by that digest, too.
        _note_more(store, erased, digests=unknown)
    _erase_from_datasets(store, erased)
    erased.shards += remove_shards(store, erased.folders, erased.notes)
    erased.features += erase_from_features(store, erased.notes)
    erased.captures += erase_from_captures(store, erased.notes)
    removed, pages = erase_from_quarantine(store, quarantines, copies, erased.notes)
    erased.blobs += removed
    erased.pages += pages
    versions = {held.version for held in erased.datasets.values()}
    runs = {artifact.run_id for artifact in artifacts if artifact.uri in erased.datasets} - {None}
    for artifact, kind in reports(artifacts):
        erased.pages += erase_from_report(
            store, artifact.uri, kind, erased.notes, versions=versions, related=artifact.run_id in runs
        )
    erased.pages += erase_from_sheets(store, erased.notes)
    erased.pages += erase_from_references(store, erased.notes)
    erased.found = search_store(store, marks_of(erased.notes), digests_of(erased.notes))
    if remove_parts(store, erased.found.places):
        erased.found = search_store(store, marks_of(erased.notes), digests_of(erased.notes))


def _erase_from_datasets(store: BaseArtifactStore, erased: Erased) -> None:
    """Write every dataset anew, also those that runs saved meanwhile: a shard that they need may go next.

    After ``LISTINGS`` such rounds they are only listed: then their shards stay, and the search finds them.
    """
    repacked: dict[str, Repacked] = {}
    written: set[str] = set()
    for _ in range(LISTINGS):
        for folder in sorted(set(erased.folders) - written):
            if (held := erase_from_dataset(store, folder, erased.notes, repacked)) is not None:
                erased.datasets[folder] = held
        written.update(erased.folders)
        erased.folders = dataset_folders(store, erased.folders)
        if written.issuperset(erased.folders):
            break


def _note_more(
    store: BaseArtifactStore, erased: Erased, *, digests: set[str], shards: set[str] | None = None
) -> None:
    """Keep what was found out about the pictures on the way, before it is erased."""
    first = erased.notes[0]
    erased.notes[0] = first.model_copy(
        update={
            "source_digests": tuple(sorted({*first.source_digests, *digests})),
            "shards": tuple(sorted({*first.shards, *(shards or ())})),
        }
    )
    write_note(store, erased.notes[0])


def _named(store: BaseArtifactStore, folders: list[str]) -> set[str]:
    """The ids of all pictures that a dataset has."""
    named: set[str] = set()
    for folder in folders:
        _, index = read_version(store, folder)
        named.update(index["image_id"])
    return named


def _shards_of(store: BaseArtifactStore, folders: Iterable[str]) -> Iterator[str]:
    """Every shard that these datasets name."""
    for folder in folders:
        yield from read_manifest(store, folder).shards


def _report(erased: Erased, models: tuple[TrainedModel, ...], *, by: str, actor: str, reason: str) -> Erasure:
    not_searchable = tuple(note.name for note in erased.notes if not note.searchable)
    unproven = not_searchable or erased.found.passed_over
    return Erasure(
        outcome="found" if erased.found.places else "not_proven" if unproven else "erased",
        image_ids=tuple(note.name for note in erased.notes),
        by=by,
        actor=actor,
        reason=reason,
        at=datetime.now(UTC),
        datasets=tuple(erased.datasets.values()),
        shards_removed=erased.shards,
        quarantine_removed=erased.blobs,
        features_removed=erased.features,
        captures_erased=erased.captures,
        pages=erased.pages,
        scanned_files=erased.found.files,
        scanned_bytes=erased.found.size,
        found=erased.found.places,
        archives=erased.found.archives,
        not_searchable=not_searchable,
        passed_over=erased.found.passed_over,
        models=models,
    )


def _trained_on(versions: set[str]) -> Iterator[TrainedModel]:
    """The registered versions, of whatever model, that learnt from these data versions."""
    from materializers.evidence import model_names, read_versions

    for name in model_names():
        for entry in read_versions(name):
            if (data := entry.tags.get("data_version")) in versions:
                yield TrainedModel(model=name, version=entry.version, data=data, aliases=entry.aliases)


def _erased_before(store: BaseArtifactStore, artifacts: list[KnownArtifact], erased: Erased) -> list[str]:
    """A sentence for each picture that an earlier call forgot, from the first record of it."""
    first: dict[str, Erasure] = {}
    for artifact in of_type(artifacts, Erasure):
        earlier = ReportMaterializer(artifact.uri, store).load(Erasure)
        first |= {image_id: first.get(image_id, earlier) for image_id in earlier.image_ids}
    return [
        f"{note.name[:16]} was forgotten already on {first[note.name].at:%Y-%m-%d %H:%M} UTC by "
        f"{first[note.name].by}; the store was searched again."
        for note in erased.notes
        if note.name in first
    ]


def _said(erased: Erased, outcome: Erasure) -> Iterator[str]:
    what = f"{len(outcome.image_ids):,} pictures" if len(outcome.image_ids) > 1 else "The picture"
    searched = f"{outcome.scanned_files:,} files with {outcome.scanned_bytes:,} bytes were searched"
    if outcome.found:
        shown = ", ".join(outcome.found[:LISTED])
        yield f"{what} erased where it is known, but {searched} and {len(outcome.found):,} have it: {shown}."
        yield from _mend(erased)
    else:
        where = "" if outcome.outcome == "erased" else " where it is known, and not proven"
        kept = f"{len(outcome.datasets):,} datasets that held it keep their versions"
        yield f"{what} erased{where}: {searched}, 0 hold or show it. {kept}."
    yield from _not_proven(outcome)
    if erased.lost:
        shown = ", ".join(digest[:16] for digest in erased.lost[:LISTED])
        yield (
            f"{len(erased.lost):,} shards of these datasets are missing from the store: {shown}. The other "
            f"pictures in them are as damaged as before. {MEND}"
        )
    if outcome.models:
        named = ", ".join(f"{each.model} {each.version}" for each in outcome.models[:LISTED])
        yield f"{len(outcome.models):,} versions learnt from data that held it: {named}."


def _not_proven(outcome: Erasure) -> Iterator[str]:
    """What the search does not say, and what to do about it."""
    if plain := outcome.not_searchable:
        shown = ", ".join(image_id[:16] for image_id in plain[:LISTED])
        yield (
            f"{len(plain):,} of {len(outcome.image_ids):,} not searchable: {shown}. Too plain for a "
            "fingerprint, or the bytes were gone before: a copy that no dataset, shard, quarantine or sheet "
            "names would not be found. Look yourself through what people put into the store."
        )
    if passed := outcome.passed_over:
        shown = "; ".join(f"{each.place} ({each.number:,}: {each.why})" for each in passed[:LISTED])
        number = sum(each.number for each in passed)
        yield (
            f"{number:,} things in {len(passed):,} files could not be looked into: {shown}. Look at these "
            f"files yourself, and remove what need not stay; then again: {AGAIN}"
        )


def _mend(erased: Erased) -> Iterator[str]:
    if erased.alike:
        ids = " ".join(erased.alike[:LISTED])
        yield f"Other pictures have the same data in them: {ids}. Forget them too: {AGAIN}"
    delivered = [place for place in erased.found.places if place.startswith(f"{DELIVERIES}/")]
    if delivered:
        yield (
            f"{', '.join(delivered[:LISTED])}: a delivery that was brought to this store, and nobody "
            "rewrites one. Remove it once no run reads it, have it delivered without the picture; then "
            f"again: {AGAIN}"
        )
    if not (erased.alike or delivered):
        yield (
            f"A run may be storing it, or one that was killed left it: {COMMAND} --collect. Once nobody "
            f"does, again: {AGAIN}"
        )

"""Remove what nothing refers to: shards, features, what killed runs and saves left, what is past its time.

Whatever cannot be read stops the whole before anything is removed, and nothing is touched that is younger
than a grace time, so that a save that is going on loses nothing. What is about to be removed is looked at
once more; whoever is killed in between leaves the rest to the next call.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from actions.result import COMMAND, ActionResult
from materializers.blobs import PART, store_errors
from materializers.captured_window import CapturedWindow
from materializers.drift_reference import REFERENCE_FILE
from materializers.errors import DamagedArtifact, Refused
from materializers.feature_cache import FEATURES_FOLDER, is_part, pictures_in
from materializers.image_dataset import ImageDataset
from materializers.image_manifest import MANIFEST, read_manifest, read_version
from materializers.quarantine import Quarantine, read_rows
from materializers.shards import SHARDS_FOLDER, digest_of_name
from materializers.store_files import (
    CHECKPOINTS,
    INFERENCES,
    STUDIES,
    StoredFile,
    forget_listings,
    relative,
    remove_file,
    stored_file,
    walk_files,
)
from pipelines.config import Config
from serving.capture_layout import CAPTURES, FEEDBACK, has_pictures, hour_of, is_part_name
from steps.data.stored import SUPERSEDED, KnownArtifact, active_store, how_to_forget, known_artifacts, of_type
from steps.monitoring.explain import DRIFT_PAGE
from steps.monitoring.traffic.captures import without_pictures

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ARTIFACT_FOLDER = re.compile(rf"(custom_artifacts/[^/]+/{UUID}|[^/]+/[^/]+/{UUID}/[0-9a-f]{{8}})/")
"""How ZenML lays out its artifacts: by a person's act, or as a step's output."""
SHARDS, BLOBS, FEATURES = f"{SHARDS_FOLDER}/", "quarantine/blobs/", f"{FEATURES_FOLDER}/"
TOGETHER = re.compile(rf"({CHECKPOINTS}|{STUDIES}|{INFERENCES})/[^/]+")
"""The folder of a training's checkpoints, of a study's trials and folds, or of what bulk inferences by one
model answered so far: its files go together."""

Kind = Literal[
    "shard",
    "folder",
    "quarantine",
    "note",
    "part",
    "index",
    "features",
    "checkpoint",
    "study",
    "answers",
    "captures",
    "feedback",
    "captured pictures",
    "window",
    "drift page",
]
INDEX = re.compile(r"/index(-[0-9a-f]{64})?\.parquet$")
UNFINISHED = re.compile(rf"/\.[^/]+\.[0-9a-f]{{32}}{re.escape(PART)}$")
"""How a file is called while it is written; see :func:`materializers.blobs.write_file`."""


@dataclass(frozen=True)
class Garbage:
    """Something that nothing refers to.

    Attributes:
        kind: what it is.
        uri: a file, or a folder without the slash at its end.
        files: what it consists of.
        why: why nothing refers to it.
    """

    kind: Kind
    uri: str
    files: tuple[StoredFile, ...]
    why: str

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(file.size for file in self.files)

    @property
    def changed(self) -> datetime:
        """When the newest of its files was written."""
        return max(file.changed for file in self.files)


@dataclass(frozen=True)
class KeptCaptures:
    """How long what was captured stays; of ``rows`` the ``pictures`` may go sooner."""

    rows: timedelta
    pictures: timedelta


def collect(config: Config, *, apply: bool) -> ActionResult:
    """Show what nothing refers to, and remove it when that is asked for.

    Raises:
        DamagedArtifact: a manifest, or the rows of a quarantine, cannot be read: nothing was removed.
        Refused: ZenML knows nothing of what lies in this store.
        ServiceUnreachable: the store or the registry does not answer.
    """
    store, now = active_store(), datetime.now(UTC)
    keeping = config.keeping
    grace = timedelta(hours=keeping.grace_hours)
    captured = KeptCaptures(
        timedelta(days=keeping.captures_days), timedelta(days=keeping.captured_pictures_days)
    )
    artifacts = known_artifacts()
    served = _served_folders()
    with store_errors("look everything through"):
        found = find_garbage(
            store,
            artifacts,
            served=served,
            now=now,
            grace=grace,
            unused=timedelta(days=keeping.features_days),
            captured=captured,
        )
    with store_errors("remove everything"):
        removed = sum(remove(store, each, older_than=now - grace) for each in found) if apply else 0
    return _result(store, found, now=now, removed=removed, apply=apply)


def find_garbage(
    store: BaseArtifactStore,
    artifacts: list[KnownArtifact],
    *,
    served: Iterable[str] = (),
    now: datetime,
    grace: timedelta,
    unused: timedelta,
    captured: KeptCaptures,
) -> list[Garbage]:
    """Everything below the store's root that nothing refers to and that is older than the grace time.

    Args:
        store: where to look.
        artifacts: all that ZenML knows of what lies there.
        served: folders that the model registry refers to.
        now: the time.
        grace: what is younger stays.
        unused: how long features and studies stay that no training asks for.
        captured: how long what services captured stays.

    Raises:
        DamagedArtifact: a manifest, an index, or the rows of a quarantine, cannot be read.
        Refused: ZenML knows nothing of what lies in this store.
    """
    known = {artifact.uri for artifact in artifacts}
    found, oldest = _sorted_files(store, known), now - grace
    served = tuple(served)
    left = [
        Garbage("folder", uri, tuple(files), "no artifact of ZenML lies there: a run that was killed left it")
        for uri, files in found.folders.items()
        if uri not in known
        and max(file.changed for file in files) < oldest
        and not any(place.startswith(f"{uri}/") for place in served)
    ]
    if left and not known:
        raise Refused(
            f"ZenML knows no artifact in {store.path}, and {len(left):,} folders of artifacts lie there: it "
            "is another ZenML server's. Nothing was removed; connect to the right one: zenml login"
        )
    datasets = _datasets(artifacts, found.folders, {garbage.uri for garbage in left})
    named = _named_shards(store, datasets)
    kept_until = _kept_until(store, artifacts)
    # Who loaded a manifest before it was replaced still reads the shards that it named.
    young = (file.uri.rpartition("/")[2] for file in found.notes if file.changed >= oldest)
    replaced = {digest for digest in map(digest_of_name, young) if digest is not None}
    return [
        *_unfinished(found.parts, oldest),
        *_replaced_indices(store, artifacts, found.folders, oldest),
        *_unnamed(found.shards, named | replaced, oldest),
        *_outlived(found.notes, oldest),
        *left,
        *_outdated(found.blobs, kept_until, now=now, oldest=oldest),
        *_spare_features(store, datasets, found.features, oldest=oldest, used_after=now - unused),
        *_left_behind("checkpoint", found.together[CHECKPOINTS], oldest, "nobody went on with the training"),
        *_left_behind("answers", found.together[INFERENCES], oldest, "no --infer goes on from them"),
        *_old_studies(found.together[STUDIES], min(oldest, now - unused)),
        *_past_their_time("captures", found.captures, captured, now=now, oldest=oldest),
        *_past_their_time("feedback", found.feedback, captured, now=now, oldest=oldest),
        *_old_looks(artifacts, found.folders, captured, now=now),
    ]


@dataclass
class Files:
    """What lies in a store, by what it is; the files of artifacts by their folders."""

    shards: list[StoredFile] = field(default_factory=list)
    blobs: list[StoredFile] = field(default_factory=list)
    notes: list[StoredFile] = field(default_factory=list)
    captures: list[StoredFile] = field(default_factory=list)
    feedback: list[StoredFile] = field(default_factory=list)
    features: list[StoredFile] = field(default_factory=list)
    together: dict[str, dict[str, list[StoredFile]]] = field(
        default_factory=lambda: {CHECKPOINTS: {}, STUDIES: {}, INFERENCES: {}}
    )
    """By what they are of, and by their folders."""
    parts: list[StoredFile] = field(default_factory=list)
    """What was not written to its end; in a folder of which ZenML does not know, it is one of its files."""
    folders: dict[str, list[StoredFile]] = field(default_factory=dict)


def _sorted_files(store: BaseArtifactStore, known: Container[str]) -> Files:
    found = Files()
    by_folder = {
        SHARDS: found.shards,
        BLOBS: found.blobs,
        SUPERSEDED: found.notes,
        FEATURES: found.features,
        f"{CAPTURES}/": found.captures,
        f"{FEEDBACK}/": found.feedback,
    }
    for file in walk_files(store, str(store.path)):
        path = relative(store, file.uri)
        folder = None
        if (layout := ARTIFACT_FOLDER.match(path)) is not None:
            folder = f"{str(store.path).rstrip('/')}/{layout[1]}"
            found.folders.setdefault(folder, []).append(file)
        if UNFINISHED.search(file.uri) and (folder is None or folder in known):
            found.parts.append(file)
        elif (top := next((each for each in by_folder if path.startswith(each)), None)) is not None:
            by_folder[top].append(file)
        elif (together := TOGETHER.match(path)) is not None:
            folder = f"{str(store.path).rstrip('/')}/{together[0]}"
            found.together[together[1]].setdefault(folder, []).append(file)
    return found


def remove(store: BaseArtifactStore, garbage: Garbage, *, older_than: datetime) -> int:
    """Remove it, unless it was written anew meanwhile; the bytes that went.

    Raises:
        OSError: a file cannot be removed.
    """
    if garbage.kind == "captured pictures":
        return without_pictures(store, garbage.uri)
    forget_listings(store, garbage.uri)
    present = [found for file in garbage.files if (found := stored_file(store, file.uri)) is not None]
    if any(file.changed >= older_than for file in present):
        return 0
    # The manifest first: what is left of a dataset when this is interrupted is none.
    for file in sorted(present, key=lambda file: not file.uri.endswith(f"/{MANIFEST}")):
        remove_file(store, file.uri)
    if garbage.kind == "folder" and store.exists(garbage.uri):
        store.rmtree(garbage.uri)
    return sum(file.size for file in present)


def _datasets(
    artifacts: list[KnownArtifact], folders: Mapping[str, list[StoredFile]], left: set[str]
) -> dict[str, KnownArtifact | None]:
    """The folders of all datasets: ZenML's, and None for what may still become one."""
    datasets = {artifact.uri: artifact for artifact in of_type(artifacts, ImageDataset)}
    unknown = {uri for uri in folders if uri not in left and uri not in {each.uri for each in artifacts}}
    saving = {uri for uri in unknown if any(file.uri == f"{uri}/{MANIFEST}" for file in folders[uri])}
    return {uri: datasets.get(uri) for uri in sorted(datasets.keys() | saving)}


def _named_shards(store: BaseArtifactStore, datasets: Mapping[str, KnownArtifact | None]) -> set[str]:
    """The digests of all shards that a dataset needs."""
    named: set[str] = set()
    for uri, artifact in datasets.items():
        with _needed(uri, artifact):
            named.update(read_manifest(store, uri).shards)
    return named


def _named_pictures(store: BaseArtifactStore, datasets: Mapping[str, KnownArtifact | None]) -> set[str]:
    """The ids of all pictures that a dataset has."""
    named: set[str] = set()
    for uri, artifact in datasets.items():
        with _needed(uri, artifact):
            named.update(read_version(store, uri)[1]["image_id"])
    return named


@contextmanager
def _needed(uri: str, artifact: KnownArtifact | None) -> Iterator[None]:
    """Say how to go on where an artifact cannot be read, of which nobody knows then what it needs."""
    try:
        yield
    except DamagedArtifact as error:
        way = f"Remove {uri}, once no run is going on." if artifact is None else how_to_forget(artifact)
        raise DamagedArtifact(
            f"Nothing was removed, for nobody knows what {uri} needs. {error}; that mends the "
            f"data, not this: put the file back from a backup, or give up what it alone holds. {way}"
        ) from error


def _kept_until(store: BaseArtifactStore, artifacts: list[KnownArtifact]) -> dict[str, datetime]:
    """Until when each picture that was set aside is kept, by its digest; the longest counts."""
    kept: dict[str, datetime] = {}
    for artifact in of_type(artifacts, Quarantine):
        with _needed(artifact.uri, artifact):
            index = read_rows(store, artifact.uri).index
        for digest, until in index.loc[index["kept"], ["source_digest", "keep_until"]].itertuples(
            index=False, name=None
        ):
            kept[digest] = max(until.to_pydatetime(), kept.get(digest, datetime.min.replace(tzinfo=UTC)))
    return kept


def _unnamed(shards: list[StoredFile], named: set[str], oldest: datetime) -> Iterator[Garbage]:
    for file in shards:
        name = file.uri.rpartition("/")[2]
        if file.changed < oldest and digest_of_name(name) not in named:
            yield Garbage("shard", file.uri, (file,), "no dataset names it")


def _unfinished(parts: list[StoredFile], oldest: datetime) -> Iterator[Garbage]:
    for file in parts:
        if file.changed < oldest:
            yield Garbage("part", file.uri, (file,), "a save that was killed left it")


def _replaced_indices(
    store: BaseArtifactStore,
    artifacts: list[KnownArtifact],
    folders: Mapping[str, list[StoredFile]],
    oldest: datetime,
) -> Iterator[Garbage]:
    """Indices of datasets that have another one by now: whoever was killed while rewriting left both."""
    for artifact in of_type(artifacts, ImageDataset):
        indices = [file for file in folders.get(artifact.uri, ()) if INDEX.search(file.uri)]
        if len(indices) > 1:
            present = f"{artifact.uri}/{read_manifest(store, artifact.uri).index_file}"
            for file in indices:
                if file.uri != present and file.changed < oldest:
                    yield Garbage("index", file.uri, (file,), "its dataset was given another index")


def _outlived(notes: list[StoredFile], oldest: datetime) -> Iterator[Garbage]:
    for file in notes:
        if file.changed < oldest:
            yield Garbage("note", file.uri, (file,), "the shard that it held back may go")


def _left_behind(
    kind: Kind, folders: Mapping[str, list[StoredFile]], oldest: datetime, why: str
) -> Iterator[Garbage]:
    """Folders in which nothing was written for long."""
    for uri, files in folders.items():
        if max(file.changed for file in files) < oldest:
            yield Garbage(kind, uri, tuple(files), why)


def _old_studies(studies: Mapping[str, list[StoredFile]], used_after: datetime) -> Iterator[Garbage]:
    for uri, files in studies.items():
        if (used := max(file.changed for file in files)) < used_after:
            yield Garbage("study", uri, tuple(files), f"nobody went on with it since {used:%Y-%m-%d}")


def _past_their_time(
    kind: Literal["captures", "feedback"],
    parts: list[StoredFile],
    kept: KeptCaptures,
    *,
    now: datetime,
    oldest: datetime,
) -> Iterator[Garbage]:
    """What was captured, or said of it, too long ago: whole parts, and of later ones their pictures."""
    for file in parts:
        name = file.uri.rpartition("/")[2]
        hour = hour_of(file.uri) if is_part_name(name) and file.changed < oldest else None
        if hour is None:
            continue
        age = now - hour - timedelta(hours=1)
        if age > kept.rows:
            why = f"it is of {hour:%Y-%m-%d}, and kept for {kept.rows.days:,} days"
            yield Garbage(kind, file.uri, (file,), why)
        elif age > kept.pictures and has_pictures(name):
            why = f"they are of {hour:%Y-%m-%d}, and kept for {kept.pictures.days:,} days"
            yield Garbage("captured pictures", file.uri, (file,), why)


def _old_looks(
    artifacts: list[KnownArtifact],
    folders: Mapping[str, list[StoredFile]],
    kept: KeptCaptures,
    *,
    now: datetime,
) -> Iterator[Garbage]:
    """The traffic that past looks of monitoring compared, and the pages that show some of it.

    What a look found stays: its report, and what the window was.
    """
    windows = {artifact.uri for artifact in of_type(artifacts, CapturedWindow)}
    pages = {artifact.uri for artifact in artifacts if artifact.name == DRIFT_PAGE}
    for uri in windows | pages:
        kind: Kind = "window" if uri in windows else "drift page"
        time = kept.rows if uri in windows else kept.pictures
        for file in folders.get(uri, ()):
            if file.changed < now - time and (uri in pages or file.uri.endswith(f"/{REFERENCE_FILE}")):
                why = f"it is of traffic until {file.changed:%Y-%m-%d}, kept for {time.days:,} days"
                yield Garbage(kind, file.uri, (file,), why)


def _outdated(
    blobs: list[StoredFile], kept_until: Mapping[str, datetime], *, now: datetime, oldest: datetime
) -> Iterator[Garbage]:
    for file in blobs:
        until = kept_until.get(file.uri.rpartition("/")[2])
        if file.changed >= oldest or (until is not None and until >= now):
            continue
        why = "no quarantine names it" if until is None else f"it was kept until {until:%Y-%m-%d}"
        yield Garbage("quarantine", file.uri, (file,), why)


def _spare_features(
    store: BaseArtifactStore,
    datasets: Mapping[str, KnownArtifact | None],
    files: list[StoredFile],
    *,
    oldest: datetime,
    used_after: datetime,
) -> Iterator[Garbage]:
    """Features that no training asked for in a long time, as of a backbone of before; and of no picture."""
    folders: dict[str, list[StoredFile]] = {}
    for file in files:
        folders.setdefault(file.uri.rpartition("/")[0], []).append(file)
    old = list[StoredFile]()
    for uri, some in folders.items():
        used = max(file.changed for file in some)
        if used < min(oldest, used_after):
            yield Garbage("features", uri, tuple(some), f"no training asked for them since {used:%Y-%m-%d}")
        else:
            old += [each for each in some if each.changed < oldest and is_part(each.uri.rpartition("/")[2])]
    named = _named_pictures(store, datasets) if old else set()
    for file in old:
        try:
            if named.isdisjoint(pictures_in(store, file.uri)):
                yield Garbage("features", file.uri, (file,), "no dataset has one of their pictures")
        except DamagedArtifact:
            yield Garbage("features", file.uri, (file,), "they are damaged, and are computed again")


def _served_folders() -> list[str]:
    """The folders of all models that the registry knows, of whatever name."""
    from materializers.evidence import model_names, registry_client, registry_errors

    names = model_names()
    with registry_errors("list all versions"):
        client = registry_client()
        return [
            str(version.source)
            for name in names
            for version in client.search_model_versions(f"name='{name}'")
        ]


def _result(
    store: BaseArtifactStore, found: list[Garbage], *, now: datetime, removed: int, apply: bool
) -> ActionResult:
    size = sum(garbage.size for garbage in found)
    if not found:
        said = ["Everything in the store is referred to, or too young to say."]
    elif apply:
        said = [f"{len(found):,} removed, {removed:,} bytes."]
    else:
        said = [
            f"Nothing refers to {len(found):,} of what lies in the store, {size:,} bytes. To remove it: "
            f"{COMMAND} --collect --apply"
        ]
    entries = [
        {
            "kind": garbage.kind,
            "name": relative(store, garbage.uri),
            "bytes": garbage.size,
            "age_hours": round((now - garbage.changed).total_seconds() / 3600, 1),
            "why": garbage.why,
        }
        for garbage in found
    ]
    return ActionResult(
        action="collect",
        status="done",
        reasons=tuple(said),
        details={"applied": apply, "found": entries, "bytes": size, "bytes_removed": removed},
    )

"""What nothing refers to is shown, and goes only when that is asked for; everything else stays."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from actions.collect import Garbage, KeptCaptures, find_garbage, remove
from materializers import store_files
from materializers.blobs import write_blob
from materializers.errors import DamagedArtifact, Refused
from materializers.feature_cache import FeatureCache, FeatureKey, FeatureRow, part_files
from materializers.image_dataset import picture_digest
from materializers.quarantine import QuarantineBuilder, blob_uri
from materializers.store_files import relative
from serving.capture_layout import has_pictures, schema_of, without
from serving.captured_line import Said
from steps.monitoring.explain import DRIFT_PAGE
from steps.monitoring.traffic import captures
from tests.actions.kept import Kept, dataset, photograph
from tests.captured import MODEL, answered, said, shipped
from tests.captured import picture as captured_picture
from tests.materializers.examples import data_report, drift_report, rebased_reference
from tests.steps.monitoring.looked_at import synthetic

GRACE = timedelta(hours=24)
UNUSED = timedelta(days=30)
CAPTURED = KeptCaptures(rows=timedelta(days=90), pictures=timedelta(days=30))
FEATURES = FeatureKey(backbone="ab" * 32, preprocessing={"version": 1}, runtime="any", length=3)
LATER = datetime.now(UTC) + timedelta(days=2)
"""When everything that is written now is older than the grace time."""


def found(kept: Kept, now: datetime = LATER, **known: Any) -> list[Garbage]:
    """What nothing refers to."""
    limits: dict[str, Any] = {"now": now, "grace": GRACE, "unused": UNUSED, "captured": CAPTURED, **known}
    return find_garbage(kept.store, kept.artifacts, **limits)


def keep_features(store: BaseArtifactStore, *seeds: int) -> str:
    """Cache what a backbone makes of photographs, and give the path of the part."""
    rows = [FeatureRow(picture_digest(photograph(seed)), 1) for seed in seeds]
    before = set(part_files(store))
    FeatureCache(store).write(FEATURES, rows, np.ones((len(rows), FEATURES.length), np.float32))
    (part,) = set(part_files(store)) - before
    return relative(store, part)


def names(kept: Kept, garbage: list[Garbage]) -> set[tuple[str, str]]:
    """Kind and path of each."""
    return {(each.kind, relative(kept.store, each.uri)) for each in garbage}


def apply(kept: Kept, now: datetime = LATER) -> int:
    """Remove all of it, and count the bytes."""
    return sum(remove(kept.store, each, older_than=now - GRACE) for each in found(kept, now))


def test_everything_that_zenml_knows_stays(store: BaseArtifactStore) -> None:
    """A dataset, a report and a quarantine: to the last byte."""
    kept = Kept(store)
    kept.save(dataset(1, 2))
    kept.save(data_report())
    builder = QuarantineBuilder("shop", kept_days=30, max_bytes=10**6)
    builder.add(photograph(9), path="a", label="tops", reason="truncated")
    kept.save(builder.build())
    keep_features(store, 1, 2)
    write_blob(store, f"{store.path}/mlflow.db", b"not an artifact")
    write_blob(store, f"{store.path}/logs/7b1f7d40-0000-4000-8000-000000000000.log", b"not an artifact")
    before = kept.paths()
    assert found(kept) == []
    assert apply(kept) == 0
    assert kept.paths() == before


def test_what_a_killed_run_left_is_found_with_its_shards(store: BaseArtifactStore) -> None:
    """The folder and the shards that it alone names go, with their bytes counted; shared ones stay."""
    kept = Kept(store)
    parent = dataset(1, 2)
    stays = kept.save(parent)
    goes = kept.save(parent.join(dataset(3)))
    kept.lose(goes)
    (lost,) = set(dataset(3).shards)
    garbage = found(kept)
    assert names(kept, garbage) == {
        ("shard", f"datasets/shards/{lost}.arrow"),
        ("folder", relative(store, goes)),
    }
    assert all(each.size > 0 and each.why for each in garbage)
    before = kept.paths()
    assert apply(kept) == sum(each.size for each in garbage)
    assert before - kept.paths() == {path for path in before if lost in path or relative(store, goes) in path}
    ids = list(parent.index["image_id"])
    assert kept.load(stays).pictures(ids) == parent.pictures(ids)
    assert found(kept) == []


def test_accepted_traffic_stays_as_long_as_zenml_knows_it(store: BaseArtifactStore) -> None:
    """Its table too; what a command that was killed left of another goes."""
    kept = Kept(store)
    kept.save(rebased_reference("1" * 64, "2" * 64))
    assert found(kept) == []
    left = kept.save(rebased_reference("3" * 64, "4" * 64))
    del kept.artifacts[-1]
    assert names(kept, found(kept)) == {("folder", relative(store, left))}


def part_of(name: str) -> str:
    """How a file is called while it is written."""
    return f".{name}.{uuid4().hex}.part"


def test_what_killed_saves_left_unfinished_goes(disk: LocalArtifactStore) -> None:
    """Beside a dataset that is whole, among shards, blobs and notes: what was not written to its end."""
    kept = Kept(disk)
    stays = kept.save(dataset(1, 2))
    places = [
        f"{relative(disk, stays)}/{part_of('index-' + 'ab' * 32 + '.parquet')}",
        f"datasets/shards/{part_of('cd' * 32 + '.arrow')}",
        f"quarantine/blobs/{part_of('ef' * 32)}",
        f"datasets/forgotten/{part_of('note.json')}",
    ]
    before = kept.paths()
    for place in places:
        write_blob(disk, f"{disk.path}/{place}", b"half of i")
    assert found(kept, now=datetime.now(UTC) + timedelta(hours=23)) == []
    assert names(kept, found(kept)) == {("part", place) for place in places}
    assert {each.why for each in found(kept)} == {"a save that was killed left it"}
    assert apply(kept) == len(places) * len(b"half of i")
    assert kept.paths() == before
    assert found(kept) == []


def test_checkpoints_that_nobody_went_on_with_go(store: BaseArtifactStore) -> None:
    """All of a training, once the newest is older than the grace time; else it stays."""
    kept = Kept(store)
    kept.save(dataset(1))
    before = kept.paths()
    for name in ("00000001.safetensors", "00000001.json", "00000002.safetensors", "00000002.json"):
        write_blob(store, f"{store.path}/checkpoints/{'ab' * 32}/head/{name}", b"state")
    assert found(kept, now=datetime.now(UTC) + timedelta(hours=23)) == []
    assert names(kept, found(kept)) == {("checkpoint", f"checkpoints/{'ab' * 32}")}
    assert apply(kept) == 4 * len(b"state")
    assert kept.paths() == before
    assert found(kept) == []


def test_answers_that_no_inference_goes_on_from_go(store: BaseArtifactStore) -> None:
    """All of one model, once the newest is older than the grace time: a run that goes on writes new ones."""
    kept = Kept(store)
    kept.save(dataset(1))
    before = kept.paths()
    for digest in ("cd" * 32, "ef" * 32):
        write_blob(store, f"{store.path}/inferences/{'ab' * 32}/{digest}.parquet", b"answers")
    assert found(kept, now=datetime.now(UTC) + timedelta(hours=23)) == []
    assert names(kept, found(kept)) == {("answers", f"inferences/{'ab' * 32}")}
    assert apply(kept) == 2 * len(b"answers")
    assert kept.paths() == before


def test_studies_that_nobody_went_on_with_go_after_their_time(store: BaseArtifactStore) -> None:
    """Trials and folds together, once as old as features may be; until then a search may be widened."""
    kept = Kept(store)
    kept.save(dataset(1))
    before = kept.paths()
    for name in ("journal.log", "fold-0123-1.json"):
        write_blob(store, f"{store.path}/studies/{'ab' * 32}/{name}", b"{}")
    assert found(kept, now=datetime.now(UTC) + timedelta(days=29)) == []
    (garbage,) = found(kept, now=datetime.now(UTC) + timedelta(days=31))
    assert names(kept, [garbage]) == {("study", f"studies/{'ab' * 32}")}
    assert len(garbage.files) == 2
    assert kept.paths() > before


def test_a_folder_in_which_somebody_writes_is_young(disk: LocalArtifactStore) -> None:
    """What is written just now keeps the older files of a save that is going on."""
    kept = Kept(disk)
    kept.save(dataset(1))
    uri = kept.save(data_report())
    kept.lose(uri)
    old = (datetime.now(UTC) - timedelta(days=3)).timestamp()
    for path in Path(uri).rglob("*"):
        os.utime(path, (old, old))
    assert names(kept, found(kept, now=datetime.now(UTC))) == {("folder", relative(disk, uri))}
    write_blob(disk, f"{uri}/{part_of('report.json')}", b"half of i")
    assert found(kept, now=datetime.now(UTC)) == []


def test_an_index_that_was_replaced_goes(disk: LocalArtifactStore) -> None:
    """Killed before it removed the old index, a rewrite leaves both; the dataset stays whole."""
    kept = Kept(disk)
    parent = dataset(1, 2)
    uri = kept.save(parent)
    (present,) = (path for path in kept.paths() if path.startswith(f"{relative(disk, uri)}/index-"))
    for name in (f"index-{'ab' * 32}.parquet", "index.parquet"):
        write_blob(disk, f"{uri}/{name}", b"what it was before")
    assert found(kept, now=datetime.now(UTC) + timedelta(hours=23)) == []
    assert names(kept, found(kept)) == {
        ("index", f"{relative(disk, uri)}/index-{'ab' * 32}.parquet"),
        ("index", f"{relative(disk, uri)}/index.parquet"),
    }
    apply(kept)
    assert [path for path in kept.paths() if path.endswith(".parquet")] == [present]
    ids = list(parent.index["image_id"])
    assert kept.load(uri).pictures(ids) == parent.pictures(ids)


def test_nothing_goes_before_its_grace_time_is_over(store: BaseArtifactStore) -> None:
    """A save that is going on is referred to by nothing yet; what it wrote stays for a day."""
    kept = Kept(store)
    kept.save(dataset(1))
    kept.lose(kept.save(dataset(2)))
    assert found(kept, now=datetime.now(UTC) + timedelta(hours=23)) == []
    assert len(found(kept, now=datetime.now(UTC) + timedelta(hours=25))) == 2


def test_features_of_pictures_that_no_dataset_has_go(store: BaseArtifactStore) -> None:
    """Part by part, after the grace time; one picture that a dataset has keeps its part."""
    kept = Kept(store)
    kept.save(dataset(1, 2))
    shared, alone = keep_features(store, 2, 3), keep_features(store, 4, 5)
    assert found(kept, now=datetime.now(UTC) + timedelta(hours=23)) == []
    garbage = found(kept)
    assert names(kept, garbage) == {("features", alone)}
    assert [each.why for each in garbage] == ["no dataset has one of their pictures"]
    assert apply(kept) == garbage[0].size
    assert alone not in kept.paths()
    assert shared in kept.paths()
    assert found(kept) == []


def test_features_that_no_training_asks_for_go_after_their_time(store: BaseArtifactStore) -> None:
    """Though their pictures are there: of a backbone of before, of an older runtime."""
    kept = Kept(store)
    kept.save(dataset(1, 2))
    part = keep_features(store, 1, 2)
    folder = part.rpartition("/")[0]
    now = datetime.now(UTC)
    assert found(kept, now=now + timedelta(days=29)) == []
    (garbage,) = found(kept, now=now + timedelta(days=31))
    assert names(kept, [garbage]) == {("features", folder)}
    assert {relative(store, file.uri) for file in garbage.files} == {part, f"{folder}/key.json"}
    assert f"since {now:%Y-%m-%d}" in garbage.why
    assert apply(kept, now=now + timedelta(days=31)) == garbage.size
    assert not any(path.startswith("features/") for path in kept.paths())


def test_features_that_were_asked_for_since_stay(disk: LocalArtifactStore) -> None:
    """A use makes them young, also between the list and the removal."""
    kept = Kept(disk)
    kept.save(dataset(1))
    part = keep_features(disk, 1)
    old = (datetime.now(UTC) - timedelta(days=60)).timestamp()
    for path in Path(disk.path, "features").rglob("*"):
        os.utime(path, (old, old))
    now = datetime.now(UTC)
    (garbage,) = found(kept, now=now)
    rows = [FeatureRow(picture_digest(photograph(1)), 1)]
    assert len(list(FeatureCache(disk).read(FEATURES, rows))) == 1
    assert remove(disk, garbage, older_than=now - GRACE) == 0
    assert found(kept, now=now) == []
    assert part in kept.paths()


def test_damaged_features_go(disk: LocalArtifactStore) -> None:
    """Nobody can say whose they are, and nothing is lost."""
    kept = Kept(disk)
    kept.save(dataset(1))
    part = keep_features(disk, 1)
    Path(disk.path, part).write_bytes(b"half of i")
    (garbage,) = found(kept)
    assert (names(kept, [garbage]), garbage.why) == (
        {("features", part)},
        "they are damaged, and are computed again",
    )


def test_shards_of_a_dataset_that_zenml_is_about_to_know_stay(disk: LocalArtifactStore) -> None:
    """Its shards are old, as an earlier delivery brought them; its manifest is young: they are needed."""
    kept = Kept(disk)
    kept.save(dataset(1))
    uri = kept.save(dataset(2))
    kept.lose(uri)
    old = (datetime.now(UTC) - timedelta(days=3)).timestamp()
    for path in (Path(disk.path) / "datasets" / "shards").iterdir():
        os.utime(path, (old, old))
    assert found(kept, now=datetime.now(UTC)) == []


def test_a_quarantine_is_kept_until_its_time(store: BaseArtifactStore) -> None:
    """The bytes go after the configured days, the later time counts, and the rows stay."""
    kept = Kept(store)
    for days, seeds in ((10, (1, 2)), (40, (2,))):
        builder = QuarantineBuilder("shop", kept_days=days, max_bytes=10**6)
        for seed in seeds:
            builder.add(photograph(seed), path=f"{seed}", label="tops", reason="truncated")
        kept.save(builder.build())
    write_blob(store, blob_uri(store, "ab" * 32), b"of a quarantine that a killed run did not finish")
    now = datetime.now(UTC)
    shorter, longer = (f"quarantine/blobs/{picture_digest(photograph(seed))}" for seed in (1, 2))
    nobodys = f"quarantine/blobs/{'ab' * 32}"
    in_days = {days: names(kept, found(kept, now=now + timedelta(days=days))) for days in (9, 11, 41)}
    assert in_days[9] == {("quarantine", nobodys)}
    assert in_days[11] == {("quarantine", nobodys), ("quarantine", shorter)}
    assert in_days[41] == {("quarantine", nobodys), ("quarantine", shorter), ("quarantine", longer)}
    apply(kept, now=now + timedelta(days=11))
    assert longer in kept.paths()
    assert not {nobodys, shorter} & kept.paths()
    assert len([path for path in kept.paths() if path.endswith("quarantine.parquet")]) == 2


@pytest.mark.parametrize("name", ["manifest.json", "quarantine.parquet"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_what_cannot_be_read_stops_the_whole(disk: LocalArtifactStore, name: str, damage: str) -> None:
    """Nobody knows what it needs: it is named, and nothing is removed."""
    kept = Kept(disk)
    kept.save(dataset(1))
    builder = QuarantineBuilder("shop", max_bytes=10**6)
    builder.add(photograph(2), path="a", label="tops", reason="truncated")
    kept.save(builder.build())
    kept.lose(kept.save(dataset(3)))
    (place,) = (
        Path(artifact.uri) / name for artifact in kept.artifacts if (Path(artifact.uri) / name).exists()
    )
    if damage == "cut":
        place.write_bytes(place.read_bytes()[:20])
    else:
        place.unlink()
    before = kept.paths()
    with pytest.raises(DamagedArtifact, match=name):
        apply(kept)
    assert kept.paths() == before


def test_a_model_that_the_registry_serves_stays(disk: LocalArtifactStore) -> None:
    """Though ZenML lost the artifact: what is live is never collected."""
    kept = Kept(disk)
    kept.save(dataset(1))
    uri = kept.save(data_report())
    kept.lose(uri)
    write_blob(disk, f"{uri}/serving/model.onnx", b"network")
    assert found(kept, served=[f"{uri}/serving"]) == []
    assert len(found(kept, served=[f"{uri[:-1]}/serving"])) == 1


def test_another_servers_store_is_refused(disk: LocalArtifactStore) -> None:
    """ZenML knows nothing that lies there: it is connected to the wrong server, and nothing is removed."""
    kept = Kept(disk)
    kept.save(dataset(1))
    other = Kept(disk)
    with pytest.raises(Refused, match="another ZenML server's"):
        found(other)


def test_what_was_written_anew_since_it_was_listed_stays(store: BaseArtifactStore) -> None:
    """A run that saves the same pictures while the list is shown: its shard is young, so it stays."""
    kept = Kept(store)
    kept.save(dataset(1))
    kept.lose(kept.save(dataset(2)))
    listed = found(kept)
    time.sleep(2)  # a bucket tells whole seconds
    now = datetime.now(UTC) - timedelta(seconds=1)
    for garbage in listed:
        for file in garbage.files:
            with store.open(file.uri, "rb") as stored:
                data = stored.read()
            write_blob(store, file.uri, data)
    before = kept.paths()
    assert sum(remove(store, garbage, older_than=now) for garbage in listed) == 0
    assert kept.paths() == before


def test_a_run_that_saves_what_is_being_collected_loses_nothing(disk: LocalArtifactStore) -> None:
    """A delivery comes again whose shard is garbage: whichever comes first, the dataset is whole."""
    kept = Kept(disk)
    kept.save(dataset(1))
    seeds = {next(iter(dataset(seed).shards)): seed for seed in range(2, 8)}
    for seed in seeds.values():
        kept.lose(kept.save(dataset(seed)))
    old = (datetime.now(UTC) - timedelta(days=3)).timestamp()
    for path in Path(disk.path).rglob("*"):
        os.utime(path, (old, old))
    garbage = [each for each in found(kept, now=datetime.now(UTC)) if each.kind == "shard"]
    assert len(garbage) == len(seeds)
    saved = []
    for number, each in enumerate(garbage):
        again = dataset(seeds[Path(each.uri).stem])
        if number % 2:
            saved.append(kept.save(again))
        remove(disk, each, older_than=datetime.now(UTC) - GRACE)
        if not number % 2:
            saved.append(kept.save(again))
    for uri in saved:
        loaded = kept.load(uri)
        assert loaded.pictures(list(loaded.index["image_id"]))


def keep_captures(kept: Kept, folder: Path, age: timedelta, **how: Any) -> list[str]:
    """Have a picture captured and labelled so long before ``LATER``; the paths of the parts."""
    before = kept.paths()
    moment = LATER - age
    asked = answered("a", captured_picture(photograph(1)), at=moment)
    shipped(str(kept.store.path), folder, [asked, said("a", Said(label="tops"), at=moment)], **how)
    return sorted(kept.paths() - before)


def test_what_was_captured_goes_when_its_time_is_up(disk: LocalArtifactStore, tmp_path: Path) -> None:
    """With what was said of it; a day younger stays, and so does what is no part."""
    kept = Kept(disk)
    goes = keep_captures(kept, tmp_path / "1", CAPTURED.rows + timedelta(hours=2))
    stays = keep_captures(kept, tmp_path / "2", CAPTURED.rows - timedelta(days=1))
    note = f"{goes[0].rpartition('/')[0]}/notes.txt"
    write_blob(disk, f"{disk.path}/{note}", b"somebody's")
    garbage = found(kept)
    assert names(kept, garbage) == {("captures", goes[0]), ("feedback", goes[1])}
    assert found(kept, now=LATER - timedelta(days=1)) == []
    assert apply(kept) == sum(each.size for each in garbage)
    assert kept.paths() == {*stays, note}


def test_traffic_that_a_look_compared_goes_with_what_was_captured(disk: LocalArtifactStore) -> None:
    """Its pages sooner, which have pictures; what the window was, and the look's report, stay."""
    kept = Kept(disk)
    window, report = relative(disk, kept.save(synthetic(), step="window")), kept.save(drift_report())
    page = kept.save(drift_report(), step=DRIFT_PAGE)
    stays = {path for path in kept.paths() if path.startswith(relative(disk, report))} | {
        f"{window}/window.json"
    }
    begun = datetime.now(UTC)
    assert found(kept, now=begun + CAPTURED.pictures - timedelta(days=1)) == []
    garbage = found(kept, now=begun + CAPTURED.pictures + timedelta(days=1))
    assert {each.kind for each in garbage} == {"drift page"}
    assert all(each.uri.startswith(page) for each in garbage)
    assert apply(kept, now=begun + CAPTURED.rows + timedelta(days=1)) > 0
    assert kept.paths() == stays


def test_captured_pictures_go_before_their_rows(
    disk: LocalArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows stay as they were, under another name; the same again finds nothing."""
    monkeypatch.setattr(captures, "active_store", lambda: disk)
    kept = Kept(disk)
    keep_captures(kept, tmp_path / "1", CAPTURED.pictures + timedelta(hours=2), pictures=1.0)
    keep_captures(kept, tmp_path / "2", CAPTURED.pictures - timedelta(hours=2), pictures=1.0)
    columns = [name for name in schema_of("captures").names if name != "picture"]
    since = LATER - 2 * CAPTURED.pictures

    def captured(*columns: str) -> pd.DataFrame:
        return captures.read_captures(MODEL.name, "staging", since=since, until=LATER, columns=columns)

    rows = captured(*columns)
    assert list(captured("picture")["picture"]) == [photograph(1)] * 2
    (garbage,) = found(kept)
    assert (garbage.kind, has_pictures(garbage.uri)) == ("captured pictures", True)
    assert apply(kept) > len(photograph(1)) // 2
    assert [data is None for data in captured("picture")["picture"]] == [True, False]
    kept_rows = captured(*columns)
    assert kept_rows.drop(columns=["orientation", "scores", "classes", "embedding"]).equals(
        rows.drop(columns=["orientation", "scores", "classes", "embedding"])
    )
    assert found(kept) == []


def test_pictures_that_were_being_taken_out_count_once(disk: LocalArtifactStore, tmp_path: Path) -> None:
    """Whoever was killed between the new part and the old one left both: the rows are read once."""
    kept = Kept(disk)
    part, _ = keep_captures(kept, tmp_path / "1", CAPTURED.pictures + timedelta(hours=2), pictures=1.0)
    data = (Path(disk.path) / part).read_bytes()
    apply(kept)
    (Path(disk.path) / part).write_bytes(data)
    folder = f"captures/staging/{MODEL.name}"
    listed = captures.parts_between(disk, folder, LATER - 2 * CAPTURED.pictures, LATER)
    assert [place for _, place in listed] == [without(part)]
    assert [each.kind for each in found(kept)] == ["captured pictures"]


def _collect_and_die(kept: Kept, after: int) -> None:
    """Remove everything, but have this process killed before its ``after``-th removal."""
    removals = 0
    original = store_files.remove_file

    def remove_or_die(*arguments: Any) -> bool:
        nonlocal removals
        removals += 1
        if removals == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actions.collect.remove_file", remove_or_die)
        apply(kept)


@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_collection_that_was_killed_is_finished_by_the_next(disk: LocalArtifactStore, after: int) -> None:
    """Killed between listing and removing, or in the middle: what is needed is whole, and the rest goes."""
    kept = Kept(disk)
    parent = dataset(1, 2)
    stays = kept.save(parent)
    for seed in (3, 4):
        kept.lose(kept.save(dataset(seed)))
    needed = {path for path in kept.paths() if relative(disk, stays) in path} | {
        f"datasets/shards/{digest}.arrow" for digest in parent.shards
    }
    child = multiprocessing.get_context("fork").Process(target=_collect_and_die, args=(kept, after))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert needed <= kept.paths()
    apply(kept)
    assert kept.paths() == needed
    ids = list(parent.index["image_id"])
    assert kept.load(stays).pictures(ids) == parent.pictures(ids)

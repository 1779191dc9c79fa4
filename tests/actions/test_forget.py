"""A forgotten picture is nowhere any more: not a byte, not a thumbnail; everything else is as it was."""

from __future__ import annotations

import base64
import io
import multiprocessing
import os
import re
import shutil
import signal
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from actions import forget as action
from actions.compact import compact_dataset
from actions.forget import Erased, erase
from actions.result import ActionResult
from materializers.blobs import read_blob, write_blob
from materializers.classifier import Classifier, ClassifierMaterializer
from materializers.data_report import DataReport, Screening
from materializers.drift_reference import REFERENCE_FILE, read_reference
from materializers.erasure import Erasure, forgotten_ids, notes_folder
from materializers.errors import DamagedArtifact, UsageError
from materializers.feature_cache import FeatureCache, FeatureKey, FeatureRow
from materializers.image_dataset import ImageDataset, picture_digest, thumbnail, thumbnail_sheet
from materializers.picture_sheet import places_of
from materializers.quarantine import Quarantine, QuarantineBuilder, QuarantineMaterializer
from materializers.rebased_reference import RebasedReference, RebasedReferenceMaterializer
from materializers.report import ReportMaterializer
from materializers.shard_cache import ShardCache
from materializers.shards import shard_uri
from materializers.store_files import relative, remove_file, walk_files
from serving.capture_layout import CAPTURES, PERSONAL
from steps.data.erasing import erase_from_features, set_aside_copies
from steps.data.intake import IngestSettings, read_delivery
from steps.data.searching import search_store
from steps.monitoring.explain import Shown, strip_of
from steps.monitoring.traffic.captures import capture_parts, read_part
from tests.actions.kept import SIDE, Kept, dataset, photograph, picture
from tests.captured import answered, shipped
from tests.captured import picture as captured_picture
from tests.materializers.examples import (
    classifier,
    data_report,
    drift_reference,
    png,
    rebased_reference,
)
from tests.serving.pictures import base64_of, bomb
from tests.steps.data.deliveries import opened, tarred, write_delivery

GONE = 2
"""The photograph that is forgotten."""
OTHERS = (0, 1, 3, 4, 5, 6)
GONE_ID = picture_digest(photograph(GONE))
INLINE = re.compile(rb"data:image/png;base64,([A-Za-z0-9+/=]+)")


KEYS = [
    FeatureKey(backbone=each * 64, preprocessing={"version": 1}, runtime="any", length=4) for each in "ab"
]
"""Two ways in which features were computed."""


def keep_features(store: BaseArtifactStore, key: FeatureKey, *seeds: int) -> None:
    """Cache what a backbone makes of photographs."""
    rows = [FeatureRow(picture_digest(photograph(seed)), 1) for seed in seeds]
    FeatureCache(store).write(key, rows, np.array([[seed] * key.length for seed in seeds], np.float32))


def kept_features(store: BaseArtifactStore) -> bytes:
    """The cached features of the other photographs, in their order."""
    rows = [FeatureRow(picture_digest(photograph(seed)), 1) for seed in OTHERS]
    features = np.zeros((len(KEYS), len(rows), KEYS[0].length), np.float32)
    for each, key in zip(features, KEYS, strict=True):
        for places, found in FeatureCache(store).read(key, rows):
            each[places] = found
    return features.tobytes()


def of_features(paths: set[str]) -> set[str]:
    """Those of the paths that are cached features."""
    return {path for path in paths if path.startswith("features/")}


def with_metadata(data: bytes, comment: bytes = b"taken in the garden of Ada") -> bytes:
    """The same JPEG as it was delivered, with a comment in it."""
    return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


DELIVERED = picture_digest(with_metadata(photograph(GONE)))


@dataclass
class World:
    """Three versions that share shards, a quarantine, and two reports; the picture is in all of them."""

    kept: Kept
    datasets: list[str]
    quarantine: str
    report: str
    other_report: str
    cached: bytes
    """The features of the others, as they are before and after."""

    @classmethod
    def made(cls, store: BaseArtifactStore) -> World:
        """Store everything."""
        kept, run = Kept(store), uuid4()
        first = ImageDataset.from_pictures(
            [picture(0), picture(1), picture(GONE, source_digest=DELIVERED, group="the garden of Ada")]
        ).join(dataset(3, 4, label="bags"))
        second = first.join(dataset(5, 6))
        third = second.without([GONE_ID])
        datasets = [kept.save(each, run=run) for each in (first, second, third)]
        builder = QuarantineBuilder("shop", max_bytes=10**6)
        builder.add(with_metadata(photograph(GONE)), path="a.jpg", label=None, reason="missing_label")
        builder.add(photograph(40), path="b.jpg", label=None, reason="missing_label")
        quarantine = kept.save(builder.build(), run=run)
        pictures = {"01 tops": thumbnail_sheet(second), "drawn by hand": png(7, 64)}
        about = DataReport.model_validate(data_report().model_dump() | {"data": second.version})
        report = kept.save(about.with_pictures(pictures), run=run)
        other = kept.save(data_report().with_pictures({"another": png(8, 64)}), run=uuid4())
        for key in KEYS:
            for seeds in ((0, 1, GONE), (GONE,), (3, 4)):
                keep_features(store, key, *seeds)
        return cls(kept, datasets, quarantine, report, other, kept_features(store))

    def erase(self, *image_ids: str) -> Erased:
        """Forget pictures."""
        return erase(self.kept.store, self.kept.artifacts, image_ids or (GONE_ID,))

    def versions(self) -> list[str]:
        """The version of every dataset."""
        return [self.kept.load(uri).version for uri in self.datasets]

    def check_others(self) -> None:
        """Every other picture is readable wherever it was, to the byte."""
        assert kept_features(self.kept.store) == self.cached
        known = {picture_digest(photograph(seed)): photograph(seed) for seed in OTHERS}
        for uri, least in zip(self.datasets, (4, 6, 6), strict=True):
            loaded = self.kept.load(uri)
            ids = [image_id for image_id in loaded.index["image_id"] if image_id != GONE_ID]
            assert len(ids) == least
            assert loaded.pictures(ids) == [known[image_id] for image_id in ids]

    def shown(self) -> set[str]:
        """The files that show the thumbnail's pixels, found by comparing every place of every picture."""
        small = np.asarray(thumbnail(photograph(GONE)))
        found = set()
        root = str(self.kept.store.path).rstrip("/")
        for path in self.kept.paths():
            data = read_blob(self.kept.store, f"{root}/{path}")
            if any(_shows(each, small) for each in _pictures_in(path, data)):
                found.add(path)
        return found

    def contents(self) -> dict[str, bytes]:
        """Every file."""
        root = str(self.kept.store.path).rstrip("/")
        return {path: read_blob(self.kept.store, f"{root}/{path}") for path in self.kept.paths()}


def _pictures_in(path: str, data: bytes) -> list[bytes]:
    if path.endswith(".png"):
        return [data]
    return [base64.b64decode(match[1]) for match in INLINE.finditer(data)] if path.endswith(".html") else []


def _shows(data: bytes, small: np.ndarray) -> bool:
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB"))
    rows, columns = (pixels.shape[axis] - small.shape[axis] for axis in (0, 1))
    return any(
        np.array_equal(pixels[y : y + small.shape[0], x : x + small.shape[1]], small)
        for y in range(rows + 1)
        for x in range(columns + 1)
        if np.array_equal(pixels[y, x], small[0, 0])
    )


def middle(seed: int) -> bytes:
    """A part of a photograph's entropy-coded data."""
    data = photograph(seed)
    return data[len(data) // 2 : len(data) // 2 + 40]


def test_not_a_byte_of_it_is_left(store: BaseArtifactStore) -> None:
    """Datasets, shards, quarantine, sheets and pages, on disk and in a bucket; everything else stays."""
    world = World.made(store)
    versions = world.versions()
    report = ReportMaterializer(world.report, store).load(DataReport)
    assert len(world.kept.bytes_found(middle(GONE))) == 2
    assert len(world.shown()) >= 4
    assert len(of_features(world.kept.bytes_found(GONE_ID.encode()))) == 4
    erased = world.erase()
    assert of_features(world.kept.bytes_found(GONE_ID.encode())) == set()
    assert world.kept.bytes_found(middle(GONE)) == set()
    assert world.kept.bytes_found(b"the garden of Ada") == set()
    assert world.shown() == set()
    assert erased.found.places == ()
    files = list(walk_files(store, str(store.path)))
    assert (erased.found.files, erased.found.size) == (len(files), sum(file.size for file in files))
    assert world.versions() == versions
    world.check_others()
    assert world.kept.bytes_found(middle(40)) == {f"quarantine/blobs/{picture_digest(photograph(40))}"}
    again = ReportMaterializer(world.report, store).load(DataReport)
    assert again.digest == report.digest
    assert set(again.pictures) == {"01 tops"}
    other = ReportMaterializer(world.other_report, store).load(DataReport)
    assert other.pictures == data_report().with_pictures({"another": png(8, 64)}).pictures


def captured(store: BaseArtifactStore) -> dict[str, dict[str, Any]]:
    """The rows of all captures by request id."""
    parts = (read_part(store, uri, CAPTURES).to_pylist() for uri in capture_parts(store))
    return {row["request_id"]: row for part in parts for row in part}


def capture(store: BaseArtifactStore, folder: Path, **pictures: bytes) -> None:
    """Have pictures asked about, by request id, and kept."""
    asked = [answered(name, captured_picture(data)) for name, data in pictures.items()]
    shipped(str(store.path), folder, asked, pictures=1.0)


def test_what_services_captured_of_it_goes_and_their_answers_stay(
    disk: LocalArtifactStore, tmp_path: Path
) -> None:
    """Sent as it is stored, with other metadata, or with another header; other rows are as they were."""
    world = World.made(disk)
    gone = photograph(GONE)
    assert gone[11:18] == b"\x01\x01\x00\x00\x01\x00\x01"
    other_header = gone[:14] + b"\x02" + gone[15:]
    asked = {
        "same": gone,
        "metadata": with_metadata(gone, b"x"),
        "header": other_header,
        "other": photograph(0),
    }
    capture(disk, tmp_path / "1", **asked)
    capture(disk, tmp_path / "2", apart=photograph(1))
    before, places = captured(disk), set(capture_parts(disk))
    assert len(world.kept.bytes_found(middle(GONE))) == 3
    erased = world.erase()
    assert (erased.captures, erased.found.places, erased.found.passed_over) == (3, (), ())
    assert world.kept.bytes_found(middle(GONE)) == set()
    after = captured(disk)
    assert set(capture_parts(disk)) == places
    assert {name: after[name] for name in ("other", "apart")} == {
        name: before[name] for name in ("other", "apart")
    }
    for name in ("same", "metadata", "header"):
        assert {key: value for key, value in after[name].items() if value != before[name][key]} == {
            key: None for key in PERSONAL
        }
    assert world.erase().captures == 0
    world.check_others()


@pytest.mark.parametrize("kept_pictures", [1.0, 0.0], ids=["with its picture", "by its digests alone"])
def test_a_picture_that_was_only_captured_is_erased_by_its_digest(
    disk: LocalArtifactStore, tmp_path: Path, kept_pictures: float
) -> None:
    """As whoever sent it knows it; then it is a forgotten one, and without its bytes nothing is proven."""
    world = World.made(disk)
    alone = with_metadata(photograph(77))
    requests = [answered("alone", captured_picture(alone))]
    shipped(str(disk.path), tmp_path / "spool", requests, pictures=kept_pictures)
    erased = world.erase(picture_digest(alone)[:16])
    assert erased.captures == 1
    assert {captured(disk)["alone"][name] for name in PERSONAL} == {None}
    assert {picture_digest(alone), picture_digest(photograph(77))} <= forgotten_ids(disk)
    assert erased.notes[0].searchable is (kept_pictures == 1.0)
    again = answered("again", captured_picture(alone))
    shipped(str(disk.path), tmp_path / "spool", [again], pictures=1.0)
    assert {captured(disk)["again"][name] for name in PERSONAL} == {None}


def test_captures_that_come_meanwhile_are_found(disk: LocalArtifactStore, tmp_path: Path) -> None:
    """By what they say, where the picture itself was not kept."""
    world = World.made(disk)
    shipped(str(disk.path), tmp_path, [answered("a", captured_picture(photograph(GONE)))], pictures=0.0)
    (part,) = capture_parts(disk)
    found = search_store(disk, (), {GONE_ID})
    assert relative(disk, part) in found.places
    world.erase()
    assert search_store(disk, (), {GONE_ID}).places == ()


def test_a_damaged_part_of_captures_is_named_as_not_searched(
    disk: LocalArtifactStore, tmp_path: Path
) -> None:
    """It stops nothing, and nothing is proven of it."""
    world = World.made(disk)
    capture(disk, tmp_path, gone=photograph(GONE))
    (part,) = map(Path, capture_parts(disk))
    part.write_bytes(b"PAR1 cut short")
    erased = world.erase()
    (passed,) = erased.found.passed_over
    assert passed.place == relative(disk, str(part))
    assert "cannot be read" in passed.why
    part.unlink()
    assert world.erase().found.passed_over == ()


def test_what_was_erased_is_counted(disk: LocalArtifactStore) -> None:
    """Two datasets that held it, the shard and the copy in quarantine that went."""
    world = World.made(disk)
    erased = world.erase()
    held = {uri: (each.version, each.pictures) for uri, each in erased.datasets.items()}
    versions = world.versions()
    assert held == {uri: (version, 1) for uri, version in zip(world.datasets[:2], versions[:2], strict=True)}
    assert (erased.shards, erased.blobs, erased.features) == (1, 1, 4)
    assert erased.pages == 3  # the quarantine's page, a sheet of the report, the picture that does not say


def test_it_is_known_as_forgotten_by_every_digest(store: BaseArtifactStore) -> None:
    """As stored, and as it was delivered, with whatever metadata; the note has no byte of it."""
    world = World.made(store)
    assert forgotten_ids(store) == frozenset()
    world.erase()
    assert forgotten_ids(store) == {GONE_ID, DELIVERED}
    assert [file.uri for file in walk_files(store, notes_folder(store))] == [
        f"{notes_folder(store)}/{GONE_ID}.json"
    ]


def test_what_models_answered_on_it_goes_and_no_model_changes(
    store: BaseArtifactStore, tmp_path: Path
) -> None:
    """Its row leaves the drift reference beside a model, also of a run that was killed; digests stay."""
    world = World.made(store)
    ids = sorted(picture_digest(photograph(seed)) for seed in (*OTHERS, GONE))
    reference = drift_reference(*ids, embedded=len(ids))
    model = classifier(tmp_path / "trained")
    (model.directory / REFERENCE_FILE).write_bytes(reference.to_bytes())
    materializer = ClassifierMaterializer(f"{store.path}/train/classifier/1", store)
    materializer.save(model)
    left = f"{store.path}/train/classifier/2/{REFERENCE_FILE}"
    write_blob(store, left, reference.to_bytes())
    untouched = f"{store.path}/train/classifier/3/{REFERENCE_FILE}"
    write_blob(store, untouched, reference.without([GONE_ID]).to_bytes())
    before = {path: data for path, data in world.contents().items() if "classifier" in path}
    looked = search_store(store, (), {GONE_ID})
    assert {place.rpartition("/")[2] for place in looked.places} >= {REFERENCE_FILE}
    erased = world.erase()
    assert erased.found.places == ()
    assert erased.pages == 3 + 2
    again = materializer.load(Classifier)
    assert again.record == model.record
    for found in (again.reference(), read_reference(store, left)):
        assert found is not None
        assert found.rows["image_id"].tolist() == [image_id for image_id in ids if image_id != GONE_ID]
        assert found.scores.shape[0] == found.embeddings.shape[0] == len(OTHERS)
    assert not {path for path in world.kept.bytes_found(GONE_ID.encode()) if "classifier" in path}
    after = {path: data for path, data in world.contents().items() if "classifier" in path}
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {f"train/classifier/{number}/{REFERENCE_FILE}" for number in (1, 2)}


def test_it_leaves_accepted_traffic_which_stays_usable(store: BaseArtifactStore) -> None:
    """The digest that the log names is of the JSON, which stays; the row is counted as erased."""
    world = World.made(store)
    accepted = rebased_reference(*sorted(picture_digest(photograph(seed)) for seed in (*OTHERS, GONE)))
    uri = world.kept.save(accepted)
    assert world.erase().found.places == ()
    left = RebasedReferenceMaterializer(uri, store).load(RebasedReference)
    assert (left.digest, left.erased()) == (accepted.digest, 1)
    assert GONE_ID not in set(left.reference.rows["image_id"])
    folder = relative(store, uri)
    assert not [path for path in world.kept.bytes_found(GONE_ID.encode()) if path.startswith(folder)]


def test_a_reference_that_cannot_be_read_stops_the_erasure(disk: LocalArtifactStore) -> None:
    """Nobody knows whether it says something of the picture; the line names the file and what to do."""
    world = World.made(disk)
    write_blob(disk, f"{disk.path}/train/classifier/1/{REFERENCE_FILE}", b"damaged")
    with pytest.raises(DamagedArtifact, match=r"classifier/1/drift_reference\.arrow is damaged .*remove"):
        world.erase()


def test_a_second_time_changes_nothing(store: BaseArtifactStore) -> None:
    """The same proof again, by the fingerprints alone, and not one file written."""
    world = World.made(store)
    first = world.erase()
    before = world.contents()
    second = world.erase()
    assert world.contents().keys() == before.keys()
    changed = {path for path, data in world.contents().items() if data != before[path]}
    assert {path for path in changed if not path.endswith((".parquet", "page.html"))} == set()
    assert second.found == first.found
    assert second.datasets == first.datasets
    assert (second.shards, second.blobs, second.features) == (0, 0, 0)


@pytest.mark.parametrize(
    "name", [GONE_ID[:8], GONE_ID.upper(), picture_digest(with_metadata(photograph(GONE)))[:12]]
)
def test_it_is_named_by_any_digest_or_its_beginning(disk: LocalArtifactStore, name: str) -> None:
    """By the id that datasets show, and by the one that the quarantine's page shows."""
    world = World.made(disk)
    assert [note.name for note in world.erase(name).notes] == [GONE_ID]
    assert world.kept.bytes_found(middle(GONE)) == set()


def test_several_are_erased_at_once(disk: LocalArtifactStore) -> None:
    """Of one shard and of two; the others stay."""
    world = World.made(disk)
    ids = [picture_digest(photograph(seed)) for seed in (0, GONE, 5)]
    erased = world.erase(*ids)
    assert erased.found.places == ()
    for seed in (0, GONE, 5):
        assert world.kept.bytes_found(middle(seed)) == set()
    for seed in (1, 3, 4, 6):
        assert len(world.kept.bytes_found(middle(seed))) == 1
    assert [len(world.kept.load(uri)) for uri in world.datasets] == [3, 4, 4]


def test_a_picture_that_only_the_quarantine_has_is_erased(store: BaseArtifactStore) -> None:
    """Its row stays and says why it was set aside; its page does not show it any more."""
    world = World.made(store)
    before = QuarantineMaterializer(world.quarantine, store).load(Quarantine)
    erased = world.erase(picture_digest(photograph(40))[:16])
    assert world.kept.bytes_found(middle(40)) == set()
    assert (erased.blobs, erased.datasets, erased.found.places) == (1, {}, ())
    after = QuarantineMaterializer(world.quarantine, store).load(Quarantine)
    assert after.digest == before.digest
    assert after.index["kept"].tolist() == [True, False]
    page = read_blob(store, f"{world.quarantine}/page.html").decode()
    assert page.count("<img ") == 1
    assert len(world.kept.bytes_found(middle(GONE))) == 2


def test_a_picture_that_only_the_quarantine_had_does_not_come_back_without_its_metadata(
    disk: LocalArtifactStore, tmp_path: Path
) -> None:
    """Nor under others: it is known by its digest without any, too, and set aside as forgotten."""
    kept = Kept(disk)
    builder = QuarantineBuilder("shop", max_bytes=10**6)
    builder.add(with_metadata(photograph(40)), path="a.jpg", label=None, reason="missing_label")
    kept.save(builder.build())
    erase(disk, kept.artifacts, (picture_digest(with_metadata(photograph(40))),))
    pictures = {
        "a.jpg": photograph(40),
        "b.jpg": with_metadata(photograph(40), b"other"),
        "c.jpg": photograph(41),
    }
    folder = write_delivery(tmp_path, [{"image_path": path, "label": "tops"} for path in pictures], pictures)
    with opened(folder) as source:
        again = read_delivery(source, "shop", IngestSettings(), forgotten=forgotten_ids(disk))
    assert [(each.path, each.reason) for each in again.screening.set_aside] == [
        ("a.jpg", "forgotten"),
        ("b.jpg", "forgotten"),
    ]
    assert again.dataset.index["image_id"].tolist() == [picture_digest(photograph(41))]


def test_what_the_quarantine_has_leads_to_the_same_picture_in_a_dataset(disk: LocalArtifactStore) -> None:
    """Set aside without a label, stored with one and without metadata, plain: both copies are erased."""
    kept = Kept(disk)
    uri = with_plain(kept)
    builder = QuarantineBuilder("shop", max_bytes=10**6)
    builder.add(with_metadata(PLAIN), path="a.jpg", label=None, reason="missing_label")
    kept.save(builder.build())
    erased = erase(disk, kept.artifacts, (picture_digest(with_metadata(PLAIN)),))
    assert (erased.found.places, kept.bytes_found(PLAIN), len(kept.load(uri))) == ((), set(), 2)


def test_a_report_does_not_show_any_more_what_was_set_aside(disk: LocalArtifactStore) -> None:
    """The thumbnails of a delivery's report say whose they are, so that one goes and the others stay."""
    world = World.made(disk)
    set_aside = QuarantineMaterializer(world.quarantine, disk).load(Quarantine).thumbnails()
    screening = Screening(
        source_name="shop", rows=2, duplicate_rows=0, conflicts=(), missing_values={}, set_aside=()
    ).with_pictures({f"set aside {digest[:16]}": png for digest, png in set_aside.items()})
    uri = world.kept.save(screening, step="ingest")
    gone = picture_digest(photograph(40))
    erased = world.erase(gone)
    assert erased.found.places == ()
    shown = {
        digest: Path(uri, "pictures", f"set aside {digest[:16]}.png").read_bytes() for digest in set_aside
    }
    assert [digest for digest, png in shown.items() if png != set_aside[digest]] == [gone]
    assert places_of(shown[gone]) == {}


def test_a_sheet_that_a_tracker_keeps_in_the_store_does_not_show_it_any_more(
    store: BaseArtifactStore,
) -> None:
    """Copies of an evaluation's pictures lie beside no report; what is no sheet of ours stays as it is."""
    world = World.made(store)
    folder = f"{str(store.path).rstrip('/')}/mlflow_artifacts/1/worst_mistakes"
    sheet = thumbnail_sheet(dataset(0, GONE))
    before = {
        "worst_mistakes.png": sheet,
        "chart.png": png(7, 64),
        "torn.png": sheet[:200],
        "bomb.png": bomb(),
    }
    for name, data in before.items():
        write_blob(store, f"{folder}/{name}", data)
    world.erase()
    after = {name: read_blob(store, f"{folder}/{name}") for name in before}
    assert [name for name in before if after[name] != before[name]] == ["worst_mistakes.png"]
    places = places_of(after["worst_mistakes.png"])
    assert places is not None
    assert set(places) == {picture_digest(photograph(0))}
    assert not _shows(after["worst_mistakes.png"], np.asarray(thumbnail(photograph(GONE))))


@pytest.mark.parametrize("renamed", [False, True], ids=["by its digest", "by its pixels"])
def test_a_page_that_explains_drift_does_not_show_it_any_more(
    store: BaseArtifactStore, renamed: bool
) -> None:
    """It goes from the strip that shows it; of a strip that has it under another name all goes."""
    world = World.made(store)
    digests: dict[int, tuple[str, ...]] = {
        seed: (picture_digest(photograph(seed)), f"{seed:064}") for seed in (0, GONE, 1)
    }
    if renamed:
        digests[GONE] = ("f" * 64,)
    strips = [
        strip_of([Shown(digests[seed], thumbnail(photograph(seed))) for seed in some])
        for some in ((0, GONE, 1), (0, 1))
    ]
    page = "".join(f'<img src="data:image/png;base64,{base64.b64encode(each).decode()}">' for each in strips)
    uri = f"{str(store.path).rstrip('/')}/explain/drift_page/1/output.html"
    write_blob(store, uri, f"<body>{page}<p>Evidently</p></body>".encode())
    small = np.asarray(thumbnail(photograph(GONE)))
    erased = world.erase()
    assert (erased.pages, erased.found.places) == (3 + 1, ())
    after = read_blob(store, uri)
    first, second = (base64.b64decode(match[1] + b"==") for match in INLINE.finditer(after))
    assert not _shows(first, small)
    others = {digest for seed in (0, 1) for digest in digests[seed]}
    assert set(places_of(first) or ()) == (set() if renamed else others)
    assert second == strips[1]
    assert after.endswith(b"<p>Evidently</p></body>")
    assert world.erase().found.places == ()
    assert read_blob(store, uri) == after


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["00000000"], "knows a picture 00000000"),
        ([GONE_ID, "11111111"], "knows a picture 11111111"),
        (["a/b.jpg"], "has a picture 'a/b.jpg'"),
    ],
)
def test_a_picture_that_nobody_knows_is_wrong_use(
    disk: LocalArtifactStore, ids: list[str], said: str
) -> None:
    """Nothing is erased, also where another one of the ids is known."""
    world = World.made(disk)
    before = world.contents()
    with pytest.raises(UsageError, match=said) as error:
        world.erase(*ids)
    assert "Nothing was erased" in str(error.value)
    assert world.contents() == before


@pytest.mark.parametrize("path", ["a.jpg", "shop/2.jpg", "2.jpg"])
def test_a_picture_is_forgotten_by_its_path(disk: LocalArtifactStore, path: str) -> None:
    """Set aside under one and accepted under another, it is one picture, wherever it lies."""
    world = World.made(disk)
    erased = world.erase(path)
    assert [note.name for note in erased.notes] == [GONE_ID]
    assert erased.found.places == ()
    assert world.shown() == set()
    world.check_others()


@pytest.mark.parametrize("name", [DELIVERED, GONE_ID])
def test_a_shard_that_no_row_leads_to_is_found(disk: LocalArtifactStore, name: str) -> None:
    """Every dataset that had it is gone, one that withdrew it shares its shard: it is erased from that."""
    world = World.made(disk)
    for uri in world.datasets[:2]:
        shutil.rmtree(uri)
        world.kept.lose(uri)
    world.datasets = world.datasets[2:]
    erased = world.erase(name)
    assert (erased.found.places, erased.alike) == ((), [])
    assert world.kept.bytes_found(middle(GONE)) == set()
    loaded = world.kept.load(world.datasets[0])
    assert len(loaded.pictures(list(loaded.index["image_id"]))) == 6


def test_what_a_killed_save_left_unfinished_goes_too(disk: LocalArtifactStore) -> None:
    """A part of a shard, of a blob: nobody reads it, nothing refers to it, the picture is in it."""
    world = World.made(disk)
    shard = next(path for path in Path(disk.path).rglob("*.arrow") if middle(GONE) in path.read_bytes())
    part = shard.with_name(f".{shard.name}.0123.part")
    part.write_bytes(shard.read_bytes()[:-10])
    assert world.erase().found.places == ()
    assert not part.exists()


def test_features_that_are_kept_meanwhile_are_found_and_go_the_next_time(
    store: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run on another machine keeps what it computed: there is no proof, and the file is named."""
    world = World.made(store)

    def keeping_more(*arguments: Any) -> int:
        erased = erase_from_features(*arguments)
        keep_features(store, KEYS[0], 5, GONE)
        return erased

    with monkeypatch.context() as patch:
        patch.setattr(action, "erase_from_features", keeping_more)
        result = outcome(world, monkeypatch, GONE_ID)
    (place,) = of_features(world.kept.bytes_found(GONE_ID.encode()))
    assert (result.exit_code, result.details["found"]) == (1, [place])
    again = outcome(world, monkeypatch, GONE_ID)
    assert (again.exit_code, again.details["found"], again.details["features_removed"]) == (0, [], 1)


def test_features_of_a_killed_process_that_were_half_written_go(disk: LocalArtifactStore) -> None:
    """They say whose they are, and nobody reads them."""
    world = World.made(disk)
    keep_features(disk, KEYS[0], GONE, 6)
    part = next(path for path in Path(disk.path, "features").rglob("*.arrow"))
    half = part.with_name(f".{part.name}.0123.part")
    half.write_bytes(b"ARROW1" + GONE_ID.encode())
    assert world.erase().found.places == ()
    assert not half.exists()


def test_features_of_a_picture_that_no_dataset_has_any_more_are_erased(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its id; that its bytes were gone before, and copies cannot be searched, is said."""
    world = World.made(disk)
    keep_features(disk, KEYS[0], 70, 71)
    result = outcome(world, monkeypatch, picture_digest(photograph(70)))
    assert result.details["features_removed"] == 1
    assert (result.details["outcome"], result.details["found"]) == ("not_proven", [])
    assert of_features(world.kept.bytes_found(picture_digest(photograph(70)).encode())) == set()
    assert len(of_features(world.kept.bytes_found(picture_digest(photograph(71)).encode()))) == 1


def test_a_copy_that_nobody_explains_is_named(disk: LocalArtifactStore) -> None:
    """Someone put the picture where nothing of ours looks: it is found, and there is no proof."""
    world = World.made(disk)
    write_blob(disk, f"{disk.path}/notes/letter.pdf", b"%PDF" + photograph(GONE) + b"%%EOF")
    assert world.erase().found.places == ("notes/letter.pdf",)


def test_another_picture_with_the_same_data_is_named(disk: LocalArtifactStore) -> None:
    """The same photograph with other metadata is another picture: it has to be forgotten, too."""
    world = World.made(disk)
    twin = with_metadata(photograph(GONE), b"another comment")
    world.kept.save(ImageDataset.from_pictures([replace(picture(GONE), data=twin)]))
    erased = world.erase()
    assert erased.alike == [picture_digest(twin)]
    both = world.erase(GONE_ID, picture_digest(twin))
    assert both.found.places == ()
    assert world.kept.bytes_found(middle(GONE)) == set()


def test_a_dataset_that_cannot_be_read_stops_the_erasure(disk: LocalArtifactStore) -> None:
    """Nobody knows what it holds: it is named, and once it is back the same command goes on."""
    world = World.made(disk)
    place = Path(world.datasets[1]) / "manifest.json"
    data = place.read_bytes()
    place.write_bytes(data[:20])
    with pytest.raises(DamagedArtifact, match=re.escape(str(place))):
        world.erase()
    place.write_bytes(data)
    assert world.erase().found.places == ()


def test_copies_on_this_machine_go_too(
    bucket_store: BaseArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard of a bucket that was read whole lies in the cache: it is removed from there."""
    monkeypatch.setenv("SHUTTERLINE_CACHE_DIR", str(tmp_path / "cache"))
    world = World.made(bucket_store)
    loaded = world.kept.load(world.datasets[0])
    (shard,) = {loaded.index.set_index("image_id")["shard"][GONE_ID]}
    cache = ShardCache.of_this_machine()
    assert len(dict(loaded.scan())) == len(loaded)
    assert cache.has(shard)
    world.erase()
    assert not cache.has(shard)
    left = [path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not any(middle(GONE) in data for data in left)


def encoded(image: Image.Image, kind: str) -> bytes:
    """A picture as a file of this format."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


PLAIN = encoded(Image.new("RGB", (SIDE, SIDE), "white"), "JPEG")
"""As a scanned letter: nothing in it is no other's."""
PLAIN_ID = picture_digest(PLAIN)


def with_plain(kept: Kept) -> str:
    """A dataset of a plain picture and two others, a shard each."""
    plain = ImageDataset.from_pictures([replace(picture(9), data=PLAIN)])
    return kept.save(plain.join(dataset(0)).join(dataset(1)))


def test_the_old_shards_of_a_compaction_go_too(store: BaseArtifactStore) -> None:
    """No manifest names them, and a plain picture is not found by its bytes: they say what they hold."""
    kept = Kept(store)
    uri = with_plain(kept)
    compact_dataset(store, uri)
    assert len(kept.bytes_found(PLAIN)) == 2
    erased = erase(store, kept.artifacts, (PLAIN_ID,))
    assert kept.bytes_found(PLAIN) == set()
    assert erased.found.places == ()
    loaded = kept.load(uri)
    assert loaded.pictures([picture_digest(photograph(0))]) == [photograph(0)]


def test_a_shard_that_came_back_is_found_by_what_it_says(disk: LocalArtifactStore) -> None:
    """As from a snapshot: the erasure says so, and the next one removes it."""
    kept = Kept(disk)
    with_plain(kept)
    saved = {path: Path(disk.path, path).read_bytes() for path in kept.bytes_found(PLAIN)}
    assert erase(disk, kept.artifacts, (PLAIN_ID,)).found.places == ()
    for path, data in saved.items():
        write_blob(disk, f"{disk.path}/{path}", data)
    assert search_store(disk, (), {PLAIN_ID}).places == tuple(saved)
    assert erase(disk, kept.artifacts, (PLAIN_ID,)).found.places == ()
    assert kept.bytes_found(PLAIN) == set()


def outcome(world: World, monkeypatch: pytest.MonkeyPatch, *image_ids: str) -> ActionResult:
    """What a person who forgets pictures is told."""
    someone = SimpleNamespace(active_user=SimpleNamespace(name="ada"))
    monkeypatch.setattr(action, "active_store", lambda: world.kept.store)
    monkeypatch.setattr(action, "known_artifacts", lambda: world.kept.artifacts)
    monkeypatch.setattr(action, "recorded_digest", lambda _: None)
    monkeypatch.setattr(action, "_trained_on", lambda _: iter(()))
    monkeypatch.setattr("zenml.save_artifact", lambda *_, **__: SimpleNamespace(version="1"))
    monkeypatch.setattr("zenml.client.Client", lambda: someone)
    monkeypatch.setattr(action, "show_in_run", lambda *_: "shown")
    return action.forget(image_ids, by="Ada", reason="asked")


def test_it_is_said_that_a_picture_was_forgotten_before(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First of all, when and by whom it was for the first time; of another picture nothing of the kind."""
    world = World.made(disk)
    first = outcome(world, monkeypatch, GONE_ID)
    assert first.reasons[0].startswith("The picture erased: ")
    fields = {name: value for name, value in first.details.items() if name in Erasure.model_fields}
    record = Erasure.model_validate(fields | {"at": "2026-03-01T10:00:00Z", "by": "Grace"})
    later = record.model_copy(update={"at": datetime(2026, 4, 1, tzinfo=UTC), "by": "Ada"})
    for report in (record, later):
        world.kept.save(report)
    again = outcome(world, monkeypatch, GONE_ID, picture_digest(photograph(5)))
    said = f"{GONE_ID[:16]} was forgotten already on 2026-03-01 10:00 UTC by Grace; the store was searched"
    assert again.reasons[0].startswith(said)
    assert again.reasons[1].startswith("2 pictures erased: ")


def test_a_plain_picture_is_never_said_to_be_proven(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What names it is gone, of copies nobody can say: message, record and exit code say so, each time."""
    world = World.made(disk)
    with_plain(world.kept)
    write_blob(disk, f"{disk.path}/notes/letter.pdf", b"%PDF" + PLAIN + b"%%EOF")
    for _ in range(2):
        result = outcome(world, monkeypatch, PLAIN_ID, GONE_ID)
        assert (result.status, result.exit_code) == ("failed", 1)
        assert (result.details["outcome"], result.details["found"]) == ("not_proven", [])
        assert result.details["not_searchable"] == [PLAIN_ID]
        assert "where it is known, and not proven" in result.reasons[0]
        assert f"1 of 2 not searchable: {PLAIN_ID[:16]}" in result.reasons[1]
    assert world.kept.bytes_found(PLAIN) == {"notes/letter.pdf"}
    proven = outcome(world, monkeypatch, GONE_ID)
    assert (proven.exit_code, proven.details["outcome"]) == (0, "erased")
    assert proven.details["not_searchable"] == []


def test_a_picture_whose_bytes_are_gone_is_never_said_to_be_proven(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quarantine names it, its time was up: there is nothing to search by."""
    world = World.made(disk)
    gone = picture_digest(photograph(40))
    Path(disk.path, "quarantine/blobs", gone).unlink()
    result = outcome(world, monkeypatch, gone)
    assert (result.exit_code, result.details["not_searchable"]) == (1, [gone])


def test_a_bomb_in_a_label_stops_no_erasure_and_is_named(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery may say what it likes: everything else is searched, and nothing is said to be proven."""
    world = World.made(disk)
    label = f"data:image/png;base64,{base64_of(bomb())}"
    builder = QuarantineBuilder("shop", max_bytes=10**6)
    builder.add(photograph(41), path=label, label=label, reason="unknown_label")
    uri = world.kept.save(builder.build())
    result = outcome(world, monkeypatch, GONE_ID)
    (passed,) = result.details["passed_over"]
    assert (result.exit_code, result.details["outcome"], result.details["found"]) == (1, "not_proven", [])
    assert passed["place"] == f"{uri.removeprefix(disk.path).lstrip('/')}/page.html"
    assert passed["number"] >= 1
    assert passed["why"] == "a PNG of 60,000 × 60,000 pixels, and the limit is 50,000,000"
    assert f"things in 1 files could not be looked into: {passed['place']}" in " ".join(result.reasons)
    assert world.kept.bytes_found(middle(GONE)) == set()
    Path(uri, "page.html").unlink()
    assert outcome(world, monkeypatch, GONE_ID).exit_code == 0


def test_a_delivery_in_the_store_that_holds_it_is_named(
    store: BaseArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that was brought for a cluster is opened; nobody rewrites what a supplier packed."""
    world = World.made(store)
    folder = write_delivery(
        tmp_path / "folder",
        [{"image_path": "a.jpg", "label": "tops"}],
        {"a.jpg": with_metadata(photograph(GONE))},
    )
    tarred(folder, tmp_path / "delivery.tar.xz")
    place = f"deliveries/{'0' * 32}/delivery.tar.xz"
    write_blob(store, f"{store.path}/{place}", (tmp_path / "delivery.tar.xz").read_bytes())
    result = outcome(world, monkeypatch, GONE_ID)
    assert (result.exit_code, result.details["outcome"], result.details["found"]) == (1, "found", [place])
    assert f"{place}: a delivery that was brought to this store" in " ".join(result.reasons)
    assert remove_file(store, f"{store.path}/{place}")
    assert outcome(world, monkeypatch, GONE_ID).exit_code == 0


def test_a_copy_in_quarantine_with_other_metadata_goes_though_it_is_plain(disk: LocalArtifactStore) -> None:
    """Without its metadata it is the same picture, and from now on known by that digest, too."""
    kept = Kept(disk)
    with_plain(kept)
    delivered = with_metadata(PLAIN, b"x")
    builder = QuarantineBuilder("shop", max_bytes=10**6)
    builder.add(delivered, path="a.jpg", label=None, reason="missing_label")
    kept.save(builder.build())
    assert erase(disk, kept.artifacts, (PLAIN_ID,)).blobs == 1
    assert kept.bytes_found(delivered) == set()
    assert forgotten_ids(disk) == {PLAIN_ID, picture_digest(delivered)}


def test_a_masked_picture_is_known_by_what_it_was_before(disk: LocalArtifactStore) -> None:
    """The note has that digest, and another dataset that has it unmasked is written anew, too."""
    kept = Kept(disk)
    before = photograph(8)
    masked = picture(
        GONE, source_digest="ab" * 32, measures={"masked": 1, "unmasked_digest": picture_digest(before)}
    )
    kept.save(ImageDataset.from_pictures([masked, picture(0)]))
    other = kept.save(dataset(8, 1))
    erased = erase(disk, kept.artifacts, (GONE_ID,))
    assert forgotten_ids(disk) == {GONE_ID, "ab" * 32, picture_digest(before)}
    assert erased.found.places == ()
    assert kept.bytes_found(middle(GONE)) == kept.bytes_found(middle(8)) == set()
    assert kept.load(other).index["image_id"].tolist() == [picture_digest(photograph(1))]


@pytest.mark.parametrize("asked_for", ["before", "masked"])
def test_a_picture_that_a_dataset_has_masked_and_unmasked_is_one(
    disk: LocalArtifactStore, asked_for: str
) -> None:
    """By either's full digest or its beginning both are erased, with one note, and so again."""
    kept = Kept(disk)
    before = picture_digest(photograph(8))
    masked = picture(GONE, source_digest=before, measures={"masked": 1, "unmasked_digest": before})
    uri = kept.save(ImageDataset.from_pictures([masked, picture(8), picture(1)]))
    for digits in (64, 8):
        asked = (before if asked_for == "before" else GONE_ID)[:digits]
        (note,) = erase(disk, kept.artifacts, (asked,)).notes
        assert note.digests == {before, GONE_ID}
    assert kept.bytes_found(middle(GONE)) == kept.bytes_found(middle(8)) == set()
    assert kept.load(uri).index["image_id"].tolist() == [picture_digest(photograph(1))]


def test_a_forgotten_picture_that_a_dataset_has_later_is_the_same_one(disk: LocalArtifactStore) -> None:
    """Its note is named by the delivered digest; by that the dataset's copy is erased, and proven."""
    kept = Kept(disk)
    delivered = with_metadata(photograph(GONE))
    builder = QuarantineBuilder("shop", max_bytes=10**6)
    builder.add(delivered, path="a.jpg", label=None, reason="missing_label")
    kept.save(builder.build())
    erase(disk, kept.artifacts, (DELIVERED,))
    uri = kept.save(ImageDataset.from_pictures([picture(GONE, source_digest=DELIVERED), picture(1)]))
    erased = erase(disk, kept.artifacts, (DELIVERED,))
    assert [(note.name, note.searchable) for note in erased.notes] == [(DELIVERED, True)]
    assert (erased.found.places, len(kept.load(uri))) == ((), 1)
    assert kept.bytes_found(middle(GONE)) == set()


def test_digits_that_two_pictures_begin_with_are_refused(disk: LocalArtifactStore) -> None:
    """They share no digest, so that nobody can say which is meant; with all digits, one is."""
    kept = Kept(disk)
    digests = ["ab" * 32, "ab" * 30 + "cdef"]
    kept.save(ImageDataset.from_pictures(picture(n, source_digest=each) for n, each in enumerate(digests)))
    with pytest.raises(UsageError, match=r"2 pictures begin with abababab: .* Nothing was erased"):
        erase(disk, kept.artifacts, ("ab" * 4,))
    assert [note.name for note in erase(disk, kept.artifacts, (digests[1],)).notes] == [
        picture_digest(photograph(1))
    ]


def test_a_picture_whose_shard_is_lost_is_erased(
    store: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tombstone for its row; the shard's other rows stay, damaged as they were, and that is told."""
    world = World.made(store)
    versions = world.versions()
    loaded = world.kept.load(world.datasets[1])
    (lost,) = {loaded.index.set_index("image_id")["shard"][GONE_ID]}
    assert remove_file(store, shard_uri(store, lost))
    result = outcome(world, monkeypatch, GONE_ID)
    assert (result.details["found"], result.details["lost"]) == ([], [lost])
    assert f"1 shards of these datasets are missing from the store: {lost[:16]}" in " ".join(result.reasons)
    assert world.versions() == versions
    assert GONE_ID in forgotten_ids(store)
    after = world.kept.load(world.datasets[1])
    assert after.tombstones["image_id"].tolist() == [GONE_ID]
    assert set(after.index["image_id"]) == set(loaded.index["image_id"]) - {GONE_ID}
    there = after.index["image_id"][after.index["shard"] != lost].tolist()
    assert len(there) == 4
    assert [picture_digest(data) for data in after.pictures(there)] == there
    with pytest.raises(DamagedArtifact, match=lost):
        after.pictures([picture_digest(photograph(0))])


def test_a_picture_beside_a_lost_shard_is_erased(disk: LocalArtifactStore) -> None:
    """Its own shard is written without it, though another one of the dataset is nowhere any more."""
    world = World.made(disk)
    loaded = world.kept.load(world.datasets[1])
    shards = loaded.index.set_index("image_id")["shard"]
    lost, gone = shards[picture_digest(photograph(5))], picture_digest(photograph(3))
    assert remove_file(disk, shard_uri(disk, lost))
    assert world.erase(gone).lost == [lost]
    assert world.kept.bytes_found(middle(3)) == set()
    after = world.kept.load(world.datasets[1])
    there = after.index["image_id"][after.index["shard"] != lost].tolist()
    assert (len(there), after.version) == (4, loaded.version)
    assert [picture_digest(data) for data in after.pictures(there)] == there


@pytest.mark.parametrize("holds_it", [True, False])
def test_a_dataset_that_a_run_saves_meanwhile_loses_none_of_its_pictures(
    store: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch, holds_it: bool
) -> None:
    """Where no lock holds, as between machines: it is written anew before a shard goes that it needs."""
    world = World.made(store)
    saving = world.kept.load(world.datasets[0 if holds_it else 2])
    saved = list[str]()

    def saving_first(*arguments: Any) -> list[str]:
        if not saved:
            saved.append(world.kept.save(saving))
            world.kept.lose(saved[0])
        return set_aside_copies(*arguments)

    monkeypatch.setattr(action, "set_aside_copies", saving_first)
    erased = world.erase()
    assert (erased.found.places, saved[0] in erased.datasets) == ((), holds_it)
    loaded = world.kept.load(saved[0])
    assert loaded.version == saving.version
    ids = list(loaded.index["image_id"])
    assert set(ids) == set(saving.index["image_id"]) - {GONE_ID}
    assert [picture_digest(data) for data in loaded.pictures(ids)] == ids


def _erase_and_die(world: World, after: int) -> None:
    """Erase, but have this process killed before its ``after``-th rename or removal in the store."""
    root, done = str(world.kept.store.path), 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event in ("os.rename", "os.remove") and str(arguments[0]).startswith(root):
            done += 1
            if done == after:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    world.erase()
    os._exit(0)


def test_an_erasure_that_was_killed_is_finished_by_the_next(disk: LocalArtifactStore, tmp_path: Path) -> None:
    """Killed before every third file that it replaces or removes: all is readable, and the next ends it."""
    world = World.made(disk)
    versions = world.versions()
    shutil.copytree(disk.path, tmp_path / "before")
    for after in range(1, 60, 3):
        child = multiprocessing.get_context("fork").Process(target=_erase_and_die, args=(world, after))
        child.start()
        child.join(120)
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        assert world.versions() == versions
        world.check_others()
        assert world.erase().found.places == ()
        assert world.kept.bytes_found(middle(GONE)) == set()
        assert world.kept.bytes_found(b"the garden of Ada") == set()
        assert world.shown() == set()
        assert world.versions() == versions
        world.check_others()
        shutil.rmtree(disk.path)
        shutil.copytree(tmp_path / "before", disk.path)
    assert 12 < after < 59

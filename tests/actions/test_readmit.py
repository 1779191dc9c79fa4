"""A picture comes back from the quarantine when nothing speaks against it any more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from actions import readmit as readmission
from actions.readmit import find_set_aside, screen_again
from materializers.blobs import write_blob
from materializers.data_report import Check
from materializers.erasure import Forgotten, write_note
from materializers.errors import DamagedArtifact, Refused, UsageError
from materializers.image_dataset import ImageDataset, picture_digest
from materializers.quarantine import QuarantineBuilder, blob_uri
from materializers.store_files import remove_file
from pipelines.config import load_config
from serving.preprocess import Limits
from steps.data.labels import Labels
from tests.actions.kept import Kept, photograph
from tests.actions.kept import dataset as dataset_of
from tests.materializers.examples import dataset, png

CLASSES = ("tops", "bags")


def set_aside(kept: Kept, data: bytes, label: str | None = "tops", **known: Any) -> str:
    """Keep one picture in a quarantine, and give its id."""
    builder = QuarantineBuilder("shop", max_bytes=10**6, now=datetime(2026, 11, 1, tzinfo=UTC))
    about = {"path": "a/b.jpg", "reason": "too_small", "detail": "each side needs 100"} | known
    digest = builder.add(data, label=label, **about)
    kept.save(builder.build(), step="ingest")
    assert digest is not None
    return digest


def again(kept: Kept, image_id: str, limits: Limits | None = None) -> Any:
    """Find a picture, and screen it anew."""
    row = find_set_aside(kept.store, kept.artifacts, image_id)
    return screen_again(kept.store, row, limits=limits or Limits(), classes=CLASSES)


def test_a_picture_comes_back_with_all_that_was_said_of_it(store: BaseArtifactStore) -> None:
    """Bytes, label, group, time, the other columns, and where it came from."""
    kept = Kept(store)
    said: dict[str, Any] = {
        "group": "p1",
        "captured_at": "2026-11-01",
        "extra": {"price": "9", "season": None},
    }
    digest = set_aside(kept, photograph(1), **said)
    found = again(kept, digest[:8].upper())
    assert found.data == photograph(1)
    assert (found.label, found.group, found.captured_at) == ("tops", "p1", "2026-11-01")
    assert found.extra == {"price": "9", "season": None}
    assert (found.source, found.width, found.height) == ("shop/a/b.jpg", 64, 64)


def test_a_picture_that_still_fails_is_refused_with_measure_and_limit(disk: LocalArtifactStore) -> None:
    """Under another limit it would pass; under this one nothing changes."""
    kept = Kept(disk)
    digest = set_aside(kept, photograph(1))
    before = kept.paths()
    with pytest.raises(
        Refused, match=r"too_small: the picture has 64 × 64 pixels; each side needs 100"
    ) as refused:
        again(kept, digest, Limits(min_side=100))
    assert "deliver it again: python run.py --continuous --source PATH" in str(refused.value)
    assert kept.paths() == before
    assert again(kept, digest).data == photograph(1)


@pytest.mark.parametrize(
    ("label", "said"),
    [(None, "was delivered without a label"), ("shoes", "'shoes', is none of tops, bags")],
)
def test_without_a_usable_label_it_does_not_come_back(
    disk: LocalArtifactStore, label: str | None, said: str
) -> None:
    """Nobody can say here what it shows: it has to be delivered with a label."""
    kept = Kept(disk)
    digest = set_aside(kept, photograph(1), label=label, reason="missing_label")
    with pytest.raises(Refused, match=said):
        again(kept, digest)


def test_a_picture_whose_time_is_up_does_not_come_back(store: BaseArtifactStore) -> None:
    """Its bytes are gone; the row still says until when they were kept."""
    kept = Kept(store)
    digest = set_aside(kept, photograph(1))
    remove_file(store, blob_uri(store, digest))
    with pytest.raises(Refused, match="kept until 2026-12-01"):
        again(kept, digest)


def test_a_forgotten_picture_does_not_come_back(store: BaseArtifactStore) -> None:
    """Whatever it was set aside for."""
    kept = Kept(store)
    digest = set_aside(kept, photograph(1))
    write_note(store, Forgotten(name="ab" * 32, source_digests=(digest,), marks=(), shards=()))
    with pytest.raises(Refused, match="was forgotten"):
        again(kept, digest)


def test_a_forgotten_picture_with_other_metadata_does_not_come_back(disk: LocalArtifactStore) -> None:
    """It is known by what is left without them."""
    kept = Kept(disk)
    data = photograph(1)
    digest = set_aside(kept, data[:2] + b"\xff\xfe\0\4ab" + data[2:])
    write_note(disk, Forgotten(name=picture_digest(data), source_digests=(), marks=(), shards=()))
    with pytest.raises(Refused, match="was forgotten"):
        again(kept, digest)


def test_a_forgotten_picture_that_was_masked_does_not_come_back(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masked again it is the picture that was forgotten: nothing is stored."""
    kept = Kept(disk)
    digest = set_aside(kept, photograph(1))
    write_note(disk, Forgotten(name=picture_digest(photograph(7)), source_digests=(), marks=(), shards=()))

    def masking(
        delivered: ImageDataset, labels: Labels, *_: object
    ) -> tuple[ImageDataset, Labels, list[Check]]:
        return dataset_of(7), labels, []

    stored: list[ImageDataset] = []
    monkeypatch.setattr(readmission, "active_store", lambda: disk)
    monkeypatch.setattr(readmission, "known_artifacts", lambda: kept.artifacts)
    monkeypatch.setattr(readmission, "last_dataset", lambda _: dataset(2, 3))
    monkeypatch.setattr(readmission, "keep_readmitted", lambda joined, _: stored.append(joined))
    monkeypatch.setattr(readmission, "treat_personal_data", masking)
    with pytest.raises(Refused, match="was forgotten"):
        readmission.readmit(load_config(None, ("product.classes=[tops, bags]",)), digest)
    assert stored == []


def test_a_damaged_copy_is_named(disk: LocalArtifactStore) -> None:
    """Other bytes than those that were delivered never become a picture of a dataset."""
    kept = Kept(disk)
    digest = set_aside(kept, photograph(1))
    write_blob(disk, blob_uri(disk, digest), photograph(2))
    with pytest.raises(DamagedArtifact, match=digest):
        again(kept, digest)


def test_an_id_that_no_quarantine_knows_is_wrong_use(disk: LocalArtifactStore) -> None:
    """The message names what there is; a beginning of several pictures asks for more digits."""
    kept = Kept(disk)
    with pytest.raises(UsageError, match="quarantine is empty"):
        again(kept, "00000000")
    digest = set_aside(kept, photograph(1))
    for wrong, said in {
        "00000000": "No quarantine knows",
        "b.jpg": "no picture's id",
        "1234567": "8 to 64",
    }.items():
        with pytest.raises(UsageError, match=said) as error:
            again(kept, wrong)
        assert digest[:16] in str(error.value)


def test_a_beginning_of_two_pictures_asks_for_more(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two digests of the same eight digits are never taken for one."""
    from materializers import quarantine

    class Alike:
        """Digests that begin alike."""

        def __init__(self, data: bytes) -> None:
            self.name = "a" * 8 + picture_digest(data)[8:]

        def hexdigest(self) -> str:
            return self.name

    monkeypatch.setattr(quarantine, "blake3", Alike)
    kept = Kept(disk)
    digests = [set_aside(kept, png(number)) for number in range(2)]
    with pytest.raises(UsageError, match="2 pictures begin with aaaaaaaa"):
        again(kept, "aaaaaaaa")
    assert again(kept, digests[1][:40]).data == png(1)


def test_the_newest_delivery_of_a_picture_counts(disk: LocalArtifactStore) -> None:
    """Set aside twice with two labels: the later one is what it comes back with."""
    kept = Kept(disk)
    set_aside(kept, photograph(1), label="bags")
    digest = set_aside(kept, photograph(1), label="tops")
    assert again(kept, digest).label == "tops"


@pytest.mark.parametrize(("policy", "said"), [("refuse", None), ("mask", "[e-mail]")])
def test_a_picture_comes_back_as_the_policy_on_personal_data_says(
    disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch, policy: str, said: str | None
) -> None:
    """What a delivery may not bring, the quarantine may not either."""
    kept = Kept(disk)
    digest = set_aside(kept, photograph(1), extra={"contact": "ada@example.com"})
    stored: list[ImageDataset] = []
    monkeypatch.setattr(readmission, "active_store", lambda: disk)
    monkeypatch.setattr(readmission, "known_artifacts", lambda: kept.artifacts)
    monkeypatch.setattr(readmission, "last_dataset", lambda _: dataset(2, 3))
    monkeypatch.setattr(readmission, "keep_readmitted", lambda joined, _: stored.append(joined))
    config = load_config(None, ("product.classes=[tops, bags]", f"validate.personal_data.columns={policy}"))
    if said is None:
        with pytest.raises(Refused, match="personal data, which the policy refuses"):
            readmission.readmit(config, digest)
        assert stored == []
    else:
        readmission.readmit(config, digest)
        (joined,) = stored
        assert joined.index["contact"].dropna().tolist() == [said]
        assert len(joined) == 3

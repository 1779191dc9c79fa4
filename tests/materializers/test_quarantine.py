"""What is set aside is kept as it was delivered, for a while, and shown with the reason."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers.blobs import read_blob
from materializers.errors import DamagedArtifact
from materializers.image_dataset import picture_digest
from materializers.quarantine import (
    Quarantine,
    QuarantineBuilder,
    QuarantineMaterializer,
    blob_uri,
    page_uri,
    set_aside_thumbnail,
)
from materializers.store_files import walk_files
from tests.materializers.examples import NOON, png
from tests.materializers.test_report import HARMLESS, Reader

EVIL = '<script>alert("x")</script>'


def quarantine(max_bytes: int = 1000) -> Quarantine:
    """One that decodes, one damaged, one too heavy, one row without bytes."""
    builder = QuarantineBuilder(
        "shop", kept_days=30, max_bytes=max_bytes, mendable={"odd_shape", "too_many_bytes"}, now=NOON
    )
    builder.add(png(1, 64), path="a.png", label="tops", reason="odd_shape", group="p1", extra={"price": "9"})
    builder.add(png(2)[:40], path="b.png", label="tops", reason="truncated", detail="the picture ends early")
    builder.add(bytes(5000), path="c.png", label="bags", reason="too_many_bytes", detail="5,000 bytes")
    builder.add(b"", path=None, label=EVIL, reason="missing_path")
    return builder.build()


def materializer_of(store: BaseArtifactStore, name: str = "quarantine/1") -> QuarantineMaterializer:
    """A materializer that stores one quarantine."""
    return QuarantineMaterializer(f"{store.path}/{name}", store)


def test_bytes_are_kept_as_delivered_and_read_back(store: BaseArtifactStore) -> None:
    """Every byte, one file a picture under the store's root, the rows with their types."""
    before, materializer = quarantine(), materializer_of(store)
    materializer.save(before)
    after = materializer.load(Quarantine)
    pd.testing.assert_frame_equal(after.index, before.index)
    assert after.digest == before.digest
    for data in (png(1, 64), png(2)[:40]):
        digest = picture_digest(data)
        assert after.picture(digest) == data
        assert read_blob(store, f"{store.path}/quarantine/blobs/{digest}") == data
    assert after.index["keep_until"].iloc[0] == NOON + timedelta(days=30)


def test_a_picture_over_the_limit_is_recorded_and_not_kept(store: BaseArtifactStore) -> None:
    """The row says what it was; the store does not fill with what nobody asked for."""
    materializer_of(store).save(quarantine())
    blobs = [file.uri.rpartition("/")[2] for file in walk_files(store, f"{store.path}/quarantine/blobs")]
    assert sorted(blobs) == sorted(picture_digest(data) for data in (png(1, 64), png(2)[:40]))
    loaded = materializer_of(store).load(Quarantine)
    heavy = loaded.index.iloc[2]
    assert (heavy["size"], heavy["kept"], heavy["source_digest"]) == (
        5000,
        False,
        picture_digest(bytes(5000)),
    )
    assert loaded.picture(picture_digest(bytes(5000))) is None
    assert pd.isna(loaded.index["source_digest"].iloc[3])


def test_the_same_bytes_twice_are_one_file(disk: LocalArtifactStore) -> None:
    """Two rows, two paths, one blob."""
    builder = QuarantineBuilder("shop", max_bytes=1000)
    digests = {builder.add(png(1), path=name, label="tops", reason="too_small") for name in ("a", "b")}
    both = builder.build()
    assert digests == {picture_digest(png(1))}
    materializer_of(disk).save(both)
    assert len(both) == 2
    assert materializer_of(disk).extract_metadata(both)["kept_bytes"] == len(png(1))
    assert len(list((Path(disk.path) / "quarantine" / "blobs").iterdir())) == 1


def test_a_blob_that_was_changed_is_never_handed_out(store: BaseArtifactStore) -> None:
    """One bit, and the file is named."""
    materializer_of(store).save(quarantine())
    digest = picture_digest(png(1, 64))
    with store.open(blob_uri(store, digest), "wb") as file:
        file.write(png(3))
    with pytest.raises(DamagedArtifact, match=digest):
        materializer_of(store).load(Quarantine).picture(digest)


def test_altered_rows_are_named(disk: LocalArtifactStore) -> None:
    """A label that somebody edited, a file that is gone."""
    materializer = materializer_of(disk)
    materializer.save(quarantine())
    path = Path(materializer.uri) / "quarantine.parquet"
    frame = pd.read_parquet(path)
    about = dict(frame.attrs)
    frame["label"] = "bags"
    frame.attrs = about
    frame.to_parquet(path, index=False)
    with pytest.raises(DamagedArtifact, match="it was altered"):
        materializer.load(Quarantine)
    path.unlink()
    with pytest.raises(DamagedArtifact, match=r"quarantine\.parquet cannot be read"):
        materializer.load(Quarantine)


def test_the_page_shows_what_decodes_and_names_the_rest(disk: LocalArtifactStore) -> None:
    """One thumbnail; every picture with its reason and what to type; labels are text, never markup."""
    materializer = materializer_of(disk)
    (uri,) = materializer.save_visualizations(quarantine())
    assert uri == page_uri(materializer.uri)
    page = Path(uri).read_text()
    assert page.count("<img ") == 1
    assert "4 pictures set aside" in page
    for said in ("a.png", "odd shape", "the picture ends early", "too many bytes", "not decodable"):
        assert said in page
    assert page.count(f"--readmit {picture_digest(png(1, 64))[:16]}") == page.count("--readmit") - 1 == 1
    assert "puts 1 picture back once the configuration takes them. 3 pictures can only be mended" in page
    assert page.count("deliver it again") == 3
    assert "<script" not in page
    assert Reader(page).tags <= HARMLESS


def test_the_page_offers_no_command_that_cannot_work() -> None:
    """Of missing, damaged and unlabelled pictures none comes back; of 0 bytes none are kept until a day."""
    builder = QuarantineBuilder("shop", max_bytes=1000)
    builder.add(b"", path="gone.png", label="tops", reason="missing")
    page = builder.build().page()
    assert ("--readmit" in page, "are kept as they were delivered" in page) == (False, False)
    assert "1 picture can only be mended and delivered again." in page
    builder.add(png(1), path="nameless.png", label=None, reason="missing_label")
    builder.add(png(2), path="cut.png", label="tops", reason="truncated")
    page = builder.build().page()
    assert ("--readmit" in page, "The bytes of 2 are kept as they were delivered" in page) == (False, True)
    builder.add(png(3), path="hat.png", label="hats", reason="unknown_label")
    page = builder.build().page()
    assert "add its class to product.classes, then <code>python run.py --readmit" in page
    builder.add(b"", path="erased.png", label="hats", reason="forgotten")
    assert builder.build().page().count("deliver it again") == 3


def test_bytes_that_are_gone_are_not_offered() -> None:
    """An erased picture stays a row, and comes back by no command."""
    before = quarantine()
    assert before.readmittable.tolist() == [True, False, False, False]
    assert not before.without_bytes([picture_digest(png(1, 64))]).readmittable.any()


def test_a_quarantine_of_the_first_format_is_read(disk: LocalArtifactStore) -> None:
    """Of its rows those with a label that nobody knew can come back."""
    builder = QuarantineBuilder("shop", max_bytes=1000, now=NOON)
    for number, reason in enumerate(("unknown_label", "too_small")):
        builder.add(png(number), path=f"{number}.png", label="hats", reason=reason)
    materializer = materializer_of(disk)
    materializer.save(builder.build())
    path = Path(materializer.uri) / "quarantine.parquet"
    frame = pd.read_parquet(path)
    first = frame.drop(columns="mendable")
    first.attrs = {**frame.attrs, "format_version": 1}
    first.to_parquet(path, index=False)
    assert materializer.load(Quarantine).readmittable.tolist() == [True, False]
    first.attrs["format_version"] = 3
    first.to_parquet(path, index=False)
    with pytest.raises(DamagedArtifact, match="another format than 1 and 2"):
        materializer.load(Quarantine)


def test_an_empty_quarantine_is_stored_too(store: BaseArtifactStore) -> None:
    """A delivery without a fault has one, and its page says so."""
    nothing = QuarantineBuilder("shop", max_bytes=1000).build()
    materializer_of(store).save(nothing)
    assert len(materializer_of(store).load(Quarantine)) == 0
    assert "Everything in the delivery can be used" in nothing.page()
    assert materializer_of(store).extract_metadata(nothing)["pictures"] == 0


def test_metadata_count_by_reason(disk: LocalArtifactStore) -> None:
    """The dashboard answers how many, why, and until when."""
    about = materializer_of(disk).extract_metadata(quarantine())
    assert about["kept"] == 2
    assert about["reasons"] == {"odd_shape": 1, "truncated": 1, "too_many_bytes": 1, "missing_path": 1}
    assert about["keep_until"] == datetime(2026, 12, 21, 12, tzinfo=UTC).isoformat()


def test_a_picture_without_bytes_keeps_its_digest() -> None:
    """What the rows say stays when bytes go: an erased picture leaves the evidence as it was."""
    before = quarantine()
    after = before.without_bytes([picture_digest(png(1, 64))])
    assert after.digest == before.digest
    assert after.kept_digests() == [picture_digest(png(2)[:40])]


def test_a_bomb_is_not_decoded_for_its_thumbnail() -> None:
    """A picture of 400 million pixels in a few bytes has no thumbnail, and costs nothing."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    assert set_aside_thumbnail(buffer.getvalue()) is None
    assert set_aside_thumbnail(b"text") is None
    assert set_aside_thumbnail(png(1)) is not None


@pytest.mark.parametrize("size", [(4000, 20), (1, 65535), (20, 4000)])
def test_a_banner_has_a_thumbnail(size: tuple[int, int]) -> None:
    """Its shorter side is a pixel at least: one such picture does not stop a delivery."""
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "PNG")
    png = set_aside_thumbnail(buffer.getvalue())
    assert png is not None
    with Image.open(io.BytesIO(png)) as small:
        assert (min(small.size), max(small.size)) == (1, 72)

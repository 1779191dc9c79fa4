"""Tests of steps/data/personal_data/treatment.py: what the policy does to a delivery before it is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from zenml import save_artifact

from materializers.blobs import list_folder
from materializers.data_report import Check
from materializers.erasure import Forgotten, write_note
from materializers.image_dataset import ImageDataset, picture_digest
from materializers.shards import SHARDS_FOLDER
from serving.strip_metadata import strip_metadata
from steps.data.ingest import ingest
from steps.data.intake import IngestSettings, read_delivery
from steps.data.joining import join_delivery
from steps.data.labels import Labels, Row
from steps.data.parent import keep_readmitted
from steps.data.personal_data import columns, pictures, treatment
from steps.data.personal_data.pictures import Box, Detector, NotInstalled, PictureKind
from steps.data.personal_data.settings import PersonalDataSettings
from steps.data.personal_data.treatment import treat_personal_data
from steps.data.screening import Delivery
from tests.serving.pictures import encode
from tests.steps.data import personal_examples as examples
from tests.steps.data.deliveries import opened, photograph, write_delivery
from tests.steps.data.planted import planted_jpeg

if TYPE_CHECKING:
    from zenml.client import Client

NO_ROWS = Labels(("image_path", "label"), [])
EMAIL, MASKED = "write to anna.mueller@example.com", "write to [e-mail]"
FACES, TEXTS = "personal_data: faces", "personal_data: texts"


def policy(**settings: Any) -> PersonalDataSettings:
    """The usual settings but for these."""
    return PersonalDataSettings.model_validate(settings)


def delivered(
    folder: Path, data: Mapping[str, bytes], stored: ImageDataset | None = None, /, **said: str
) -> Delivery:
    """A delivery of these pictures, of each of which the columns say the same."""
    rows = [{"image_path": path, "label": "toys", **said} for path in data]
    with opened(write_delivery(folder, rows, data)) as source:
        return read_delivery(source, "shop", IngestSettings(), stored=stored)


def by_name(checks: list[Check]) -> dict[str, Check]:
    """The checks by their names."""
    return {check.name: check for check in checks}


def same(one: ImageDataset, other: ImageDataset) -> bool:
    """Whether both say and show the same."""
    ids = one.index["image_id"].tolist()
    return one.version == other.version and one.pictures(ids) == other.pictures(ids)


# Columns


@pytest.mark.parametrize(("name", "outcome"), [("refuse", "refused"), ("warn", "warned")])
def test_an_address_in_a_column_is_refused_or_warned_of(tmp_path: Path, name: str, outcome: str) -> None:
    """What is delivered stays as it is."""
    read = delivered(tmp_path, {"a.png": photograph(1), "b.png": photograph(2)}, note=EMAIL)
    treated, _, checks = treat_personal_data(read.dataset, read.labels, None, policy(columns=name))
    check = by_name(checks)["personal_data: columns"]
    assert (check.outcome, check.measured, check.refuses) == (outcome, 2, name == "refuse")
    assert "anna" not in check.reason
    assert same(treated, read.dataset)


def test_an_address_in_a_column_is_masked(tmp_path: Path) -> None:
    """Nothing else of the row changes, and the version is that of what may be stored."""
    said = {"note": EMAIL, "price": "7", "captured_at": "2026-11-21"}
    read = delivered(tmp_path, {"a.png": photograph(1), "b.png": photograph(2)}, **said)
    treated, _, checks = treat_personal_data(read.dataset, read.labels, None, policy(columns="mask"))
    assert treated.index["note"].tolist() == [MASKED] * 2
    assert treated.version != read.dataset.version
    others = [name for name in treated.index.columns if name not in {"note", "row_digest", "faces", "texts"}]
    pd.testing.assert_frame_equal(treated.index[others], read.dataset.index[others])
    assert not by_name(checks)["personal_data: columns"].refuses


def test_clean_columns_are_left_alone(tmp_path: Path) -> None:
    """A digest, a time and a path are no text of a person's."""
    read = delivered(tmp_path, {"a.png": photograph(1)}, note="red", captured_at="2026-11-21T14:00:00Z")
    treated, labels, checks = treat_personal_data(read.dataset, read.labels, None, policy(columns="mask"))
    assert by_name(checks)["personal_data: columns"].outcome == "passed"
    assert same(treated, read.dataset)
    assert labels == read.labels


@pytest.mark.parametrize("name", ["refuse", "mask", "warn"])
def test_a_correction_is_treated_as_a_picture_is(tmp_path: Path, name: str) -> None:
    """It would bring to a stored picture what its own delivery may not; withdrawals say nothing."""
    clean = Row(None, "toys", image_id="a" * 64, extra={"note": None, "owner": "shop"})
    telling = Row(None, "toys", group="vase", image_id="b" * 64, extra={"note": EMAIL, "owner": None})
    leaving = Row("c.png", None, withdrawn=True)
    labels = Labels(("image_path", "label", "note", "owner"), [clean, leaving, telling])
    read = delivered(tmp_path, {"a.png": photograph(1)}, note="red")
    _, treated, checks = treat_personal_data(read.dataset, labels, None, policy(columns=name))
    check = by_name(checks)["personal_data: columns"]
    assert (check.measured, check.refuses) == (1, name == "refuse")
    said = {"note": MASKED if name == "mask" else EMAIL, "owner": None}
    masked = Row(None, "toys", group="vase", image_id="b" * 64, extra=said)
    assert treated.rows == [clean, leaving, masked]
    assert treated.columns == labels.columns


def test_what_no_package_looks_for_is_not_assessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never taken as clean: with the policy refuse it refuses."""
    monkeypatch.setattr(columns, "PACKAGES", {"phone": "phonenumbers", "name": "no_such_package"})
    read = delivered(tmp_path, {"a.png": photograph(1)}, note="red")
    for name in ("warn", "refuse"):
        _, _, checks = treat_personal_data(read.dataset, read.labels, None, policy(columns=name))
        check = by_name(checks)["personal_data: columns"]
        assert (check.outcome, check.refuses) == ("not_assessed", name == "refuse")
        assert "no_such_package" in check.reason


# Pictures


class FindsRed:
    """A detector that finds the red square in the upper left corner, wherever there is one."""

    name = "red square"

    def __init__(self) -> None:
        self.looked = 0

    def find(self, image: NDArray[np.uint8]) -> list[Box]:
        """Its box."""
        self.looked += 1
        red, green, blue = image[4:28, 4:28].reshape(-1, 3).mean(axis=0)
        return [Box(0, 0, 32, 32)] if red > 180 and max(green, blue) < 60 else []


class FindsNothing:
    """A detector that finds nothing."""

    name = "nothing"

    def find(self, image: NDArray[np.uint8]) -> list[Box]:
        """No box."""
        return []


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch) -> FindsRed:
    """The only detector that finds anything; a red square stands for a face."""
    detector = FindsRed()
    install(monkeypatch, {"faces": detector, "texts": FindsNothing()})
    return detector


def install(
    monkeypatch: pytest.MonkeyPatch, detectors: Mapping[PictureKind, Detector | NotInstalled]
) -> None:
    """Let these be the detectors that there are."""
    monkeypatch.setattr(pictures, "detectors", lambda: detectors)


def picture(number: int, *, face: bool, side: int = 96) -> Image.Image:
    """A picture that no other number has."""
    pixels = np.random.default_rng(number).integers(90, 160, (side, side, 3), dtype=np.uint8)
    if face:
        pixels[:32, :32] = (230, 20, 20)
        pixels[8:24:3, 8:24] = (150 + number, 10, 10)
    return Image.fromarray(pixels)


def some(with_face: int, without: int) -> dict[str, bytes]:
    """Path → picture, so many with a face and so many without."""
    return {f"{n}.png": encode(picture(n, face=n < with_face)) for n in range(with_face + without)}


@pytest.mark.parametrize(("name", "outcome"), [("refuse", "refused"), ("warn", "warned")])
def test_a_face_is_refused_or_warned_of(tmp_path: Path, faces: FindsRed, name: str, outcome: str) -> None:
    """The index says how many faces and texts each picture has; no byte changes."""
    read = delivered(tmp_path, some(2, 3))
    treated, _, checks = treat_personal_data(read.dataset, read.labels, None, policy(pictures=name))
    assert (by_name(checks)[FACES].outcome, by_name(checks)[FACES].measured) == (outcome, 2)
    assert by_name(checks)[TEXTS].outcome == "passed"
    assert by_name(checks)[FACES].refuses == (name == "refuse")
    assert same(treated, read.dataset)
    found = treated.index.set_index("source")
    assert found["faces"].to_dict() == {f"shop/{n}.png": int(n < 2) for n in range(5)}
    assert set(found["texts"]) == {0}
    assert found["masked"].isna().all()


def test_a_face_is_masked_and_the_rest_of_the_picture_stays(tmp_path: Path, faces: FindsRed) -> None:
    """Another picture with all that was said of the first, and where it was not masked the same pixels."""
    said = {"group": "vase", "price": "7", "captured_at": "2026-11-21"}
    read = delivered(tmp_path, some(1, 1), **said)
    treated, _, checks = treat_personal_data(read.dataset, read.labels, None, policy(pictures="mask"))
    assert (by_name(checks)[FACES].outcome, by_name(checks)[FACES].refuses) == ("warned", False)
    before, after = (each.index.set_index("source") for each in (read.dataset, treated))
    assert after.loc["shop/1.png", "image_id"] == before.loc["shop/1.png", "image_id"]
    assert pd.isna(after.loc["shop/1.png", "masked"])
    row, old = after.loc["shop/0.png"], before.loc["shop/0.png"]
    assert (row["masked"], row["group"], row["price"], row["captured_at"]) == (1, "vase", "7", "2026-11-21")
    assert row["image_id"] != old["image_id"]
    assert row["source_digest"] == old["source_digest"]
    for name in ("label", "width", "height", "orientation", "image_format", "brightness", "phash"):
        assert row[name] == old[name], name
    now = decoded(treated, row["image_id"])
    then = decoded(read.dataset, old["image_id"])
    assert np.abs(now[:32, :32].astype(int) - then[:32, :32]).mean() > 5
    np.testing.assert_array_equal(now[40:], then[40:])


def decoded(dataset: ImageDataset, image_id: str) -> NDArray[np.uint8]:
    """The pixels of a picture."""
    import io

    [data] = dataset.pictures([image_id])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_the_original_of_a_masked_picture_is_nowhere_in_the_store(
    local_stack: Client, tmp_path: Path, faces: FindsRed
) -> None:
    """Neither as it was delivered nor without its metadata, after a whole run of the step."""
    from zenml import pipeline

    photographs = {f"{n}.jpg": planted_jpeg(n, picture(n, face=True)).data for n in range(3)}
    photographs["clean.png"] = encode(picture(9, face=False))
    rows = [{"image_path": path, "label": "toys"} for path in photographs]
    folder = write_delivery(tmp_path / "delivery", rows, photographs)

    @pipeline(enable_cache=False)
    def taking_in() -> None:
        ingest("masking", "shop", IngestSettings(), str(folder), personal_data=policy(pictures="mask"))

    taking_in()
    root = Path(local_stack.active_stack.artifact_store.path)
    stored = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert photographs.pop("clean.png") in stored
    for data in photographs.values():
        assert corner(data) in strip_metadata(data).data
        assert corner(data) not in stored


def bare(data: bytes) -> str:
    """The digest of a picture without its metadata."""
    return picture_digest(strip_metadata(data).data)


def test_a_masked_picture_says_what_it_was_before(tmp_path: Path, faces: FindsRed) -> None:
    """By the digest without metadata, which no delivery states; others have none."""
    data = planted_jpeg(1, picture(1, face=True)).data
    read = delivered(tmp_path, {"a.jpg": data, "b.png": encode(picture(9, face=False))})
    treated, *_ = treat_personal_data(read.dataset, read.labels, None, policy(pictures="mask"))
    found = treated.index.set_index("source")["unmasked_digest"]
    assert found["shop/a.jpg"] == bare(data)
    assert pd.isna(found["shop/b.png"])


@pytest.mark.parametrize("label", ["toys", "nobody's"])
@pytest.mark.parametrize("known_as", ["unmasked", "masked alone"])
def test_a_forgotten_picture_that_was_masked_does_not_come_back(
    local_stack: Client, tmp_path: Path, faces: FindsRed, known_as: str, label: str
) -> None:
    """Delivered again without its EXIF block: it is set aside, and no byte of it is kept anywhere."""
    data = planted_jpeg(1, picture(1, face=True)).data
    read = delivered(tmp_path / "first", {"a.jpg": data})
    masked, *_ = treat_personal_data(read.dataset, read.labels, None, policy(pictures="mask"))
    (row,) = masked.index.to_dict("records")
    digests = {row["source_digest"], *([bare(data)] if known_as == "unmasked" else [])}
    note = Forgotten(name=row["image_id"], source_digests=tuple(digests), marks=(), shards=())
    write_note(local_stack.active_stack.artifact_store, note)
    pictures_again = {"again.jpg": strip_metadata(data).data, "b.png": encode(picture(9, face=False))}
    rows = [
        {"image_path": path, "label": label if path == "again.jpg" else "toys"} for path in pictures_again
    ]
    folder = write_delivery(tmp_path / "again", rows, pictures_again)
    dataset, screening, quarantine, *_ = ingest.entrypoint(
        "never again",
        "shop",
        IngestSettings(),
        str(folder),
        classes=["toys"],
        personal_data=policy(pictures="mask"),
    )
    assert dataset.index["source"].tolist() == ["shop/b.png"]
    assert [(each.path, each.reason) for each in screening.set_aside] == [("again.jpg", "forgotten")]
    assert quarantine.kept_digests() == []
    assert screening.pictures == {}


def test_a_delivery_that_repeats_masked_pictures_writes_what_is_new_in_it(
    local_stack: Client, tmp_path: Path, faces: FindsRed
) -> None:
    """A masked picture is another picture than the one that was delivered, and is known as what it is."""
    first = write_faces(tmp_path / "first", range(20, 24))
    masking: dict[str, Any] = {"join_parent": True, "personal_data": policy(pictures="mask")}
    before, *_ = ingest.entrypoint("masking-again", "shop", IngestSettings(), str(first), **masking)
    keep_readmitted(before, "masking-again")
    store = local_stack.active_stack.artifact_store
    shards = set(list_folder(store, f"{store.path}/{SHARDS_FOLDER}"))
    same_again, *_ = ingest.entrypoint("masking-again", "shop", IngestSettings(), str(first), **masking)
    assert same_again.version == before.version
    assert set(same_again.shards) == set(before.shards)
    more = write_faces(tmp_path / "more", range(20, 25))
    after, *_ = ingest.entrypoint("masking-again", "shop", IngestSettings(), str(more), **masking)
    save_artifact(after, name="dataset")
    [new] = set(list_folder(store, f"{store.path}/{SHARDS_FOLDER}")) - shards
    [added] = before.diff(after).added.to_dict("records")
    assert (added["source"], added["masked"], f"{added['shard']}.arrow") == ("shop/24.jpg", 1, new)
    assert after.index["masked"].tolist() == [1] * 5
    assert after.select(before.index["image_id"]).shards.keys() == before.shards.keys()
    anew, *_ = ingest.entrypoint("never masked", "shop", IngestSettings(), str(more), **masking)
    assert after.version == anew.version


def write_faces(folder: Path, numbers: Iterable[int]) -> Path:
    """A delivery of JPEGs with a face each."""
    photographs = {f"{n}.jpg": planted_jpeg(n, picture(n, face=True)).data for n in numbers}
    return write_delivery(
        folder, [{"image_path": path, "label": "toys"} for path in photographs], photographs
    )


def corner(data: bytes) -> bytes:
    """The first encoded pixels of a JPEG, where the face is: the bytes behind its last header."""
    return data[data.rindex(b"\xff\xda") + 14 :][:32]


def test_a_picture_is_examined_once(tmp_path: Path, faces: FindsRed) -> None:
    """What was found when it came before is still known, and counts."""
    first = delivered(tmp_path / "first", some(1, 1))
    known, *_ = treat_personal_data(first.dataset, first.labels, None, policy())
    assert faces.looked == 2
    second = delivered(tmp_path / "second", some(1, 3), known)
    treated, _, checks = treat_personal_data(second.dataset, second.labels, known, policy())
    assert faces.looked == 4
    assert treated.index["faces"].sum() == 1
    assert by_name(checks)[FACES].measured == 1
    assert "4 of 4 pictures were examined" in by_name(checks)[FACES].reason


def test_a_picture_that_was_only_warned_of_is_masked_when_that_is_asked_for(
    tmp_path: Path, faces: FindsRed
) -> None:
    """That it has a face is known, where it is was not kept: it is looked at again."""
    read = delivered(tmp_path, some(1, 2))
    warned_of, *_ = treat_personal_data(read.dataset, read.labels, None, policy(pictures="warn"))
    faces.looked = 0
    again = delivered(tmp_path, some(1, 2), warned_of)
    treated, _, checks = treat_personal_data(again.dataset, again.labels, warned_of, policy(pictures="mask"))
    assert faces.looked == 1
    assert treated.index["masked"].sum() == 1
    assert by_name(checks)[FACES].measured == 1
    assert set(treated.index["image_id"]) != set(read.dataset.index["image_id"])
    joined, changes = join_delivery(warned_of, treated, again.labels, "shop")
    assert joined.index["image_id"].tolist() == treated.index["image_id"].tolist()
    assert (changes.masked, changes.withdrawn) == (1, 0)


def test_a_picture_that_comes_turned_is_examined_again(tmp_path: Path, faces: FindsRed) -> None:
    """A face that lies on its side is none to a detector: what was found before does not count."""
    lying = planted_jpeg(1, picture(1, face=True)).data
    upright = planted_jpeg(1, picture(1, face=True), orientation=6).data
    first = delivered(tmp_path / "lying", {"a.jpg": lying})
    found = first.dataset.index[["image_id"]].assign(faces=7, texts=7)
    known = first.dataset.with_measures(found)
    second = delivered(tmp_path / "upright", {"a.jpg": upright}, known)
    assert second.dataset.index["image_id"].tolist() == known.index["image_id"].tolist()
    treated, *_ = treat_personal_data(second.dataset, second.labels, known, policy(pictures="warn"))
    assert faces.looked == 1
    assert treated.index["faces"].sum() < 7


def test_where_pictures_only_warn_some_are_examined(tmp_path: Path, faces: FindsRed) -> None:
    """As many as configured; what refuses or masks looks at all."""
    read = delivered(tmp_path, some(0, 6))
    for name, looked in (("warn", 2), ("mask", 6), ("refuse", 6)):
        faces.looked = 0
        treated, *_ = treat_personal_data(
            read.dataset, read.labels, None, policy(pictures=name, examined_pictures=2)
        )
        assert faces.looked == looked
        assert treated.index["faces"].notna().sum() == looked


def test_the_orientation_counts_where_a_part_is_masked(tmp_path: Path, faces: FindsRed) -> None:
    """The face is in the corner of the upright picture, and in another one of the stored one."""
    upright = picture(1, face=True)
    encoded = planted_jpeg(1, upright.transpose(Image.Transpose.ROTATE_90), orientation=6).data
    read = delivered(tmp_path, {"a.jpg": encoded})
    treated, *_ = treat_personal_data(read.dataset, read.labels, None, policy(pictures="mask"))
    [row] = treated.index.to_dict("records")
    assert (row["orientation"], row["masked"]) == (6, 1)
    now = np.rot90(decoded(treated, row["image_id"]), -1)
    assert np.ptp(now[10:14, 10:14].reshape(-1, 3), axis=0).max() < 30  # the stripes are gone


@pytest.mark.parametrize("name", ["warn", "refuse"])
def test_a_detector_that_is_not_installed_is_not_assessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The other one still looks; with the policy refuse the missing one refuses."""
    detector = FindsRed()
    missing = NotInstalled("rapidocr", "No module named 'rapidocr'")
    install(monkeypatch, {"faces": detector, "texts": missing})
    read = delivered(tmp_path, some(0, 2))
    treated, _, checks = treat_personal_data(read.dataset, read.labels, None, policy(pictures=name))
    assert (by_name(checks)[FACES].outcome, detector.looked) == ("passed", 2)
    assert (by_name(checks)[TEXTS].outcome, by_name(checks)[TEXTS].refuses) == (
        "not_assessed",
        name == "refuse",
    )
    assert "rapidocr is not installed" in by_name(checks)[TEXTS].reason
    assert set(treated.index["faces"]) == {0}
    assert treated.index["texts"].isna().all()


def test_without_any_detector_no_picture_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of any, which the index says too."""
    missing = NotInstalled("a package", "it is not there")
    install(monkeypatch, {"faces": missing, "texts": missing})
    monkeypatch.setattr(treatment, "examine_picture", lambda *_: pytest.fail("it was decoded"))
    read = delivered(tmp_path, some(0, 2))
    treated, _, checks = treat_personal_data(read.dataset, read.labels, None, policy(pictures="mask"))
    assert {by_name(checks)[name].outcome for name in (FACES, TEXTS)} == {"not_assessed"}
    assert treated.index[["faces", "texts"]].isna().all(axis=None)


def test_of_small_pictures_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No detector is reliable on them, so none is even imported."""
    monkeypatch.setattr(pictures, "detectors", lambda: pytest.fail("a detector was made"))
    read = delivered(tmp_path, {"a.png": photograph(1)})
    _, _, checks = treat_personal_data(read.dataset, read.labels, None, policy())
    assert {by_name(checks)[name].outcome for name in (FACES, TEXTS)} == {"not_assessed"}


def test_a_delivery_of_corrections_alone_has_no_picture_to_examine(faces: FindsRed) -> None:
    """Nothing is refused for what is not there."""
    nothing = ImageDataset.from_pictures([])
    treated, _, checks = treat_personal_data(nothing, NO_ROWS, None, policy(pictures="refuse"))
    assert (len(treated), faces.looked) == (0, 0)
    assert not [check for check in checks if check.refuses]


def test_a_real_face_and_a_real_text_are_masked_so_that_they_are_not_found_again(tmp_path: Path) -> None:
    """With the detectors that are installed."""
    pictures.detectors.cache_clear()
    planted = {
        "face.png": encode(Image.fromarray(examples.faces(1, seed=3)[0].image)),
        "text.png": encode(Image.fromarray(examples.texts(1, seed=3)[0].image)),
    }
    read = delivered(tmp_path, planted)
    treated, _, checks = treat_personal_data(read.dataset, read.labels, None, policy(pictures="mask"))
    assert by_name(checks)[FACES].measured == by_name(checks)[TEXTS].measured == 1
    assert picture_digest(planted["face.png"]) not in set(treated.index["image_id"])
    bare = ImageDataset.from_pictures([]).join(treated)
    cleared = pd.DataFrame({"image_id": bare.index["image_id"], "faces": pd.NA, "texts": pd.NA})
    _, _, again = treat_personal_data(bare.with_measures(cleared), NO_ROWS, None, policy(pictures="refuse"))
    assert {by_name(again)[name].outcome for name in (FACES, TEXTS)} == {"passed"}

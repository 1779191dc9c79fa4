"""Tests of pictures.py, faces.py and texts.py in steps/data/personal_data: found, not found, and masked."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops

from serving.preprocess import UPRIGHT
from steps.data.personal_data import pictures
from steps.data.personal_data.faces import HaarFaces
from steps.data.personal_data.pictures import (
    Box,
    Detector,
    NotInstalled,
    PictureKind,
    PicturesFindings,
    detectors,
    examine_picture,
    examined,
    find_personal_data,
    mask_picture,
)
from steps.data.personal_data.texts import RapidTexts
from tests.steps.data import personal_examples as planted

Pixels = NDArray[np.uint8]
SHARED = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "clothing" / "images"


class LeftHalf:
    """A detector that finds the left half of anything."""

    name = "left half"

    def find(self, image: Pixels) -> list[Box]:
        """Its box."""
        return [Box(0, 0, image.shape[1] // 2, image.shape[0])]


def found_in(detector: Detector, examples: list[planted.Planted]) -> int:
    """How many of the planted ones are found."""
    return sum(planted.hit(detector.find(example.image), example.box) for example in examples)


def encoded(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    """A file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decoded(data: bytes) -> Image.Image:
    """Its picture."""
    return Image.open(io.BytesIO(data))


@pytest.fixture(autouse=True)
def _fresh_detectors() -> None:
    """Each test makes the detectors anew: some hide a package."""
    detectors.cache_clear()


def test_planted_faces_are_found() -> None:
    """At least 40 of 50."""
    assert found_in(HaarFaces(), planted.faces(50)) >= 40


def test_planted_texts_are_found() -> None:
    """At least 40 of 50, of several sizes, angles and colours, some upright."""
    assert found_in(RapidTexts(), planted.texts(50)) >= 40


def test_pictures_without_either_raise_few_alarms() -> None:
    """None of 40 photographs of things, gradients and noise has a face or a text."""
    found = [find_personal_data(image) for image in planted.backgrounds(40, seed=9)]
    assert sum(bool(each.boxes) for each in found) <= 1


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.exists(), reason=f"there is no {SHARED}")
def test_clothing_photographs_raise_few_alarms_for_faces() -> None:
    """At most 3 of 60, which lie on floors and hang on doors; prints on them are readable text."""
    names = sorted(SHARED.iterdir())[::63][:60]
    found = [examine_picture(path.read_bytes(), 1) for path in names]
    assert sum(bool(each.faces) for each in found) <= 3
    assert 2 <= sum(bool(each.texts) for each in found) <= 15


def test_a_whole_portrait_is_found_where_it_is() -> None:
    """In a photograph of 512 × 512; its box lies around the face, in its own pixels."""
    picture = Image.fromarray(planted.photograph("astronaut"))
    found = examine_picture(encoded(picture, quality=90), 1)
    assert planted.hit(list(found.faces or ()), (170, 60, 110, 140))
    large = examine_picture(encoded(picture.resize((2048, 2048)), quality=90), 1)
    assert planted.hit(list(large.faces or ()), (680, 240, 440, 560))


def test_a_turned_picture_is_examined_upright() -> None:
    """The stored pixels lie on their side; the orientation says so."""
    example = planted.texts(1, seed=4)[0]
    lying = Image.fromarray(example.image).transpose(Image.Transpose.ROTATE_90)
    found = examine_picture(encoded(lying, "PNG"), 6)
    assert planted.hit(list(found.texts or ()), example.box)


def test_a_small_picture_is_not_examined() -> None:
    """Under 64 pixels nothing is known: None, with the reason, is not the empty answer."""
    found = find_personal_data(np.zeros((63, 200, 3), np.uint8))
    assert (found.faces, found.texts) == (None, None)
    assert "200 × 63 pixels; from 64" in found.not_examined
    assert find_personal_data(np.zeros((64, 64, 3), np.uint8)) == PicturesFindings((), ())


@pytest.mark.parametrize(
    ("module", "kind", "package"),
    [("cv2", "faces", "opencv-python-headless"), ("rapidocr", "texts", "rapidocr")],
)
def test_a_missing_package_finds_nothing_and_says_so(
    module: str, kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kind is None, never empty, and the package is named."""
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "steps.data.personal_data.faces")
    missing = pictures.missing_detectors()
    assert missing[cast(PictureKind, kind)].package == package
    found = find_personal_data(np.zeros((80, 80, 3), np.uint8))
    assert getattr(found, kind) is None
    assert f"{package} is not installed" in found.not_examined


def test_models_that_are_not_in_the_package_are_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its file the detector is not installed."""
    from steps.data.personal_data import texts

    monkeypatch.setitem(texts.MODELS, "Det.model_path", "PP-OCRv9_det.onnx")
    missing = detectors()["texts"]
    assert isinstance(missing, NotInstalled)
    assert "PP-OCRv9_det.onnx" in missing.reason


def test_detecting_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """RapidOCR logs to the terminal unless told not to."""
    find_personal_data(planted.texts(1)[0].image)
    find_personal_data(np.zeros((80, 80, 3), np.uint8))
    assert capfd.readouterr() == ("", "")


def test_threads_find_the_same() -> None:
    """Each has detectors of its own."""
    from concurrent.futures import ThreadPoolExecutor

    images = [each.image for each in (*planted.faces(4), *planted.texts(4))]
    one = [find_personal_data(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(find_personal_data, images)) == one


def test_some_pictures_are_chosen_by_digest() -> None:
    """The same whatever the order; all of them where the policy cannot do with less."""
    ids = [f"{number:04d}" for number in range(100)]
    some = examined(ids, 10, "warn")
    assert len(some) == 10
    assert some == sorted(examined(ids[::-1], 10, "warn")) != ids[:10]
    assert set(examined(ids, 5, "warn")) < set(some)
    assert examined(ids, 10, "refuse") == examined(ids, 10, "mask") == examined(ids, 100, "warn") == ids


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_masked_part_is_the_one_that_was_seen(orientation: int) -> None:
    """A box is one of the upright picture, whichever way the stored one lies."""
    stored = Image.effect_noise((90, 60), 80).convert("RGB")
    box = Box(10, 12, 20, 8)
    masked = decoded(mask_picture(encoded(stored, "PNG"), orientation, [box]))
    turn = UPRIGHT.get(orientation)
    before, after = (image.transpose(turn) if turn is not None else image for image in (stored, masked))
    changed = ImageChops.difference(before, after.convert("RGB")).getbbox()
    assert changed == (7, 11, 33, 21)


def jpeg(image: Image.Image) -> bytes:
    """A photograph's."""
    return encoded(image, "JPEG", quality=85, icc_profile=b"profile")


def png(image: Image.Image) -> bytes:
    """Lossless."""
    return encoded(image, "PNG", icc_profile=b"profile")


def webp(image: Image.Image) -> bytes:
    """Lossy."""
    return encoded(image, "WEBP", quality=90, icc_profile=b"profile")


def lossless_webp(image: Image.Image) -> bytes:
    """As exact as a PNG."""
    return encoded(image, "WEBP", lossless=True, icc_profile=b"profile")


@pytest.mark.parametrize(("form", "most"), [(jpeg, 6), (png, 0), (webp, 8), (lossless_webp, 0)])
def test_the_rest_of_a_masked_picture_stays(form: Callable[[Image.Image], bytes], most: float) -> None:
    """Same format, size and colour profile; away from the box the pixels are nearly the same."""
    data_before = form(Image.fromarray(planted.photograph("coffee")[:256, :256]))
    data_after = mask_picture(data_before, 1, [Box(10, 10, 40, 40)])
    before, after = decoded(data_before), decoded(data_after)
    assert (after.format, after.size, after.mode) == (before.format, before.size, before.mode)
    assert after.info["icc_profile"] == b"profile"
    difference = np.abs(np.asarray(before).astype(int) - np.asarray(after))[80:, 80:]
    assert difference.mean() <= most / 3
    assert mask_picture(data_before, 1, []) is data_before


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "LA", "RGBA", "1", "I;16"])
def test_pictures_of_every_mode_are_masked(mode: str) -> None:
    """Grey, printed, with a palette, with transparency, black and white, 16 bits."""
    noise = Image.effect_noise((80, 80), 90)
    image = noise.convert("RGB").convert(mode) if mode != "I;16" else noise.convert(mode)
    data = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    after = decoded(mask_picture(data, 1, [Box(20, 20, 40, 40)])).convert("RGBA")
    part = np.asarray(after)[24:56, 24:56].reshape(-1, 4)
    assert len(np.unique(part // 16, axis=0)) <= 40  # a JPEG's ringing
    assert after.size == (80, 80)


def test_a_masked_face_and_text_are_gone() -> None:
    """Nothing is found any more, and what is left are nine colours."""
    for example in (*planted.faces(5, seed=3), *planted.texts(5, seed=3)):
        data = encoded(Image.fromarray(example.image), "PNG")
        found = examine_picture(data, 1)
        if not found.boxes:
            continue
        masked = mask_picture(data, 1, found.boxes)
        assert not examine_picture(masked, 1).boxes
        left, top, width, height = found.boxes[0]
        part = np.asarray(decoded(masked))[top : top + height, left : left + width].reshape(-1, 3)
        assert len(np.unique(part, axis=0)) <= 9 * len(found.boxes) ** 2


def test_a_box_over_the_edge_is_masked_inside() -> None:
    """Detectors round; a picture ends."""
    image = Image.effect_noise((70, 70), 90).convert("RGB")
    masked = decoded(mask_picture(encoded(image, "PNG"), 1, [Box(60, 60, 30, 30), Box(100, 100, 5, 5)]))
    assert len(np.unique(np.asarray(masked)[60:, 60:].reshape(-1, 3), axis=0)) <= 9


def test_another_detector_takes_the_place() -> None:
    """Whatever has a ``find`` is one; boxes come back in the pixels of the picture that was given."""
    large = np.zeros((1280, 2560, 3), np.uint8)
    found = find_personal_data(large, {"faces": LeftHalf(), "texts": NotInstalled("rapidocr", "no module")})
    assert found == PicturesFindings((Box(0, 0, 1280, 1280),), None, "rapidocr is not installed")

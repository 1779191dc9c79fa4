"""The one preprocessing function: the same bytes everywhere; bad pictures refused with their reason."""

import hashlib
import io
import random
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from serving import preprocess
from serving.model_directory import Preprocessing
from serving.preprocess import BadPicture, Limits, decode, open_checked
from serving.strip_metadata import FORMATS, strip_metadata
from tests.serving.conftest import in_serving_environment
from tests.serving.pictures import bomb, damaged_png, encode, exif, gradient, kinds_of_pictures

SMALL = Preprocessing(version=1, height=28, width=28)
TURNED = {  # what a camera stores for each orientation, from the upright picture
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

DIGESTS = """
import hashlib, json, pathlib, sys
from serving.model_directory import Preprocessing
from serving.preprocess import decode
settings = Preprocessing.model_validate_json(sys.argv[2])
pictures = sorted(pathlib.Path(sys.argv[1]).iterdir())
digests = {p.name: hashlib.sha256(decode(p.read_bytes(), settings).tobytes()).hexdigest() for p in pictures}
print(json.dumps(digests))
"""


def with_pillow(data: bytes, settings_: Preprocessing, *, draft: bool) -> NDArray[np.uint8]:
    """Do with Pillow alone what ``decode`` promises for an upright RGB JPEG."""
    image = Image.open(io.BytesIO(data))
    if draft:
        scale = settings_.decode_scale
        image.draft("RGB", (settings_.width * scale, settings_.height * scale))
    return np.asarray(image.resize((settings_.width, settings_.height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "box"])
def test_both_environments_make_the_same_bytes(tmp_path: Path, resample: str) -> None:
    """Training and serving see the same pixels, whatever the picture is."""
    settings_ = Preprocessing.model_validate({"version": 1, "height": 48, "width": 40, "resample": resample})
    pictures = kinds_of_pictures()
    for name, data in pictures.items():
        (tmp_path / name).write_bytes(data)
    here = {
        name: hashlib.sha256(decode(data, settings_).tobytes()).hexdigest() for name, data in pictures.items()
    }
    there = in_serving_environment(DIGESTS, str(tmp_path), settings_.model_dump_json())
    assert there == here
    assert len(set(here.values())) > 12  # the pictures are not all alike


@pytest.mark.parametrize("name", sorted(kinds_of_pictures()))
def test_every_kind_of_picture_becomes_rgb(name: str) -> None:
    """CMYK, grey, palette, transparent and 16-bit pictures are converted, never refused."""
    data = kinds_of_pictures()[name]
    pixels = decode(data, SMALL)
    assert pixels.shape == (28, 28, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 10
    assert open_checked(data)[0].format == {"png": "PNG", "webp": "WEBP", "jpg": "JPEG"}[name.split(".")[1]]


@pytest.mark.parametrize("size", [(8, 8), (31, 33), (57, 56), (100, 75), (127, 129), (333, 500), (801, 603)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8, 9])
@pytest.mark.parametrize("progressive", [False, True])
def test_fast_jpeg_equals_pillow_to_the_bit(
    size: tuple[int, int], subsampling: int, scale: int, progressive: bool
) -> None:
    """The fast decoder is taken for colour JPEGs, and gives Pillow's bytes at every DCT scale."""
    data = encode(gradient(*size), "JPEG", quality=80, subsampling=subsampling, progressive=progressive)
    least = (max(1, size[0] // scale), max(1, size[1] // scale))
    image = Image.open(io.BytesIO(data))
    assert isinstance(image, ImageFile.ImageFile)
    image.draft("RGB", least)
    fast = preprocess._fast_jpeg(strip_metadata(data), least)
    assert fast is not None
    assert np.array_equal(fast, np.asarray(image))


@pytest.mark.parametrize("kind", ["cmyk.jpg", "grey.jpg", "rgb-inside.jpg", "rgb.png", "rgb.webp"])
def test_other_pictures_are_left_to_pillow(kind: str) -> None:
    """Only what was compared goes the fast way."""
    others = {"rgb-inside.jpg": encode(gradient(60, 40), "JPEG", keep_rgb=True)}
    assert preprocess._fast_jpeg(strip_metadata((kinds_of_pictures() | others)[kind])) is None


def test_a_picture_is_not_spoilt_by_the_next_one() -> None:
    """The memory that a thread decodes into is its own, and what it gave out is a copy."""
    pictures = [encode(gradient(60, 40, seed), "JPEG") for seed in range(40)]
    expected = [open_checked(data)[1].tobytes() for data in pictures]
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda data: open_checked(data)[1], pictures * 5))
    assert [image.tobytes() for image in images] == expected * 5
    assert len(set(expected)) == 40


def test_decode_scale_is_part_of_the_definition() -> None:
    """A large JPEG is decoded at the DCT scale that the settings ask for, and in full at 0."""
    data = encode(gradient(640, 480), "JPEG", quality=90)
    in_full = Preprocessing(version=1, height=28, width=28, decode_scale=0)
    assert np.array_equal(decode(data, SMALL), with_pillow(data, SMALL, draft=True))
    assert np.array_equal(decode(data, in_full), with_pillow(data, in_full, draft=False))
    assert not np.array_equal(decode(data, SMALL), decode(data, in_full))


def test_decoded_jpeg_is_never_below_decode_scale_times_the_target() -> None:
    """Just below twice the target a JPEG is decoded in full, from there on at half."""
    for side, divided in ((4 * 28 - 1, False), (4 * 28, True)):
        data = encode(gradient(side, side), "JPEG")
        in_full = with_pillow(data, SMALL, draft=False)
        assert np.array_equal(decode(data, SMALL), in_full) is not divided


@pytest.mark.parametrize("orientation", sorted(TURNED))
@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_orientation_is_applied(orientation: int, format_: str) -> None:
    """A picture stored lying, with its EXIF orientation, is the upright picture."""
    upright = gradient(60, 44)
    turn = TURNED[orientation]
    stored = upright.transpose(turn) if turn is not None else upright
    data = encode(stored, format_, exif=exif(orientation), lossless=True)
    assert np.array_equal(decode(data, SMALL), decode(encode(upright), SMALL))
    info, _ = open_checked(data)
    assert (info.width, info.height, info.orientation) == (*stored.size, orientation)


def test_turned_jpeg_is_scaled_along_its_own_sides() -> None:
    """The DCT scale of a lying photograph is chosen from its upright target."""
    settings_ = Preprocessing(version=1, height=100, width=20)
    data = encode(gradient(640, 320).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif(6), quality=95)
    lying = Preprocessing(version=1, height=20, width=100)
    plain = encode(gradient(640, 320).transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95)
    image = Image.open(io.BytesIO(plain))
    image.draft("RGB", (2 * 100, 2 * 20))
    turned = image.transpose(Image.Transpose.ROTATE_270).resize((20, 100), Image.Resampling.BILINEAR)
    assert np.array_equal(decode(data, settings_), np.asarray(turned))
    assert decode(plain, lying).shape == (20, 100, 3)


@pytest.mark.parametrize("orientation", sorted(TURNED))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_stored_picture_is_decoded_as_it_was_delivered(orientation: int, format_: str) -> None:
    """A picture without its EXIF block and with its stored orientation gives the same bytes as before."""
    delivered = encode(gradient(640, 400), format_, exif=exif(orientation))
    stored = strip_metadata(delivered)
    assert stored.orientation == orientation
    made = decode(stored.data, SMALL, orientation=stored.orientation)
    assert np.array_equal(made, decode(delivered, SMALL))
    assert np.array_equal(made, decode(stored.data, SMALL)) == (orientation == 1)


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_senseless_orientation_counts_as_upright(orientation: int) -> None:
    """A wrong EXIF value does not spoil a good picture."""
    picture = gradient(60, 44)
    data = encode(picture, exif=exif(orientation))
    assert np.array_equal(decode(data, SMALL), decode(encode(picture), SMALL))


def test_damaged_exif_counts_as_upright() -> None:
    """An EXIF block that cannot be read does not spoil a good picture."""
    picture = gradient(60, 44)
    data = encode(picture, "JPEG", exif=b"Exif\x00\x00XX" + b"\xff" * 20)
    assert np.array_equal(decode(data, SMALL), decode(encode(picture, "JPEG"), SMALL))


def test_transparency_lies_over_white() -> None:
    """A transparent pixel is white, a half transparent black one grey."""
    picture = Image.new("RGBA", (28, 28), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 128), (0, 0, 14, 28))
    pixels = decode(encode(picture), SMALL)
    assert pixels[5, 20].tolist() == [255, 255, 255]
    assert abs(int(pixels[5, 5, 0]) - 127) <= 1


def test_sixteen_bit_grey_keeps_its_upper_byte() -> None:
    """Sixteen bits are not clipped to eight."""
    levels = np.linspace(0, 65535, 28 * 28).astype(np.uint16).reshape(28, 28)
    pixels = decode(encode(Image.fromarray(levels)), SMALL)
    assert np.array_equal(pixels[..., 0], levels >> 8)


BAD_PICTURES = {
    "nothing": (b"", "empty"),
    "text": (b"label,path\n", "not_an_image"),
    "gif": (encode(gradient(28, 28), "GIF"), "not_an_image"),
    "tiff": (encode(gradient(28, 28), "TIFF"), "not_an_image"),
    "half a JPEG": (encode(gradient(100, 100), "JPEG")[:2000], "truncated"),
    "half a progressive JPEG": (encode(gradient(100, 100), "JPEG", progressive=True)[:2000], "truncated"),
    "half a PNG": (encode(gradient(100, 100))[:2000], "truncated"),
    "half a WEBP": (encode(gradient(100, 100), "WEBP")[:1000], "truncated"),
    "a damaged PNG": (damaged_png(), "truncated"),
    "a bomb": (bomb(), "too_many_pixels"),
    "a dot": (encode(gradient(7, 200)), "too_small"),
    "a strip": (encode(gradient(10, 201)), "odd_shape"),
}


@pytest.mark.parametrize("name", sorted(BAD_PICTURES))
def test_bad_picture_is_refused_with_its_reason(name: str) -> None:
    """Decoding and inspecting refuse the same pictures, each with a code and a sentence."""
    data, reason = BAD_PICTURES[name]
    for look in (lambda: decode(data, SMALL), lambda: open_checked(data)):
        with pytest.raises(BadPicture) as refused:
            look()
        assert refused.value.reason == reason
        assert str(refused.value) == refused.value.message
        assert len(refused.value.message) > 20


def test_limits_hold_at_their_edge() -> None:
    """A picture exactly at the limit is admitted; one byte, pixel or line beyond is refused."""
    data = encode(gradient(30, 20))
    edge = Limits(max_bytes=len(data), max_pixels=600, min_side=20, max_aspect_ratio=1.5)
    assert open_checked(data, edge)[0].width == 30
    for limits, reason, number in (
        (Limits(max_bytes=len(data) - 1), "too_many_bytes", f"{len(data) - 1:,}"),
        (Limits(max_pixels=599), "too_many_pixels", "599"),
        (Limits(min_side=21), "too_small", "21"),
        (Limits(max_aspect_ratio=1.49), "odd_shape", "1.5 times .* 1.49 times"),
    ):
        with pytest.raises(BadPicture, match=number) as refused:
            decode(data, SMALL, limits)
        assert refused.value.reason == reason


def test_bomb_is_refused_before_it_is_decoded() -> None:
    """Ten gigabytes of pixels are refused from the header, in no time."""
    started = time.perf_counter()
    with pytest.raises(BadPicture, match="pixels"):
        decode(bomb(), SMALL, Limits(max_pixels=10**12))
    assert time.perf_counter() - started < 1


def test_what_pillow_would_warn_of_as_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wider limits than Pillow's do not admit it, and it warns of nothing, because nothing is opened."""
    data = encode(gradient(100, 100), "JPEG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100)
    assert open_checked(data)[0].width == 100
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100 - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for look in (lambda: decode(data, SMALL), lambda: open_checked(data)):
            with pytest.raises(BadPicture, match="9,999") as refused:
                look()
            assert refused.value.reason == "too_many_pixels"


@pytest.mark.parametrize("name", sorted(kinds_of_pictures()))
def test_checked_picture_is_opened_once_and_not_turned(name: str) -> None:
    """What is said of it is what ``strip_metadata`` says, and its pixels are Pillow's, in full size."""
    data = kinds_of_pictures()[name]
    info, image = open_checked(data)
    assert info == strip_metadata(data)
    assert (image.mode, image.size) == ("RGB", (info.width, info.height))
    if Image.open(io.BytesIO(data)).mode in {"RGB", "L", "CMYK"}:
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Flip a bit or set a byte of a picture, or cut its end off."""
    bytes_ = bytearray(data)
    place = chance.randrange(len(bytes_) if chance.random() < 0.7 else min(700, len(bytes_)))
    match chance.randrange(4):
        case 0 | 1:
            bytes_[place] ^= 1 << chance.randrange(8)
        case 2:
            bytes_[place] = chance.choice([0, 255, 0xD9, 0xDA, chance.randrange(256)])
        case _:
            del bytes_[place:]
    return bytes(bytes_)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_nothing_is_accepted_that_pillow_refuses(format_: str) -> None:
    """Of thousands of damaged pictures, the fast way accepts none that ``verify`` and ``load`` refuse."""
    picture = gradient(90, 70)
    sound = [encode(picture, format_), encode(picture.convert("L"), format_)]
    if format_ == "JPEG":
        sound += [encode(picture, "JPEG", subsampling=n, restart_marker_blocks=3 * n) for n in range(3)]
        sound += [encode(picture, "JPEG", progressive=True), encode(picture, "JPEG", comment=b"x" * 400)]
    else:
        sound.append(encode(picture.convert("RGBA"), format_, exif=exif(6)))
    chance = random.Random(format_)  # noqa: S311
    outcomes: Counter[tuple[bool, bool]] = Counter()
    for number in range(3000):
        data = damaged(sound[number % len(sound)], chance)
        try:
            open_checked(data)
        except BadPicture:
            accepted = False
        else:
            accepted = True
        try:
            Image.open(io.BytesIO(data), formats=FORMATS).verify()
            Image.open(io.BytesIO(data), formats=FORMATS).load()
        except Exception:  # noqa: BLE001 - its parsers raise whatever they trip over
            by_pillow = False
        else:
            by_pillow = True
        outcomes[accepted, by_pillow] += 1
    assert outcomes[True, False] == 0
    assert outcomes[False, False] > 300
    assert outcomes[False, True] < 60  # markers in the middle of the pixels; sizes that are odd
    assert outcomes[True, True] > (0 if format_ == "PNG" else 300)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(kinds_of_pictures())),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
)
def test_no_bytes_raise_anything_else(name: str, changes: list[tuple[float, int]], kept: float) -> None:
    """Whatever is done to a picture's bytes, it is decoded or a BadPicture."""
    data = bytearray(kinds_of_pictures()[name])
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    data = data[: int(len(data) * max(kept, 0.02) ** 0.2)]
    try:
        pixels = decode(bytes(data), SMALL)
    except BadPicture:
        return
    assert pixels.shape == (28, 28, 3)

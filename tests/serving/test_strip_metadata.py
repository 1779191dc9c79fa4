"""What is cut out of a picture, what stays of it, and the orientation that is read on the way."""

import io
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from serving.bad_picture import BadPicture
from serving.strip_metadata import MOST_PROFILE, MOST_SCANS, strip_metadata
from tests.serving.pictures import bomb, encode, exif, gradient, kinds_of_pictures


def colour_profile(size: int, text: bytes = b"") -> bytes:
    """Make a colour profile's header with ``size`` in it, and so many bytes of it, that say ``text``."""
    return (struct.pack(">I32x4s88x", size, b"acsp") + text).ljust(size, b".")


PROFILE = colour_profile(680)
ANIMATIONS = {"animated.png", "default-image.png", "animated.webp"}
SECRETS = {
    "a serial number": b"SERIAL-4711",
    "a position": struct.pack("<LL", 48_123_457, 1_000_003),
    "a map datum": b"WGS-84-PLANTED",
    "XMP": b"planted:xmp",
    "IPTC": b"planted by a news desk",
    "a comment": b"planted comment",
    "a thumbnail": b"planted thumbnail",
    "trailing bytes": b"planted behind the end",
}
XMP = b'<x:xmpmeta tiff:Orientation="8" planted:xmp="1"/>'
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def segment(marker: int, content: bytes) -> bytes:
    """Build a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(name: bytes, content: bytes) -> bytes:
    """Build a chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def riff_chunk(name: bytes, content: bytes) -> bytes:
    """Build a chunk of a WEBP file."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def webp(chunks: bytes) -> bytes:
    """Build a WEBP file."""
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def png(pixels: NDArray[np.generic], *, interlaced: bool) -> bytes:
    """Build an RGB PNG of 8 or 16 bits, which Pillow cannot: ``(height, width, 3)`` uint8 or uint16."""
    height, width, _ = pixels.shape
    depth = pixels.dtype.itemsize * 8
    stored = pixels.astype(pixels.dtype.newbyteorder(">"))
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        b"\0" + row.tobytes()
        for left, top, across, down in passes
        for row in stored[top::down, left::across]
        if row.size
    )
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, int(interlaced))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        )
    )


@cache
def pictures() -> dict[str, bytes]:
    """Encode every kind of picture, none of which has metadata but for a turned one and an MPO."""
    picture = gradient(61, 47)
    alpha = picture.convert("RGBA")
    alpha.putalpha(gradient(61, 47, 1).convert("L"))
    frames = [gradient(61, 47, seed).convert("RGBA") for seed in (2, 3)]
    pixels = np.asarray(picture)
    return kinds_of_pictures() | {
        "restarts.jpg": encode(picture, "JPEG", restart_marker_blocks=2),
        "profile.jpg": encode(picture, "JPEG", icc_profile=PROFILE),
        "long-profile.jpg": encode(picture, "JPEG", icc_profile=colour_profile(100_000)),
        "progressive-cmyk.jpg": encode(picture.convert("CMYK"), "JPEG", progressive=True),
        "progressive-grey.jpg": encode(picture.convert("L"), "JPEG", progressive=True),
        "rgb-inside.jpg": encode(picture, "JPEG", keep_rgb=True),
        "profile.png": encode(picture, icc_profile=PROFILE),
        "animated.png": encode(alpha, save_all=True, append_images=frames),
        "default-image.png": encode(alpha, save_all=True, append_images=frames, default_image=True),
        "interlaced.png": png(pixels, interlaced=True),
        "deep.png": png(pixels.astype(np.uint16) * 257 + 3, interlaced=False),
        "transparent-palette.png": encode(alpha.quantize(16)),
        "profile.webp": encode(picture, "WEBP", icc_profile=colour_profile(681)),
        "lossless.webp": encode(picture, "WEBP", lossless=True),
        "lossy-alpha.webp": encode(alpha, "WEBP", quality=60),
        "animated.webp": encode(alpha, "WEBP", save_all=True, append_images=frames, quality=60),
    }


def opened(data: bytes) -> Image.Image:
    """Open and decode a picture with Pillow."""
    image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP"))
    image.load()
    return image


def pixels_of(data: bytes) -> tuple[object, ...]:
    """Everything that Pillow says of the colours of a picture; of several, of the first one."""
    image = opened(data)
    return image.mode, image.size, image.tobytes(), image.getpalette(), image.info.get("transparency")


def orientation_by_pillow(data: bytes) -> int:
    """Read the orientation as decoding did before there was a reader of our own."""
    image = opened(data)
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 - whatever damaged EXIF makes Pillow trip over
        return 1
    return int(value) if value in range(1, 9) else 1


def telling_exif(orientation: int = 6) -> bytes:
    """Make an EXIF block with a position, a maker note with a serial number, and a thumbnail."""
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010F] = "SERIAL-4711"
    block.get_ifd(0x8769)[0x927C] = b"Nikon\0\2\x10" + SECRETS["a serial number"]
    block.get_ifd(0x8825).update({2: (48.123456, 7.0, 0.0), 0x12: "WGS-84-PLANTED"})
    return block.tobytes() + SECRETS["a position"] + SECRETS["a thumbnail"]


def planted_jpeg(data: bytes) -> bytes:
    """Plant every secret in a JPEG: in its header, in a thumbnail of its JFIF segment, and behind its end."""
    thumbnail = SECRETS["a thumbnail"].ljust(2 * 3 * 3, b".")
    head = b"\xff\xd8" + segment(0xE0, b"JFIF\0\1\2\1\0\x48\0\x48" + bytes((2, 3)) + thumbnail)
    head += segment(0xE0, b"JFXX\0\x13" + SECRETS["a thumbnail"])
    head += segment(0xE1, telling_exif())
    head += segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    head += segment(0xE2, b"MPF\0" + SECRETS["a thumbnail"])
    head += segment(0xED, b"Photoshop 3.0\0" + SECRETS["IPTC"])
    head += b"\xff" * 5 + segment(0xFE, SECRETS["a comment"])
    end = SECRETS["trailing bytes"] + encode(gradient(9, 9), "JPEG", comment=SECRETS["a comment"])
    return head + data[2:-2] + b"\xff\xff\xff\xd9" + end


def planted_png(data: bytes) -> bytes:
    """Plant every secret in a PNG: before its pixels, behind them, and behind its end."""
    head = b"".join(
        (
            chunk(b"tEXt", b"Comment\0" + SECRETS["a comment"]),
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
            chunk(b"tIME", bytes(7)),
            chunk(b"prVt", SECRETS["IPTC"]),
            chunk(b"pHYs", struct.pack(">IIB", 3000, 3000, 1)),
        )
    )
    foot = chunk(b"eXIf", telling_exif()[6:]) + chunk(b"zTXt", b"Raw profile type iptc\0\0" + b"x")
    if b"acTL" in data:  # Pillow reads no EXIF behind the first frame
        head += foot
    return data[:33] + head + data[33:-12] + foot + data[-12:] + SECRETS["trailing bytes"]


def planted_webp(data: bytes) -> bytes:
    """Plant every secret in a WEBP file, in its extended form."""
    image = opened(data)
    chunks = data[12:]
    if not chunks.startswith(b"VP8X"):
        sides = b"".join((side - 1).to_bytes(3, "little") for side in image.size)
        alpha = 0x10 if image.mode == "RGBA" else 0
        chunks = riff_chunk(b"VP8X", bytes((alpha, 0, 0, 0)) + sides) + chunks
    chunks = chunks[:8] + bytes((chunks[8] | 0x0C,)) + chunks[9:]
    chunks += riff_chunk(b"EXIF", telling_exif()) + riff_chunk(b"XMP ", XMP)
    return (
        webp(chunks + riff_chunk(b"OWN ", SECRETS["IPTC"] + SECRETS["a comment"])) + SECRETS["trailing bytes"]
    )


PLANT: dict[str, Callable[[bytes], bytes]] = {"jpg": planted_jpeg, "png": planted_png, "webp": planted_webp}


@pytest.mark.parametrize("name", sorted(pictures()))
def test_what_has_no_metadata_is_left_as_it_is(name: str) -> None:
    """A picture without metadata comes back as the same object; size and format are Pillow's."""
    data = pictures()[name]
    stripped = strip_metadata(data)
    assert (stripped.data is data) == (name not in {"mpo.jpg", "turned.jpg", *ANIMATIONS})
    assert stripped.format == {"png": "PNG", "webp": "WEBP", "jpg": "JPEG"}[name.split(".")[1]]
    assert (stripped.width, stripped.height) == opened(data).size
    assert stripped.orientation == (6 if name == "turned.jpg" else 1)
    assert pixels_of(stripped.data) == pixels_of(data)


@pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO")  # its index is planted, too
@pytest.mark.parametrize("name", sorted(pictures()))
def test_every_secret_is_cut_and_every_pixel_stays(name: str) -> None:
    """Position, serial number, texts, thumbnails and trailing bytes go; pixels and colour profile stay."""
    clean = pictures()[name]
    data = PLANT[name.split(".")[1]](clean)
    assert sum(secret in data for secret in SECRETS.values()) >= 7
    stripped = strip_metadata(data)
    assert {what for what, secret in SECRETS.items() if secret in stripped.data} == set()
    assert pixels_of(stripped.data) == pixels_of(data)
    image, before = opened(stripped.data), opened(data)
    assert image.format == stripped.format
    assert image.info.get("icc_profile") == before.info.get("icc_profile")
    assert image.info.get("adobe_transform") == before.info.get("adobe_transform")
    assert not {"exif", "xmp", "comment", "photoshop", "mp", "XML:com.adobe.xmp"} & image.info.keys()
    assert (stripped.width, stripped.height) == before.size
    assert stripped.orientation == orientation_by_pillow(data) == 6
    again = strip_metadata(stripped.data)
    assert again.data is stripped.data
    assert again.orientation == 1
    assert len(stripped.data) <= len(clean) + 20  # a JFIF segment, or the header of the extended WEBP form


@pytest.mark.parametrize("name", sorted(name for name in pictures() if name.endswith(".jpg")))
def test_the_fast_decoder_sees_the_same_pixels(name: str) -> None:
    """What training and serving decode most JPEGs with makes the same bytes before and after."""
    data = planted_jpeg(pictures()[name])
    stripped = strip_metadata(data).data
    _, _, colours, _ = simplejpeg.decode_jpeg_header(data)
    wanted = "CMYK" if colours in {"CMYK", "YCCK"} else "RGB"
    before, after = (simplejpeg.decode_jpeg(one, wanted, strict=False) for one in (data, stripped))
    assert np.array_equal(before, after)


def test_further_pictures_of_a_photograph_are_cut() -> None:
    """What was an MPO is a plain JPEG with one picture."""
    data = pictures()["mpo.jpg"]
    assert (opened(data).format, getattr(opened(data), "n_frames", 1)) == ("MPO", 2)
    stripped = strip_metadata(data).data
    assert (opened(stripped).format, getattr(opened(stripped), "n_frames", 1)) == ("JPEG", 1)
    assert stripped.count(b"\xff\xd8\xff") == 1


def test_segments_between_the_scans_are_cut() -> None:
    """A progressive JPEG may hide a comment, a profile and junk between two scans; decoders skip them too."""
    data = pictures()["progressive.jpg"]
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    tables = data.rindex(b"\xff\xc4", 0, second)
    hidden = (
        b"\xff\xff" + segment(0xFE, SECRETS["a comment"]) + segment(0xE1, telling_exif()) + b"junk\xff\x00"
    )
    for place in (second, tables):
        planted = data[:place] + hidden + data[place:]
        assert pixels_of(planted) == pixels_of(data)
        assert strip_metadata(planted).data == data


@pytest.mark.parametrize("name", sorted(ANIMATIONS))
def test_an_animation_is_cut_to_its_first_frame(name: str) -> None:
    """Nobody would ever see what a later frame shows; the pixels of the first are the same."""
    data = pictures()[name]
    assert getattr(opened(data), "n_frames", 1) >= 3
    stripped = strip_metadata(data).data
    assert getattr(opened(stripped), "n_frames", 1) == 1
    assert pixels_of(stripped) == pixels_of(data)
    assert len(stripped) < len(data)
    assert strip_metadata(stripped).data is stripped


def test_what_follows_a_frame_of_an_animation_is_cut() -> None:
    """A frame of an animated WEBP file keeps its picture alone, and no bit that says nothing."""
    data = strip_metadata(pictures()["animated.webp"]).data
    place = data.index(b"ANMF")
    for hidden in (riff_chunk(b"OWN ", SECRETS["a comment"]), riff_chunk(b"VP8 ", SECRETS["a comment"])):
        frame = bytearray(data[place + 8 :] + hidden)
        frame[15] |= 0xFC
        planted = webp(data[12:place] + riff_chunk(b"ANMF", bytes(frame)))
        assert strip_metadata(planted).data == data


PNG_LENGTHS = {"gAMA": 4, "cHRM": 32, "sRGB": 1, "sBIT": 3, "cICP": 4, "mDCV": 24, "cLLI": 8}


@pytest.mark.parametrize("name", sorted(PNG_LENGTHS))
@pytest.mark.parametrize("more", [-1, 1, 16, 2000])
def test_what_says_how_colours_are_meant_has_the_length_of_its_specification(name: str, more: int) -> None:
    """No text fits into it; of that length it stays, once."""
    data, size = pictures()["rgb.png"], PNG_LENGTHS[name]
    right = chunk(name.encode(), bytes(size))
    with_it = data[:33] + right + data[33:]
    assert strip_metadata(with_it).data is with_it
    text = SECRETS["a comment"] * 200
    hidden = chunk(name.encode(), bytes(size) + text[:more] if more > 0 else bytes(size + more))
    assert strip_metadata(data[:33] + hidden + data[33:]).data == data
    again = chunk(name.encode(), text[:size])
    assert strip_metadata(data[:33] + right + again + hidden + again + data[33:]).data == with_it


def test_a_palette_stays_where_pixels_need_it() -> None:
    """A picture without one may bring a palette all the same: 768 bytes that nobody decodes by."""
    palette = chunk(b"PLTE", SECRETS["a comment"].ljust(768, b"."))
    for name in ("rgb.png", "grey.png", "alpha.png"):
        data = pictures()[name]
        planted = data[:33] + palette + data[33:]
        assert pixels_of(planted) == pixels_of(data)
        assert strip_metadata(planted).data == data


PNG_PALETTE = pictures()["palette.png"]
BEHIND = PNG_PALETTE.index(b"PLTE") - 4
PALETTE = PNG_PALETTE[BEHIND : PNG_PALETTE.index(b"IDAT") - 4]
NEEDED = {
    "a palette that is longer than any": PNG_PALETTE.replace(PALETTE, chunk(b"PLTE", bytes(771))),
    "a palette of half a colour": PNG_PALETTE.replace(PALETTE, chunk(b"PLTE", bytes(500))),
    "two palettes": PNG_PALETTE.replace(PALETTE, PALETTE + PALETTE),
    "transparency that is longer than any": PNG_PALETTE.replace(
        PALETTE, PALETTE + chunk(b"tRNS", bytes(257))
    ),
    "two headers": PNG_PALETTE[:33] + PNG_PALETTE[8:33] + PNG_PALETTE[33:],
    "a longer header": PNG_PALETTE[:8] + chunk(b"IHDR", PNG_PALETTE[16:29] + b"text") + PNG_PALETTE[33:],
    "a header behind another chunk": PNG_PALETTE[:8] + chunk(b"gAMA", bytes(4)) + PNG_PALETTE[8:],
    "pixels apart": PNG_PALETTE[:-12] + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", b"text") + PNG_PALETTE[-12:],
    "transparency of another length": pictures()["rgb.png"][:33]
    + chunk(b"tRNS", bytes(20))
    + pictures()["rgb.png"][33:],
}


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_what_pixels_need_and_is_wrong_refuses_the_png(name: str) -> None:
    """To cut it would make another picture of it, and to keep it would keep what hides there."""
    with pytest.raises(BadPicture) as refused:
        strip_metadata(NEEDED[name])
    assert refused.value.reason == "truncated"


def with_profile(kind: str, profile: bytes) -> bytes:
    """A picture with this colour profile."""
    extra = {"lossless": True} if kind == "WEBP" else {}
    return encode(gradient(61, 47), kind, icc_profile=profile, **extra)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_colour_profile_stays_up_to_the_limit_and_as_long_as_it_says(kind: str) -> None:
    """What hides behind a profile goes with it, as does one of more bytes than printing presses' have."""
    for size in (128, 680, MOST_PROFILE):
        data = with_profile(kind, colour_profile(size))
        assert strip_metadata(data).data is data
    text = SECRETS["a comment"] * 40
    bare = strip_metadata(with_profile(kind, b"")).data
    for profile in (
        colour_profile(680) + text,
        colour_profile(680)[:-1],
        colour_profile(127),
        text,
        colour_profile(MOST_PROFILE + 1),
    ):
        data = with_profile(kind, profile)
        stripped = strip_metadata(data).data
        assert "icc_profile" not in opened(stripped).info
        assert pixels_of(stripped) == pixels_of(bare)
        assert len(stripped) <= len(bare) + 18  # the header of the extended WEBP form
        assert strip_metadata(stripped).data is stripped


def test_the_parts_of_a_profile_are_each_there_once() -> None:
    """A JPEG's profile comes in parts; a part too many, or one twice, is no profile, wherever it hides."""
    data = pictures()["long-profile.jpg"]
    bare = strip_metadata(encode(gradient(61, 47), "JPEG")).data
    first = data.index(b"ICC_PROFILE") - 4
    for part in (
        segment(0xE2, b"ICC_PROFILE\0\1\2" + SECRETS["a comment"]),
        segment(0xE2, b"ICC_PROFILE\0\3\3" + SECRETS["a comment"]),
        segment(0xE2, b"ICC_PROFILE\0"),
    ):
        assert strip_metadata(data[:first] + part + data[first:]).data == bare
    many = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes((n % 256, 0)) + b"text") for n in range(300))
    assert strip_metadata(bare[:20] + many + bare[20:]).data == bare


def test_the_name_and_the_end_of_a_pngs_profile_say_nothing() -> None:
    """Its name is a text, and behind its compressed bytes is room for more."""
    data = pictures()["profile.png"]
    place = data.index(b"iCCP")
    size = int.from_bytes(data[place - 4 : place])
    content, rest = data[place + 4 : place + 4 + size], data[place + 8 + size :]
    name, _, packed = content.partition(b"\0")
    assert name == b"ICC Profile"
    renamed = data[: place - 4] + chunk(b"iCCP", SECRETS["a comment"] + b"\0" + packed) + rest
    assert strip_metadata(renamed).data == data
    longer = data[: place - 4] + chunk(b"iCCP", content + SECRETS["a comment"]) + rest
    assert strip_metadata(longer).data == data[: place - 4] + rest
    twice = data[: place - 4] + chunk(b"iCCP", content) * 2 + rest
    assert strip_metadata(twice).data == data


@pytest.mark.parametrize("name", ["cmyk.jpg", "rgb-inside.jpg", "colour-1.jpg"])
def test_of_markers_that_come_twice_the_one_that_decoders_heed_stays(name: str) -> None:
    """Hundreds of headers would be a letter of nine bytes a line."""
    data = pictures()[name]
    clean = strip_metadata(data).data
    jfif = b"".join(segment(0xE0, b"JFIF\0" + bytes((n, 1, 0, 0, 1, 0, 1, 0, 0))) for n in range(200))
    adobe = b"".join(segment(0xEE, b"Adobe" + bytes((n, 0, 0, 0, 0, 0, n % 3))) for n in range(200))
    planted = data[:2] + (jfif if b"JFIF" in data else b"") + (adobe if b"Adobe" in data else b"") + data[2:]
    assert pixels_of(planted) == pixels_of(data)
    assert strip_metadata(planted).data == clean


def test_a_webp_header_has_no_bit_that_says_nothing() -> None:
    """Reserved bits, an animation's longer header, a second one of any chunk."""
    data = strip_metadata(pictures()["animated.webp"]).data
    anim = data.index(b"ANIM")
    frame = data[anim + 14 :]
    header = bytes((data[20] | 0xC1, 1, 2, 3)) + data[24:30] + SECRETS["a comment"]
    longer = riff_chunk(b"ANIM", data[anim + 8 : anim + 14] + SECRETS["a comment"])
    planted = riff_chunk(b"VP8X", header) + longer + longer + frame + riff_chunk(b"VP8X", header) + frame
    assert strip_metadata(webp(planted)).data == data


COLOURING = st.tuples(
    st.sampled_from([*PNG_LENGTHS, "PLTE", "tRNS", "iCCP", "acTL", "fcTL", "fdAT", "IHDR", "tEXt"]),
    st.one_of(st.binary(max_size=40), st.integers(0, 33).map(bytes)),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        ["rgb.png", "palette.png", "grey.png", "alpha.png", "deep.png", "transparent-palette.png"]
    ),
    st.lists(COLOURING, max_size=5),
)
def test_whatever_a_png_brings_the_pixels_are_the_same_or_it_is_refused(
    name: str, brought: list[tuple[str, bytes]]
) -> None:
    """Nothing that is cut makes Pillow see other pixels."""
    data = pictures()[name]
    place = data.index(b"IDAT") - 4
    planted = (
        data[:place] + b"".join(chunk(each.encode(), content) for each, content in brought) + data[place:]
    )
    try:
        stripped = strip_metadata(planted).data
        before = pixels_of(planted)
    except (BadPicture, OSError, SyntaxError, ValueError, struct.error, IndexError):
        return
    assert pixels_of(stripped)[:3] == before[:3]


@pytest.mark.parametrize("name", ["progressive.jpg", "palette.png", "alpha.webp"])
def test_bytes_in_the_end_marker_and_behind_it_are_cut(name: str) -> None:
    """Megabytes behind the end are gone, whatever they are."""
    data = pictures()[name]
    for tail in (b"\0", b"\xff\xd9" * 9, data, b"x" * 2_000_000):
        assert strip_metadata(data + tail).data == data


def test_a_longer_adobe_marker_keeps_what_decoders_read() -> None:
    """Adobe's marker stays with its transform, without what hides behind it."""
    data = pictures()["cmyk.jpg"]
    place = data.index(b"\xff\xee")
    marker = data[place + 4 : place + 16]
    planted = data[:place] + segment(0xEE, marker + SECRETS["a comment"]) + data[place + 16 :]
    assert strip_metadata(planted).data == data
    assert opened(data).info["adobe_transform"] == opened(planted).info["adobe_transform"]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [*range(10), 300])
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_what_pillow_reads(format_: str, orientation: int, order: str) -> None:
    """In each byte order, with a senseless value counting as upright."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    block = head + struct.pack(order + "LHHHLHHL", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    data = encode(gradient(16, 12), format_, exif=b"Exif\0\0" + block)
    assert strip_metadata(data).orientation == orientation_by_pillow(data)
    assert strip_metadata(data).orientation == (orientation if 1 <= orientation <= 8 else 1)


def text_profile(orientation: int) -> bytes:
    """Write EXIF as ImageMagick does."""
    block = exif(orientation)
    return b"\nexif\n%8d\n" % len(block) + block.hex().encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0key\0" + zlib.compress(XMP)),
        (b"tEXt", b"Raw profile type exif\0" + text_profile(8)),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text_profile(8))),
    ],
)
def test_orientation_in_a_text_of_a_png_is_what_pillow_reads(name: bytes, content: bytes) -> None:
    """XMP and EXIF written as text count, before and behind the pixels."""
    data = encode(gradient(16, 12))
    for place in (33, len(data) - 12):
        planted = data[:place] + chunk(name, content) + data[place:]
        assert strip_metadata(planted).orientation == orientation_by_pillow(planted) == 8
        assert strip_metadata(planted).data == data


@pytest.mark.parametrize("compressed", [False, True])
def test_of_several_texts_of_a_png_the_last_counts_as_for_pillow(compressed: bool) -> None:
    """However they are stored; a text of another key changes nothing."""

    def text(orientation: bytes) -> bytes:
        xmp = XMP.replace(b"8", orientation)
        stored = b"\1\0\0\0" + zlib.compress(xmp) if compressed else b"\0\0\0\0" + xmp
        return chunk(b"iTXt", b"XML:com.adobe.xmp\0" + stored)

    data = encode(gradient(16, 12))
    another = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(XMP))
    planted = data[:33] + text(b"3") + text(b"5") + text(b"6") + another + data[33:]
    assert strip_metadata(planted).orientation == orientation_by_pillow(planted) == 6


@pytest.mark.parametrize("format_", ["JPEG", "WEBP"])
def test_orientation_in_xmp_is_what_pillow_reads(format_: str) -> None:
    """XMP counts where EXIF has no orientation, and EXIF where it has one."""
    for block, expected in ((b"", 8), (b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0", 8), (exif(3), 3)):
        data = encode(gradient(16, 12), format_, xmp=XMP, exif=block)
        assert strip_metadata(data).orientation == orientation_by_pillow(data) == expected


ENTRY = st.tuples(
    st.sampled_from([0x0112, 0x0112, 0x010F, 0x011A]),
    st.sampled_from([3, 3, 3, *range(18)]),
    st.sampled_from([1, 1, 1, 0, 2, 3, 100, 2**31]),
    st.one_of(
        st.integers(0, 120), st.integers(0, 9).map(lambda value: value << 16), st.integers(0, 2**32 - 1)
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from("<>"),
    st.lists(ENTRY, max_size=4),
    st.sampled_from([8, 8, 8, 9, 400]),
    st.binary(max_size=60),
    st.integers(0, 40),
    st.sampled_from([encode(gradient(16, 12), "JPEG"), encode(gradient(16, 12)), b"webp"]),
)
def test_orientation_in_any_exif_block_is_what_pillow_reads(
    order: str, entries: list[tuple[int, int, int, int]], start: int, tail: bytes, cut: int, picture: bytes
) -> None:
    """Whatever a directory says, of whatever type, and wherever it breaks off."""
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "LH", start, len(entries))
    block += b"".join(struct.pack(order + "HHLL", *entry) for entry in entries) + bytes(4) + tail
    block = block[: len(block) - cut] if cut < 30 else block
    if picture.startswith(b"\xff\xd8"):
        data = picture[:2] + segment(0xE1, b"Exif\0\0" + block) + picture[2:]
    elif picture == b"webp":
        plain = encode(gradient(16, 12), "WEBP")
        flags = riff_chunk(b"VP8X", b"\x08\0\0\0\x0f\0\0\x0b\0\0")
        data = webp(flags + plain[12:] + riff_chunk(b"EXIF", block))
    else:
        data = picture[:33] + chunk(b"eXIf", block) + picture[33:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = orientation_by_pillow(data)
        except OSError:  # Pillow takes some resolutions for damage, and refuses the picture
            return
    assert strip_metadata(data).orientation == expected


BAD = {
    "nothing": (b"", "empty"),
    "text": (b"image_path,label\n", "not_an_image"),
    "a GIF": (encode(gradient(9, 9), "GIF"), "not_an_image"),
    "a JPEG's first bytes": (b"\xff\xd8\xff", "truncated"),
    "a JPEG without an end": (pictures()["colour-1.jpg"][:-2], "truncated"),
    "a JPEG within a segment": (pictures()["profile.jpg"][:300], "truncated"),
    "a JPEG without a frame": (b"\xff\xd8" + segment(0xDA, b"") + b"\xff\xd9", "truncated"),
    "a JPEG without a scan": (b"\xff\xd8\xff\xd9\0\0", "truncated"),
    "two JPEGs in one": (
        pictures()["grey.jpg"][:-2] + pictures()["grey.jpg"][2:],
        "truncated",
    ),
    "a PNG without an end": (pictures()["rgb.png"][:-12], "truncated"),
    "a PNG without pixels": (pictures()["rgb.png"][:33] + pictures()["rgb.png"][-12:], "truncated"),
    "a PNG with a damaged name": (pictures()["palette.png"].replace(b"PLTE", b"pLTE"), "truncated"),
    "a WEBP file that ends early": (pictures()["rgb.webp"][:-1], "truncated"),
    "a WEBP file with another picture": (webp(riff_chunk(b"ALPH", b"abcd")), "truncated"),
    "a WEBP file of nothing": (webp(b""), "truncated"),
    "a WEBP file with a short header": (webp(riff_chunk(b"VP8X", bytes(4)) + bytes(8)), "truncated"),
    "a frame with a damaged name": (pictures()["animated.webp"].replace(b"VP8 ", b"VP7 ", 1), "truncated"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_cannot_be_taken_apart_is_refused(name: str) -> None:
    """With a reason and a sentence."""
    data, reason = BAD[name]
    with pytest.raises(BadPicture) as refused:
        strip_metadata(data)
    assert refused.value.reason == reason
    assert len(refused.value.message) > 20


def test_a_bomb_is_measured_and_not_decoded() -> None:
    """The size in a header is told, whatever it is."""
    stripped = strip_metadata(bomb())
    assert (stripped.width, stripped.height) == (60_000, 60_000)


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again, until there are so many."""
    data = pictures()["progressive-grey.jpg"]
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda")) + data[-2:]


def test_a_jpeg_of_many_scans_is_refused_and_not_decoded() -> None:
    """Each costs a pass over all pixels, and a few bytes; as many as the limit are taken as they are."""
    honest = with_scans(MOST_SCANS)
    assert strip_metadata(honest).data is honest
    for count in (MOST_SCANS + 1, 6_000):
        with pytest.raises(BadPicture) as refused:
            strip_metadata(with_scans(count))
        assert refused.value.reason == "too_many_scans"
        assert str(MOST_SCANS) in refused.value.message


LONG = {
    "fill bytes": b"\xff\xd8" + b"\xff" * 3_000_000,
    "fill bytes in a scan": pictures()["grey.jpg"][:-2] + b"\xff" * 3_000_000 + b"\0\xff\xd9",
    "junk": b"\xff\xd8\xff" + b"\0" * 3_000_000,
    "tiny segments": b"\xff\xd8" + segment(0xE1, b"Exif\0\0.") * 200_000 + pictures()["grey.jpg"][2:],
    "tiny chunks": pictures()["rgb.png"][:33] + chunk(b"tEXt", b"") * 200_000 + pictures()["rgb.png"][33:],
    "tiny RIFF chunks": webp(
        riff_chunk(b"VP8X", bytes(10)) + riff_chunk(b"OWN ", b"") * 200_000 + pictures()["rgb.webp"][12:]
    ),
    "an inflating text": pictures()["rgb.png"][:33]
    + chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\n" * 50_000_000))
    + pictures()["rgb.png"][33:],
    "many inflating texts": pictures()["rgb.png"][:33]
    + chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(bytes(2**20))) * 4_000
    + pictures()["rgb.png"][33:],
}


@pytest.mark.parametrize("name", sorted(LONG))
def test_no_picture_takes_long(name: str) -> None:
    """Megabytes of what is skipped are skipped in time that grows with their number, no faster."""
    started = time.process_time()
    try:
        stripped = strip_metadata(LONG[name])
    except BadPicture:
        pass
    else:
        assert len(stripped.data) < 1_000_000 or name == "fill bytes in a scan"
    assert time.process_time() - started < 3


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(sorted(pictures())),
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_no_bytes_raise_anything_else(
    name: str, planted: bool, changes: list[tuple[float, int]], kept: float
) -> None:
    """Whatever is done to a picture, it is refused, or stripped so that nothing more can be cut."""
    data = bytearray(PLANT[name.split(".")[1]](pictures()[name]) if planted else pictures()[name])
    for place, value in changes:
        data[int(place**3 * (len(data) - 1))] = value  # most of them in the header
    try:
        stripped = strip_metadata(bytes(data[: int(len(data) * kept)]))
    except BadPicture:
        return
    again = strip_metadata(stripped.data)
    assert again.data is stripped.data
    assert again[1:4] == stripped[1:4]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8X", pictures()["grey.jpg"][:600]]
    ),
    st.binary(max_size=300),
)
def test_random_bytes_are_refused_or_stripped(head: bytes, tail: bytes) -> None:
    """No other exception comes from random bytes, behind a true beginning or alone."""
    try:
        stripped = strip_metadata(head + tail)
    except BadPicture as refused:
        assert refused.message
        return
    assert strip_metadata(stripped.data).data is stripped.data

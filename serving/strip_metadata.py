"""Cut out of an encoded picture what is not the picture: nothing is decoded, nothing encoded again.

Gone are EXIF, GPS, maker notes, XMP, IPTC, comments, thumbnails, text, unknown chunks, further pictures,
an animation's later frames and whatever follows the end. The pixels decode the same; the colour profile and
Adobe's marker stay. What stays besides pixels is there once, and as long as its specification says. The
orientation, which is cut with the EXIF block, is read on the way. ``tests/serving/test_strip_metadata.py``
compares pixels and orientation with Pillow's.
"""

import re
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, NoReturn

from serving.bad_picture import BadPicture

FORMATS = ("JPEG", "PNG", "WEBP")
Format = Literal["JPEG", "PNG", "WEBP"]

ORIENTATIONS = range(1, 9)
ORIENTATION_TAG = 0x0112
EXIF = b"Exif\0\0"
EXIF_PREFIX = re.compile(rb"^(?:Exif\0\0){1,2}")
TIFF_ORDERS = {  # Pillow's, which reads two that no standard knows
    b"II\x2a\x00": "<",
    b"II\x00\x2a": "<",
    b"MM\x00\x2a": ">",
    b"MM\x2a\x00": ">",
    b"MM\x00\x2b": ">",
}
TIFF_HEADER, TIFF_ENTRY, IN_ENTRY = 8, 12, 4
TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
TIFF_NUMBERS = {3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 11: "f", 12: "d", 13: "L", 16: "Q"}
TIFF_FRACTIONS = {5: "2L", 10: "2l"}
UNREADABLE = b"\0"
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')

PROFILE_HEADER, PROFILE_SIGNATURE, PROFILE_SIGNED = 128, b"acsp", slice(36, 40)
MOST_PROFILE = 1_000_000
"""Bytes of a colour profile that stays; of a PNG's Pillow reads hardly more. Those of cameras and monitors
have thousands, Adobe's for printing presses some 650,000."""

SOI = b"\xff\xd8"
SOS, DNL, APP0, APP1, APP2, APP14, APP15, COM = 0xFFDA, 0xFFDC, 0xFFE0, 0xFFE1, 0xFFE2, 0xFFEE, 0xFFEF, 0xFFFE
EOI, FILL = 0xD9, 0xFF  # a marker's second byte, and what may stand before its first
FRAMES = frozenset(range(0xFFC0, 0xFFD0)) - {0xFFC4, 0xFFC8, 0xFFCC}
TABLES = frozenset((0xFFC4, 0xFFCC, 0xFFDB, 0xFFDD, SOS))
CUT = frozenset((*range(APP0, APP15 + 1), COM, DNL))  # no decoder needs DNL where the frame has a height
SEGMENTS = FRAMES | TABLES | CUT
MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""What ends entropy-coded data: neither a stuffed byte nor a restart marker."""
MARKER_OR_DAMAGE = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
SIZE_BYTES = 2
MARKER_AND_SIZE = struct.Struct(">HH").unpack_from
FRAME_SIZE = struct.Struct(">HH").unpack_from
JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
JFIF, JFIF_HEAD, NO_THUMBNAIL, JFIF_BYTES = b"JFIF\0", b"\xff\xe0\x00\x10", b"\0\0", 18
MOST_SCANS = 100
"""Of a JPEG. Each costs a decoder a pass over all pixels, however few bytes it has: 17 ms at 7,000 × 7,000.
Those of libjpeg, which cameras and editors use, have 10, of a picture in CMYK 18."""
ICC, ICC_BYTES, MOST_PARTS = b"ICC_PROFILE\0", 14, 255  # with the number of the part, from 1, and of parts
ADOBE, ADOBE_HEAD, ADOBE_BYTES = b"Adobe", b"\xff\xee\x00\x0e", 16

PNG = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
PNG_HEADER = (13, b"IHDR")
PNG_FIRST, PNG_AROUND = 33, 12  # where the chunk behind the header begins; size, name and checksum of a chunk
PNG_COLOUR_TYPE = 25  # where it stands in the file
PNG_NEEDED: dict[bytes, dict[int, range]] = {
    b"PLTE": {3: range(3, 769, 3)},
    b"tRNS": {0: range(2, 3), 2: range(6, 7), 3: range(257)},
}
"""What pixels cannot do without: the lengths that it may have, by the colour types that need it."""
PNG_COLOURS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8}
"""What says how the colours of the pixels are meant, with its length. Nobody decodes by it."""
PNG_DEPTHS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""The length of sBIT, which says it, too, by colour type."""
PNG_PROFILE_NAME = b"ICC Profile"
"""Pillow's; what another writer called a profile is a text."""
PNG_CHUNK = struct.Struct(">I4s").unpack_from
PNG_SIZE = struct.Struct(">II").unpack_from
PNG_NAME = re.compile(rb"\w{4}").fullmatch
PNG_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
PNG_PROFILE, PNG_XMP = b"Raw profile type exif", b"XML:com.adobe.xmp"
MOST_TEXT = 2**20
"""Bytes of inflated text; Pillow refuses a picture with more."""

RIFF_HEADER, RIFF_CHUNK_HEADER, VP8X_BYTES, ANIM_BYTES, ANMF_BYTES = 12, 8, 10, 6, 16
RIFF = struct.Struct("<4sI")
RIFF_CHUNK = RIFF.unpack_from
WEBP_FRAME = frozenset((b"VP8 ", b"VP8L", b"ALPH"))
WEBP_KEPT = WEBP_FRAME | {b"VP8X", b"ICCP", b"ANIM", b"ANMF"}
IS_ANIMATED, HAS_XMP, HAS_EXIF, HAS_ALPHA, HAS_ICC = 0x02, 0x04, 0x08, 0x10, 0x20
BLENDING = 0x03
"""The bits of a frame's last byte that say something."""
VP8_START, VP8L_START = b"\x9d\x01\x2a", b"\x2f"
VP8_SIZE, VP8_SIDE = struct.Struct("<HH").unpack_from, 0x3FFF


class Stripped(NamedTuple):
    """A picture without metadata; ``data`` is the very object that was given where nothing had to go.

    ``width`` and ``height`` are as encoded, before ``orientation`` (1 to 8) is applied.
    """

    data: bytes
    format: Format
    width: int
    height: int
    orientation: int


class _Text(NamedTuple):
    """A text of a PNG as it is stored."""

    stored: bytes
    compressed: bool


def strip_metadata(data: bytes) -> Stripped:
    """Cut the metadata out of a picture, in one pass over its segments or chunks.

    Args:
        data: a JPEG, PNG or WEBP file.

    Returns:
        The picture, its size and the orientation that its metadata asked for: 1 where there is none or it
        cannot be read. Stripping that again changes nothing.

    Raises:
        BadPicture: the bytes are none of the three (``not_an_image``), or their container is damaged or ends
            early (``truncated``), or there are none (``empty``), or they are a JPEG of more than
            ``MOST_SCANS`` (``too_many_scans``). Pixels may be damaged all the same.
    """
    try:
        if data[:3] == b"\xff\xd8\xff":
            return _strip_jpeg(data)
        if data[:8] == PNG:
            return _strip_png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _strip_webp(data)
    except (struct.error, IndexError) as error:  # a header reaches over the end
        raise BadPicture("truncated", "the picture is truncated: it ends within a header") from error
    if not data:
        raise BadPicture("empty", "the picture is empty (0 bytes)")
    raise BadPicture("not_an_image", f"the bytes are no {', '.join(FORMATS)} picture")


class _Cut:
    """A picture's bytes, less what is cut out of them."""

    def __init__(self, data: bytes) -> None:
        self._data, self._cuts = data, dict[int, tuple[int, bytes]]()

    def out(self, start: int, end: int, instead: bytes = b"") -> None:
        """Cut the bytes from ``start`` to ``end``, and put others in their place; the last word counts."""
        self._cuts[start] = (end, instead)

    def until(self, end: int) -> bytes:
        """The bytes up to ``end`` that are left."""
        if not self._cuts and end == len(self._data):
            return self._data
        parts, place = list[bytes](), 0
        for start, (behind, instead) in sorted(self._cuts.items()):
            parts += (self._data[place:start], instead)
            place = behind
        return b"".join((*parts, self._data[place:end]))


def _refuse(what: str) -> NoReturn:
    raise BadPicture("truncated", f"the picture is truncated or damaged: {what}")


def _is_profile(profile: bytes) -> bool:
    """Whether this is a colour profile of the size that it states, and of a size that may stay."""
    return (
        PROFILE_HEADER <= len(profile) <= MOST_PROFILE
        and int.from_bytes(profile[:4]) == len(profile)
        and profile[PROFILE_SIGNED] == PROFILE_SIGNATURE
    )


def _strip_jpeg(data: bytes) -> Stripped:
    cut = _Cut(data)
    stays: dict[int, list[tuple[int, int]]] = {}
    exif: list[bytes] = []
    xmp = b""
    width = height = marker = 0
    place = len(SOI)
    while marker != SOS:
        place, marker, end = _segment(data, place, cut)
        if marker in CUT:
            segment = data[place:end]
            kept = _kept_of_segment(marker, segment)
            if kept != segment:
                cut.out(place, end, kept)
            if kept:
                stays.setdefault(marker, []).append((place, end))
            elif marker == APP1 and segment.startswith(EXIF, 4):
                exif.append(segment[4 + len(EXIF) :])
            elif marker == APP1 and segment.startswith(JPEG_XMP, 4):
                xmp = segment[4 + len(JPEG_XMP) :]
        elif marker in FRAMES:
            height, width = FRAME_SIZE(data, place + 5)
        place = end
    if not width or not height:
        _refuse("the JPEG has no size")
    for start, end in _surplus(data, stays):
        cut.out(start, end)
    stripped = cut.until(_end_of_jpeg(data, place, cut))
    orientation = _orientation(EXIF + b"".join(exif) if exif else None, xmp)
    return Stripped(stripped, "JPEG", width, height, orientation)


def _segment(data: bytes, place: int, cut: _Cut) -> tuple[int, int, int]:
    """Find the next segment of a JPEG: where it begins, its marker, where it ends."""
    marker, size = MARKER_AND_SIZE(data, place)
    if marker not in SEGMENTS:
        place = _next_marker(data, place, cut)
        marker, size = MARKER_AND_SIZE(data, place)
        if marker not in SEGMENTS:
            _refuse(f"the JPEG has a marker {marker:04X} where none may be")
    end = place + 2 + size
    if size < SIZE_BYTES or end > len(data):
        _refuse(f"the JPEG's segment {marker:04X} has {size:,} bytes, {len(data) - place - 2:,} are there")
    return place, marker, end


def _next_marker(data: bytes, place: int, cut: _Cut) -> int:
    """Cut what lies before the next marker, as decoders skip it: fill bytes and any others."""
    found = MARKER_OR_DAMAGE.search(data, place)
    if found is None:
        _refuse("the JPEG has no end marker")
    if found.start() > place:
        cut.out(place, found.start())
    return found.start()


def _kept_of_segment(marker: int, segment: bytes) -> bytes:
    """What stays of a segment that is no table: all of it, what decoders read of it, or nothing."""
    if marker == APP0 and segment.startswith(JFIF, 4) and len(segment) >= JFIF_BYTES:
        return JFIF_HEAD + segment[4 : JFIF_BYTES - 2] + NO_THUMBNAIL
    if marker == APP2 and segment.startswith(ICC, 4):
        return segment
    if marker == APP14 and segment.startswith(ADOBE, 4) and len(segment) >= ADOBE_BYTES:
        return ADOBE_HEAD + segment[4:ADOBE_BYTES]
    return b""


def _surplus(data: bytes, stays: Mapping[int, Sequence[tuple[int, int]]]) -> Iterator[tuple[int, int]]:
    """Where the segments lie that could stay, by marker, and do not: decoders heed the last of several."""
    for marker, places in stays.items():
        if marker != APP2:
            yield from places[:-1]
        elif not _are_profile(data, places):
            yield from places


def _are_profile(data: bytes, places: Sequence[tuple[int, int]]) -> bool:
    """Whether these segments are one colour profile, each part of it once."""
    parts = sorted(data[start + 4 : end] for start, end in places)
    numbers = [part[len(ICC) : ICC_BYTES] for part in parts]
    if len(parts) > MOST_PARTS or numbers != [bytes((n + 1, len(parts))) for n in range(len(parts))]:
        return False
    return _is_profile(b"".join(part[ICC_BYTES:] for part in parts))


def _end_of_jpeg(data: bytes, scan: int, cut: _Cut) -> int:
    """Go from scan to scan, the first of which begins at ``scan``; return where the end marker ends."""
    for _ in range(MOST_SCANS):
        found = MARKER.search(data, scan)
        if found is None:
            _refuse("the JPEG has no end marker")
        place = found.start()
        while place > scan and data[place - 1] == FILL:
            place -= 1
        marker = 0
        while marker != SOS:
            place = _next_marker(data, place, cut)
            if data[place + 1] == EOI:
                return place + 2
            place, marker, end = _segment(data, place, cut)
            if marker in FRAMES:
                _refuse("the JPEG has a second frame")
            if marker in CUT:
                cut.out(place, end)
            place = end
        scan = place
    raise BadPicture(
        "too_many_scans", f"the JPEG comes in more than {MOST_SCANS} scans, which is the limit; save it anew"
    )


def _strip_png(data: bytes) -> Stripped:
    cut = _Cut(data)
    metadata: list[tuple[bytes, bytes]] = []
    if PNG_CHUNK(data, len(PNG)) != PNG_HEADER:
        _refuse("the PNG does not begin with its header of 13 bytes")
    width, height = PNG_SIZE(data, len(PNG) + 8)
    place, name, seen = PNG_FIRST, b"", set[bytes]()
    while name != b"IEND":
        before = name
        size, name = PNG_CHUNK(data, place)
        end = place + PNG_AROUND + size
        if name == b"IEND":
            if data[place:] != PNG_END:
                cut.out(place, len(data), PNG_END)
        elif end > len(data) or not PNG_NAME(name):
            _refuse(
                f"the PNG's chunk {name!r} has {size:,} bytes, {len(data) - place - PNG_AROUND:,} are there"
            )
        elif name != b"IDAT":
            chunk = data[place:end]
            kept = _kept_of_chunk(name, chunk, data[PNG_COLOUR_TYPE], seen)
            if kept != chunk:
                _check_sum(data, place, end)
                cut.out(place, end, kept)
                metadata.append((name, chunk[8:-4]))
        elif before != name and name in seen:
            _refuse("the PNG's pixels are in chunks apart")
        seen.add(name)
        place = end
    if b"IDAT" not in seen or not width or not height:
        _refuse("the PNG has no pixels")
    return Stripped(cut.until(len(data)), "PNG", width, height, _png_orientation(metadata))


def _kept_of_chunk(name: bytes, chunk: bytes, colours: int, seen: Collection[bytes]) -> bytes:
    """What stays of a PNG's chunk that holds no pixels: all of it, its colour profile, or nothing.

    Args:
        name: of the chunk.
        chunk: all of it.
        colours: the picture's colour type.
        seen: the names of the chunks before it.
    """
    size = len(chunk) - PNG_AROUND
    lengths = PNG_NEEDED.get(name, {}).get(colours)
    if name == b"IHDR" or (lengths is not None and (name in seen or size not in lengths)):
        _refuse(f"the PNG's chunk {name!r} is there twice, or its {size:,} bytes are no length of it")
    if lengths is not None:
        return chunk
    if name in seen:
        return b""
    if name == b"iCCP":
        return _kept_of_profile(chunk)
    stated = PNG_DEPTHS.get(colours) if name == b"sBIT" else PNG_COLOURS.get(name)
    return chunk if size == stated else b""


def _kept_of_profile(chunk: bytes) -> bytes:
    """A PNG's chunk of a colour profile without the name that its writer gave it; nothing if it is none."""
    name, _, packed = chunk[8:-4].partition(b"\0")
    inflating = zlib.decompressobj()
    try:
        profile = inflating.decompress(packed[1:], MOST_PROFILE + 1)
    except zlib.error:
        return b""
    whole = inflating.eof and not inflating.unused_data and packed[:1] == b"\0"
    if not whole or not _is_profile(profile):
        return b""
    if name == PNG_PROFILE_NAME:
        return chunk
    named = b"iCCP" + PNG_PROFILE_NAME + b"\0" + packed
    return struct.pack(">I", len(named) - 4) + named + struct.pack(">I", zlib.crc32(named))


def _check_sum(data: bytes, place: int, end: int) -> None:
    """Refuse a chunk with a wrong checksum: it may be one of pixels whose name was damaged."""
    found, stated = zlib.crc32(data[place + 4 : end - 4]), int.from_bytes(data[end - 4 : end])
    if found != stated:
        _refuse(f"the PNG's chunk {data[place + 4 : place + 8]!r} has checksum {found:08x}, not {stated:08x}")


def _png_orientation(metadata: list[tuple[bytes, bytes]]) -> int:
    """What a PNG's metadata ask for. Of texts with the same key the last one counts, and only it is inflated.

    However many there are, no more than two are, of which each is bounded.
    """
    exif: bytes | None = None
    texts: dict[bytes, _Text] = {}
    for name, content in metadata:
        if name == b"eXIf":
            exif = EXIF + content
        elif name in PNG_TEXTS:
            texts.update(_text(name, content))
    if exif is None and PNG_PROFILE in texts:
        exif = _from_hexadecimal(_inflated(texts[PNG_PROFILE]))
    return _orientation(exif, _inflated(texts[PNG_XMP]) if PNG_XMP in texts else b"")


def _text(name: bytes, content: bytes) -> dict[bytes, _Text]:
    """What a PNG's text chunk says of the orientation: nothing, an EXIF profile or XMP, by its key."""
    key, _, text = content.partition(b"\0")
    if key not in (PNG_PROFILE, PNG_XMP):
        return {}
    compressed = name == b"zTXt"
    if name == b"zTXt":
        text = text[1:]
    elif name == b"iTXt":
        compressed = text[:1] != b"\0"
        *language_and_key, text = text[2:].split(b"\0", 2)
        if len(language_and_key) != 2:  # noqa: PLR2004 - the language, and the key in that language
            return {}
    return {key: _Text(text, compressed)}


def _inflated(text: _Text) -> bytes:
    """What a text says; nothing where it is damaged."""
    if not text.compressed:
        return text.stored
    try:
        return zlib.decompressobj().decompress(text.stored, MOST_TEXT)
    except zlib.error:
        return b""


def _from_hexadecimal(profile: bytes) -> bytes:
    """The EXIF block that ImageMagick wrote as text: two lines of title, one with the size, then digits."""
    try:
        return bytes.fromhex(b"".join(profile.split(b"\n")[3:]).decode("latin-1"))
    except ValueError:
        return UNREADABLE


def _strip_webp(data: bytes) -> Stripped:
    end = RIFF_CHUNK_HEADER + RIFF_CHUNK(data)[1]
    if end > len(data):
        _refuse(f"the WEBP file has {end:,} bytes, {len(data):,} are there")
    kept: dict[bytes, bytes] = {}
    exif: bytes | None = None
    xmp: bytes | None = None
    width, height = _size_of_webp(data)
    extended = data[12:16] == b"VP8X"
    flags = data[RIFF_HEADER + RIFF_CHUNK_HEADER] if extended else 0
    for name, content in _riff_chunks(data, RIFF_HEADER, end):
        if name == b"EXIF" and flags & HAS_EXIF and exif is None:
            exif = content
        elif name == b"XMP " and flags & HAS_XMP and xmp is None:
            xmp = content
        elif name in WEBP_KEPT and name not in kept:  # of an animation's frames the first
            kept[name] = content
        if not extended:  # one chunk is the whole picture
            break
    chunks = b"".join(_riff_chunk(name, content) for name, content in _kept_of_webp(kept, flags))
    stripped = RIFF.pack(b"RIFF", 4 + len(chunks)) + b"WEBP" + chunks
    if stripped == data:
        stripped = data
    return Stripped(stripped, "WEBP", width, height, _orientation(exif, xmp or b""))


def _kept_of_webp(chunks: Mapping[bytes, bytes], flags: int) -> Iterator[tuple[bytes, bytes]]:
    """What stays of the chunks of a WEBP file, by name, that hold a picture or say how it is meant."""
    profile = bool(flags & HAS_ICC) and _is_profile(chunks.get(b"ICCP", b""))
    flags &= IS_ANIMATED | HAS_ALPHA | (HAS_ICC if profile else 0)
    for name, content in chunks.items():
        if name == b"VP8X":
            yield name, bytes((flags, 0, 0, 0)) + content[4:VP8X_BYTES]
        elif name == b"ANIM":
            yield name, content[:ANIM_BYTES]
        elif name == b"ANMF":
            yield name, _frame(content)
        elif name != b"ICCP" or profile:
            yield name, content


def _riff_chunks(data: bytes, place: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of each chunk from ``place`` to ``end``."""
    while place < end:
        name, size = RIFF_CHUNK(data, place)
        start = place + RIFF_CHUNK_HEADER
        place = start + size + size % 2
        if place > end:
            _refuse(f"the WEBP chunk {name!r} has {size:,} bytes, {max(0, end - start):,} are there")
        yield name, data[start : start + size]


def _riff_chunk(name: bytes, content: bytes) -> bytes:
    return RIFF.pack(name, len(content)) + content + b"\0" * (len(content) % 2)


def _frame(content: bytes) -> bytes:
    """The content of one frame of an animation, without what follows its picture."""
    kept = [content[: ANMF_BYTES - 1], bytes((content[ANMF_BYTES - 1] & BLENDING,))]
    for name, inner in _riff_chunks(content, ANMF_BYTES, len(content)):
        if (
            name not in WEBP_FRAME
        ):  # a damaged name, perhaps: without that chunk another picture would come out
            _refuse(f"a frame of the WEBP file begins with a chunk {name!r}")
        kept.append(_riff_chunk(name, inner))
        if name != b"ALPH":
            break
    return b"".join(kept)


def _size_of_webp(data: bytes) -> tuple[int, int]:
    name, header = data[12:16], data[20:30]
    if name == b"VP8X" and len(header) == VP8X_BYTES <= RIFF_CHUNK(data, RIFF_HEADER)[1]:
        return int.from_bytes(header[4:7], "little") + 1, int.from_bytes(header[7:10], "little") + 1
    if name == b"VP8 " and header[3:6] == VP8_START:
        width, height = VP8_SIZE(header, 6)
        return width & VP8_SIDE, height & VP8_SIDE
    if name == b"VP8L" and header[:1] == VP8L_START:
        bits = int.from_bytes(header[1:5], "little")
        return (bits & VP8_SIDE) + 1, (bits >> 14 & VP8_SIDE) + 1
    _refuse("the WEBP file has no size")


def _orientation(exif: bytes | None, xmp: bytes) -> int:
    """The orientation that EXIF or else XMP asks for, as Pillow reads it; what is damaged asks for none."""
    value = _exif_orientation(exif) if exif is not None else None
    if value is None:
        found = XMP_ORIENTATION.search(xmp)
        value = int(found[1]) if found else 1
    return int(value) if value in ORIENTATIONS else 1


def _exif_orientation(exif: bytes) -> float | None:
    """The first orientation in a TIFF file's first directory: None if there is none, 1 in a damaged file."""
    tiff = EXIF_PREFIX.sub(b"", exif)
    if not tiff:
        return None
    order = TIFF_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < TIFF_HEADER:
        return 1
    try:
        (start,) = struct.unpack_from(order + "L", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, start)
        read, seen = 0, set()
        for number in range(entries):
            entry = start + 2 + number * TIFF_ENTRY
            tag, kind, count, _ = struct.unpack_from(order + "HHL4s", tiff, entry)
            size = count * TIFF_SIZES.get(kind, 0)
            place = entry + 8
            if not size or tag in seen:
                continue
            if size > IN_ENTRY:
                read += size
                if read > len(tiff):
                    continue
                (place,) = struct.unpack_from(order + "L", tiff, place)
            if place + size > len(tiff):
                return None
            if tag == ORIENTATION_TAG:
                return _number(tiff, place, order, kind)
            seen.add(tag)
    except struct.error:  # the directory reaches over the end: what was read until there counts
        pass
    return None


def _number(tiff: bytes, place: int, order: str, kind: int) -> float:
    """A TIFF value's first number; 1 where it is text or bytes."""
    if kind in TIFF_FRACTIONS:
        numerator, denominator = struct.unpack_from(order + TIFF_FRACTIONS[kind], tiff, place)
        return numerator / denominator if denominator else 1
    if kind in TIFF_NUMBERS:
        (number,) = struct.unpack_from(order + TIFF_NUMBERS[kind], tiff, place)
        return float(number)
    return 1

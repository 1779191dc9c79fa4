"""What comes back is what went in, less its metadata; nothing that was cut is left in the store."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from benchmarks.claim import Claim, at_most
from benchmarks.dataset.generated import jpeg
from benchmarks.dataset.local import stored
from materializers.image_dataset import ImageDataset, Picture
from serving.strip_metadata import strip_metadata

PLANTED, KINDS = 200, ("position", "serial number", "thumbnail")


def planted(number: int) -> tuple[bytes, dict[str, bytes]]:
    """A JPEG with a GPS position, a camera's serial number and a thumbnail; and what to look for of each."""
    picture = jpeg(number)
    serial = f"SERIAL-{number:06d}-OF-A-CAMERA"
    thumbnail = io.BytesIO()
    with Image.open(io.BytesIO(jpeg(10_000 + number))) as image:
        image.resize((48, 48)).save(thumbnail, "JPEG")
        exif = Image.Exif()
        exif[0xA431] = serial
        latitude = (47.0, 22.0, 10.0 + number)
        exif.get_ifd(0x8825).update({1: "N", 2: latitude, 3: "E", 4: (8.0, 33.0, 2.5 + number)})
    # Behind the directories, where cameras put it, and once more as a segment of its own.
    block = exif.tobytes() + b"\xff\xd8" + thumbnail.getvalue()[2:]
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    position = f"GPS={latitude}".encode()
    comment = b"\xff\xfe" + (len(position) + 2).to_bytes(2, "big") + position
    looked_for = {
        "position": position,
        "serial number": serial.encode(),
        "thumbnail": thumbnail.getvalue()[-64:],
    }
    return picture[:2] + segment + comment + picture[2:], looked_for


def measure(folder: Path) -> list[Claim]:
    """Bytes and pixels that differ, and planted metadata that is found, of 200 pictures each."""
    dirty = [planted(number) for number in range(PLANTED)]
    cut = [strip_metadata(data) for data, _ in dirty]
    dataset = ImageDataset.from_pictures(
        Picture(each.data, "home", each.width, each.height, each.orientation, f"shop/{number}.jpg")
        for number, each in enumerate(cut)
    )
    loaded = stored(folder, dataset).load(ImageDataset)
    back = dict(loaded.scan())
    bytes_differ = {each.data for each in cut} != set(back.values())
    pixels = {Image.open(io.BytesIO(data)).tobytes() for data, _ in dirty}
    pixels_back = {Image.open(io.BytesIO(data)).tobytes() for data in back.values()}
    kept = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    claims = [
        at_most("pictures whose bytes come back differently", float(bytes_differ), 0, "pictures"),
        at_most("pictures whose pixels come back differently", len(pixels ^ pixels_back), 0, "pictures"),
    ]
    for kind in KINDS:
        for data, looked_for in dirty:
            if looked_for[kind] not in data:
                raise RuntimeError(f"A {kind} was not planted")
        found = sum(looked_for[kind] in kept for _, looked_for in dirty)
        claims.append(at_most(f"planted {kind}s found in the store, of {PLANTED}", found, 0, "found"))
    return claims

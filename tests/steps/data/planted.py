"""JPEGs as a telephone writes them: with a position, a serial number and a thumbnail of its own."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from tests.serving.pictures import encode, gradient

PARTS = 10_000_019
"""A prime: no position is a simpler fraction than it was written as."""


@dataclass(frozen=True)
class PlantedJpeg:
    """A JPEG, and the bytes that nobody may find again once it is stored, by what they are."""

    data: bytes
    secrets: dict[str, bytes]


def planted_jpeg(number: int, image: Image.Image | None = None, orientation: int = 1) -> PlantedJpeg:
    """Encode a picture with the metadata of a photograph of its own.

    Args:
        number: no two pictures of one number have the same secrets.
        image: what it shows; one that no other number shows without it.
        orientation: as EXIF numbers them.
    """
    picture = gradient(28, 28, seed=number) if image is None else image
    latitude = 481_000_000 + number
    position, serial = f"N48.{number:06d} E011.{number:06d}", f"BODY-4711-{number:06d}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0xA431] = serial
    exif.get_ifd(0x8825).update({1: "N", 2: (IFDRational(latitude, PARTS), 7.0, 0.0), 0x12: position})
    thumbnail = encode(gradient(16, 12, seed=10_000 + number), "JPEG")
    block = exif.tobytes() + thumbnail
    data = encode(picture, "JPEG", exif=block, comment=serial.encode(), quality=90)
    fractions = [struct.pack(f"{order}II", latitude, PARTS) for order in "<>"]
    secrets = {
        "position": position.encode(),
        "latitude": next(fraction for fraction in fractions if fraction in data),
        "serial number": serial.encode(),
        "thumbnail": thumbnail[-64:],
    }
    assert all(secret in data for secret in secrets.values())
    return PlantedJpeg(data, secrets)

"""Pictures of every kind that is admitted, and some that are not; made, never stored."""

import base64
import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
from PIL import Image


def gradient(width: int, height: int, seed: int = 0) -> Image.Image:
    """Draw an RGB picture with edges and noise, in which no two corners are alike."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [columns * 255 // width, rows * 255 // height, (columns // 5 + rows // 3) % 2 * 160]
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3))
    return Image.fromarray((np.stack(channels, axis=-1) + noise).clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    """Encode a picture as Pillow does."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    """Write bytes as base64."""
    return base64.b64encode(data).decode()


def exif(orientation: int) -> bytes:
    """Make an EXIF block that holds an orientation."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


@cache
def kinds_of_pictures() -> dict[str, bytes]:
    """Encode pictures of every kind that is admitted."""
    picture = gradient(123, 77)
    alpha = picture.convert("RGBA")
    alpha.putalpha(gradient(123, 77, 1).convert("L"))
    grey16 = Image.fromarray((np.asarray(picture.convert("L")).astype(np.uint16) << 8) + 17)
    made = {
        "rgb.png": encode(picture),
        "alpha.png": encode(alpha),
        "grey.png": encode(picture.convert("L")),
        "grey-alpha.png": encode(alpha.convert("LA")),
        "palette.png": encode(picture.quantize(16)),
        "transparent-colour.png": encode(picture.quantize(16), transparency=3),
        "one-bit.png": encode(picture.convert("1")),
        "sixteen-bit.png": encode(grey16),
        "rgb.webp": encode(picture, "WEBP", quality=80),
        "alpha.webp": encode(alpha, "WEBP", lossless=True),
        "cmyk.jpg": encode(picture.convert("CMYK"), "JPEG"),
        "grey.jpg": encode(picture.convert("L"), "JPEG"),
        "progressive.jpg": encode(gradient(400, 300), "JPEG", progressive=True),
        "mpo.jpg": encode(gradient(300, 300), "MPO", save_all=True, append_images=[picture]),
        "turned.jpg": encode(gradient(400, 300), "JPEG", exif=exif(6)),
        "narrow.jpg": encode(gradient(1100, 60), "JPEG", subsampling=1),
    }
    for subsampling in range(3):
        made[f"colour-{subsampling}.jpg"] = encode(gradient(640, 480), "JPEG", subsampling=subsampling)
    return made


def bomb() -> bytes:
    """Build a PNG of 60,000 × 60,000 pixels in a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def damaged_png() -> bytes:
    """Build a PNG whose pixels decode and whose checksum is wrong."""
    data = bytearray(encode(gradient(28, 28)))
    data[-16] ^= 1  # the last chunk of pixels ends with its checksum, before the 12 bytes of IEND
    return bytes(data)

"""Pictures of made-up products: a few coloured shapes on a soft ground, different for each number."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = (256, 320)


def scene(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draw a product that no other number shows."""
    rng = np.random.default_rng(number)
    ground = Image.fromarray(rng.integers(60, 200, (4, 4, 3), dtype=np.uint8))
    image = ground.resize(SIZE, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = rng.integers(0, SIZE[0] - 60), rng.integers(0, SIZE[1] - 60)
        box = (int(x), int(y), int(x + rng.integers(40, 160)), int(y + rng.integers(40, 160)))
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=colour)
    noise = Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8))
    image = Image.blend(image.filter(ImageFilter.GaussianBlur(1)), noise, 0.05)
    return image if size == SIZE else image.resize(size, Image.Resampling.BICUBIC)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Cut a share of the width and of the height from each side."""
    x, y = round(image.width * share), round(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


def scaled(image: Image.Image, factor: float) -> Image.Image:
    """Resize both sides."""
    size = (round(image.width * factor), round(image.height * factor))
    return image.resize(size, Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """Encode as a camera does."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def copies(image: Image.Image) -> dict[str, bytes]:
    """What becomes of a picture on its way through shops and chats."""
    return {
        "quality 30": jpeg(image, 30),
        "quality 60": jpeg(image, 60),
        "quality 95": jpeg(image, 95),
        "half": jpeg(scaled(image, 0.5)),
        "three quarters": jpeg(scaled(image, 0.75)),
        "double": jpeg(scaled(image, 2)),
        "cropped": jpeg(cropped(image, 0.01)),
    }

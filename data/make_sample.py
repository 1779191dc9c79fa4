"""Make the sample deliveries from Fashion-MNIST, byte for byte the same each time.

    apt-get install dataset-fashion-mnist
    python data/make_sample.py            # writes first-delivery.zip, second-delivery.zip and photos/
    python data/make_sample.py --check    # writes nothing, says whether the committed files are these

Only the 60,000 training pictures are used, so that the public test set stays unseen. Ten articles become
five categories of a catalogue. The draw orders pictures by a hash of seed and position, which no library's
random generator can change; the archives store the PNGs without compressing them again. The PNG bytes are
those of the Pillow that requirements.lock pins.
"""

import gzip
import hashlib
import io
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

SOURCE = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts its files
SEED = 20200523  # the date of the packaged upstream snapshot
FIRST_PER_CATEGORY = 600
SECOND_PER_CATEGORY = 120
SIDE = 28  # pixels

# sha256 of the unpacked files: Debian packs them anew, so that the digests of its .gz are its own.
RAW_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
}
# Fashion-MNIST's classes in the order of their numbers.
ARTICLES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CATEGORIES = {
    "tops": ("t-shirt", "pullover", "coat", "shirt"),
    "trousers": ("trouser",),
    "dresses": ("dress",),
    "footwear": ("sandal", "sneaker", "ankle boot"),
    "bags": ("bag",),
}
# Shown to the running service at the end of the demo: one picture each, from the second delivery.
PHOTO_CATEGORIES = ("dresses", "footwear", "bags")


class SourceError(Exception):
    """The Fashion-MNIST files are missing or are not the ones that this sample is made from."""


@dataclass(frozen=True)
class Picture:
    """One training picture, encoded, with its position among the 60,000."""

    position: int
    category: str
    article: str
    png: bytes

    @property
    def path(self) -> str:
        """Where the picture lies in its archive; the name says nothing about the label."""
        return f"images/{self.position:05d}.png"


def read_raw(source: Path, name: str) -> bytes:
    """Unpack ``name``.gz of ``source`` and check its sha256.

    Raises:
        SourceError: the file is missing, is no gzip file or has another content.
    """
    path = source / f"{name}.gz"
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise SourceError(
            f"{path}: cannot be read ({error}). `apt-get install dataset-fashion-mnist` puts it under "
            f"{SOURCE}; --source names another folder."
        ) from error
    digest = hashlib.sha256(raw).hexdigest()
    if digest != RAW_SHA256[name]:
        raise SourceError(
            f"{path}: sha256 of the unpacked file is {digest}, not {RAW_SHA256[name]}: not the published "
            "Fashion-MNIST. `apt-get install --reinstall dataset-fashion-mnist` brings it."
        )
    return raw


def load_training_set(source: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Read the training pictures, uint8 ``(60000, 28, 28)``, and article numbers, uint8 ``(60000,)``."""
    images = np.frombuffer(read_raw(source, "train-images-idx3-ubyte"), np.uint8, offset=16)
    labels = np.frombuffer(read_raw(source, "train-labels-idx1-ubyte"), np.uint8, offset=8)
    return images.reshape(-1, SIDE, SIDE), labels


def draw_order(position: int) -> bytes:
    """Give a picture its place in the draw: a hash, so the order is random and the same everywhere."""
    return hashlib.sha256(f"{SEED}:{position}".encode()).digest()


def encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode grey pixels, uint8 ``(28, 28)``, as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def draw(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]
) -> tuple[list[Picture], list[Picture], list[Picture]]:
    """Draw the first delivery, the second delivery and the demo's photographs.

    Within a category every picture is equally likely. Of pictures with equal pixels only the first counts,
    so that the two deliveries share none.
    """
    _, firsts = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    first, second, photos = [], [], []
    for category, articles in CATEGORIES.items():
        numbers = [ARTICLES.index(article) for article in articles]
        candidates = firsts[np.isin(labels[firsts], numbers)].tolist()
        drawn = [
            Picture(position, category, ARTICLES[labels[position]], encode(images[position]))
            for position in sorted(candidates, key=draw_order)[: FIRST_PER_CATEGORY + SECOND_PER_CATEGORY]
        ]
        first += drawn[:FIRST_PER_CATEGORY]
        second += drawn[FIRST_PER_CATEGORY:]
        if category in PHOTO_CATEGORIES:
            photos.append(drawn[FIRST_PER_CATEGORY])
    return first, second, photos


def pack(pictures: Iterable[Picture]) -> bytes:
    """Pack a delivery as a zip file: ``labels.csv``, then the pictures in the order of their position."""
    ordered = sorted(pictures, key=lambda picture: picture.position)
    rows = [f"{picture.path},{picture.category},{picture.article}\n" for picture in ordered]
    members = {"labels.csv": "".join(["image_path,label,article\n", *rows]).encode()}
    members |= {picture.path: picture.png for picture in ordered}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # the earliest a zip can say
            info.create_system = 3  # Unix, whatever this runs on: the attributes below are Unix modes
            info.external_attr = 0o100644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def build(source: Path) -> dict[str, bytes]:
    """Make all sample files in memory, by their path under ``data/``."""
    first, second, photos = draw(*load_training_set(source))
    files = {"first-delivery.zip": pack(first), "second-delivery.zip": pack(second)}
    return files | {f"photos/{photo.article.replace(' ', '-')}.png": photo.png for photo in photos}


def differing(files: Mapping[str, bytes], output: Path) -> list[str]:
    """Name the files that are missing under ``output`` or hold other bytes."""
    return [
        name for name, content in files.items()
        if not (output / name).is_file() or (output / name).read_bytes() != content
    ]  # fmt: skip


@click.command(help="Make the sample deliveries and photographs from Fashion-MNIST.")
@click.option("--source", type=click.Path(path_type=Path), default=SOURCE, show_default=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path(__file__).parent,
    help="Default: this script's folder.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where a file differs.")
def main(source: Path, output: Path, *, check: bool) -> None:
    """Write the sample, or compare it with what is there."""
    try:
        files = build(source)
    except SourceError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    stale = differing(files, output)
    for name, content in files.items():
        state = "same"
        if name in stale:
            state = "DIFFERS" if check else "written"
            if not check:
                (output / name).parent.mkdir(parents=True, exist_ok=True)
                (output / name).write_bytes(content)
        click.echo(
            f"{state:8} {output / name}  {len(content):,} bytes  {hashlib.sha256(content).hexdigest()}"
        )
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()

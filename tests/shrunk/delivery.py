"""Small deliveries cut from the sample: real pictures, a few of each class."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

PROJECT = Path(__file__).resolve().parents[2]
SHRUNK_CONFIG = PROJECT / "tests" / "shrunk" / "config.yaml"


def noise(*key: int) -> bytes:
    """A picture that looks like no other; whoever may lose it for good names a key of its own."""
    pixels = np.random.default_rng(key).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def cut_delivery(
    target: Path,
    *,
    archive: str = "first-delivery.zip",
    per_class: int = 60,
    skip: int = 0,
    mislabelled: bool = False,
    bags: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a zip with some pictures of each class of a sample archive, and more bags.

    Args:
        target: the file.
        archive: the sample's.
        per_class: pictures of each class.
        skip: how many of each class are left out before them.
        mislabelled: whether each stands under the label of the next class.
        bags: more pictures, by their paths.
    """
    with zipfile.ZipFile(PROJECT / "data" / archive) as whole:
        rows = list(csv.DictReader(io.StringIO(whole.read("labels.csv").decode())))
        taken: dict[str, int] = {}
        kept = []
        for row in rows:
            taken[row["label"]] = taken.get(row["label"], 0) + 1
            if skip < taken[row["label"]] <= skip + per_class:
                kept.append(row)
        if mislabelled:
            names = sorted(taken)
            turned = dict(zip(names, names[1:] + names[:1], strict=True))
            kept = [row | {"label": turned[row["label"]]} for row in kept]
        more = bags or {}
        kept += [dict.fromkeys(rows[0], "") | {"image_path": path, "label": "bags"} for path in more]
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        with zipfile.ZipFile(target, "w") as part:
            part.writestr("labels.csv", table.getvalue())
            for row in kept:
                path = row["image_path"]
                part.writestr(path, more[path] if path in more else whole.read(path))
    return target

"""Artifacts stored where ZenML would store them, and the list of them that ZenML would give."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from PIL import Image
from zenml.artifact_stores import BaseArtifactStore

from materializers.blobs import read_blob
from materializers.captured_window import CapturedWindow, CapturedWindowMaterializer
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer, Picture
from materializers.quarantine import Quarantine, QuarantineMaterializer
from materializers.rebased_reference import RebasedReference, RebasedReferenceMaterializer
from materializers.report import Report, ReportMaterializer
from materializers.store_files import walk_files
from steps.data.stored import KnownArtifact

SIDE = 64


def photograph(seed: int, side: int = SIDE) -> bytes:
    """A JPEG of noise; another seed is another picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def picture(seed: int, label: str = "tops", **known: Any) -> Picture:
    """A labelled photograph."""
    about: dict[str, Any] = {"width": SIDE, "height": SIDE, "orientation": 1, "source": f"shop/{seed}.jpg"}
    return Picture(photograph(seed), label, **(about | known))


def dataset(*seeds: int, label: str = "tops") -> ImageDataset:
    """A dataset of these photographs."""
    return ImageDataset.from_pictures(picture(seed, label) for seed in seeds)


@dataclass
class Kept:
    """A store, and what ZenML knows of it."""

    store: BaseArtifactStore
    artifacts: list[KnownArtifact] = field(default_factory=list)

    def save(
        self,
        data: ImageDataset | Quarantine | Report | CapturedWindow,
        step: str = "validate",
        run: UUID | None = None,
    ) -> str:
        """Store an artifact as a step's output, and give its folder."""
        uri = f"{self.store.path}/{step}/output/{uuid4()}/{uuid4().hex[:8]}"
        kind: Any = ReportMaterializer
        if isinstance(data, ImageDataset):
            kind = ImageDatasetMaterializer
        elif isinstance(data, Quarantine):
            kind = QuarantineMaterializer
        elif isinstance(data, RebasedReference):
            kind = RebasedReferenceMaterializer
        elif isinstance(data, CapturedWindow):
            kind = CapturedWindowMaterializer
        materializer = kind(uri, self.store)
        materializer.save(data)
        materializer.save_visualizations(data)
        name = f"{type(data).__module__}.{type(data).__qualname__}"
        self.artifacts.append(KnownArtifact(id=uuid4(), name=step, uri=uri, type=name, run_id=run))
        return uri

    def load(self, uri: str) -> ImageDataset:
        """The dataset that is stored there."""
        return ImageDatasetMaterializer(uri, self.store).load(ImageDataset)

    def lose(self, uri: str) -> None:
        """Have ZenML forget an artifact, as when the run that saved it was killed before it could tell."""
        self.artifacts = [artifact for artifact in self.artifacts if artifact.uri != uri]

    def paths(self) -> set[str]:
        """Every file's path below the root."""
        root = str(self.store.path).rstrip("/")
        return {file.uri.removeprefix(f"{root}/") for file in walk_files(self.store, root)}

    def shards(self) -> set[str]:
        """The digests of the shard files."""
        return {
            path.removeprefix("datasets/shards/").removesuffix(".arrow")
            for path in self.paths()
            if path.startswith("datasets/shards/")
        }

    def bytes_found(self, data: bytes) -> set[str]:
        """The files that hold these bytes, found by the plainest search there is."""
        root = str(self.store.path).rstrip("/")
        return {path for path in self.paths() if data in read_blob(self.store, f"{root}/{path}")}

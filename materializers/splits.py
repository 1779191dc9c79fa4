"""Which picture is in which split."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd
from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from materializers.blobs import write_blob
from materializers.errors import DamagedArtifact

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
COLUMNS = ["image_id", "split", "label"]
FORMAT_VERSION = 1


def rows_digest(rows: pd.DataFrame) -> str:
    """The sha256 (hex) of the sorted pairs of picture and split."""
    pairs = rows[["image_id", "split"]].sort_values("image_id").itertuples(index=False)
    return hashlib.sha256("\n".join(f"{image_id} {split}" for image_id, split in pairs).encode()).hexdigest()


@dataclass(frozen=True)
class Splits:
    """Each picture's split; no picture is copied.

    Args:
        members: one row a picture, columns ``image_id``, ``split`` (``train``, ``validation``, ``test``)
            and ``label``.
        parent: digest of the splits that these grew from.
        remembered: rows of the same columns for pictures that earlier splits placed and this dataset lacks:
            should one come back, it comes back to its side.
    """

    members: pd.DataFrame = field(repr=False)
    parent: str | None = None
    remembered: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS), repr=False)

    @cached_property
    def digest(self) -> str:
        """The sha256 of the members' sorted rows; what is remembered and the parent are not part of it."""
        return rows_digest(self.members)

    @property
    def known(self) -> dict[str, str]:
        """The split of every picture that was ever placed, by its id."""
        placed = [(rows["image_id"], rows["split"]) for rows in (self.remembered, self.members)]
        return {image_id: side for ids, sides in placed for image_id, side in zip(ids, sides, strict=True)}

    def image_ids(self, split: str) -> list[str]:
        """The pictures of one split, sorted by id."""
        return sorted(self.members.loc[self.members["split"] == split, "image_id"])

    def counts(self) -> pd.DataFrame:
        """Pictures per class (rows) and split (columns)."""
        table = pd.crosstab(self.members["label"], self.members["split"])
        return table.reindex(columns=list(SPLITS), fill_value=0)


class SplitsMaterializer(BaseMaterializer):
    """Stores :class:`Splits` as one Parquet file."""

    ASSOCIATED_TYPES = (Splits,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def save(self, splits: Splits) -> None:
        """Write the rows; all digests are in the file's metadata."""
        parts = [splits.members.assign(remembered=False)]
        if len(splits.remembered):
            parts.append(splits.remembered.assign(remembered=True))
        frame = pd.concat(parts, ignore_index=True)
        frame.attrs = {
            "format_version": FORMAT_VERSION,
            "digest": splits.digest,
            "remembered": rows_digest(splits.remembered),
            "parent": splits.parent,
        }
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        write_blob(self.artifact_store, f"{self.uri}/splits.parquet", buffer.getvalue())

    def load(self, data_type: type[Any]) -> Splits:
        """Read the rows back.

        Raises:
            DamagedArtifact: they are missing, unreadable or altered.
        """
        uri = f"{self.uri}/splits.parquet"
        mend = "Split again: python run.py --train"
        try:
            with self.artifact_store.open(uri, "rb") as file:
                frame = pd.read_parquet(io.BytesIO(file.read()))
        except (OSError, ValueError) as error:
            raise DamagedArtifact(f"The splits at {uri} cannot be read ({error}). {mend}") from error
        about, frame.attrs = frame.attrs, {}
        found = about.get("format_version")
        if found != FORMAT_VERSION:
            raise DamagedArtifact(f"The splits at {uri} have format {found}, not {FORMAT_VERSION}. {mend}")
        kept = frame.pop("remembered").astype(bool)
        members, remembered = (rows.reset_index(drop=True) for rows in (frame[~kept], frame[kept]))
        splits = Splits(members=members, parent=about["parent"], remembered=remembered)
        for found, stored in (
            (splits.digest, about["digest"]),
            (rows_digest(remembered), about["remembered"]),
        ):
            if found != stored:
                raise DamagedArtifact(
                    f"The splits at {uri} have digest {found[:12]}, stored was {stored[:12]}: "
                    f"they were altered. {mend}"
                )
        return splits

    def save_visualizations(self, splits: Splits) -> dict[str, VisualizationType]:
        """Write the table of counts."""
        uri = f"{self.uri}/counts.csv"
        write_blob(self.artifact_store, uri, splits.counts().to_csv().encode())
        return {uri: VisualizationType.CSV}

    def extract_metadata(self, splits: Splits) -> dict[str, MetadataType]:
        """The digest and the size of each split."""
        sizes = splits.members["split"].value_counts()
        return {"digest": splits.digest, **{name: int(sizes.get(name, 0)) for name in SPLITS}}

    def compute_content_hash(self, splits: Splits) -> str | None:
        """The digest of all rows: what is remembered decides what the next splits become."""
        return rows_digest(pd.concat([splits.members, splits.remembered]))

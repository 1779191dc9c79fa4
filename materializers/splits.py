"""Which picture is in which split."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from materializers.blobs import write_blob
from materializers.errors import DamagedArtifact

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
APART = "set_apart"
"""In no split: it belongs together with pictures of another one, so that nobody may learn from it."""
SIDES = (*SPLITS, APART)

COLUMNS = ["image_id", "split", "label", "golden"]
TEXT = pd.StringDtype("pyarrow")
FORMAT_VERSION = 2
READ_VERSIONS = (1, 2)
"""Format 1 knew neither pictures set apart nor a golden set."""


def rows_digest(rows: pd.DataFrame) -> str:
    """The sha256 (hex) of the sorted rows: picture and split, and of a golden picture its frozen label.

    Without a golden picture it is the digest that format 1 had.
    """
    lines: list[str] = (rows["image_id"] + " " + rows["split"]).tolist()
    labels = rows["label"]
    for position in np.flatnonzero(rows["golden"].to_numpy(dtype=bool)):
        lines[position] += f" golden {json.dumps(labels.iloc[position])}"
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


@dataclass(frozen=True)
class Splits:
    """Each picture's split; no picture is copied.

    Args:
        members: one row a picture, columns ``image_id``, ``split`` (``train``, ``validation``, ``test`` or
            ``set_apart``), ``label`` and ``golden`` (bool; no picture is, where the column is missing).
            A golden picture's label is the one that it was frozen with, the others follow the dataset.
        parent: digest of the splits that these grew from.
        remembered: rows of the same columns for pictures that earlier splits placed and this dataset lacks:
            should one come back, it comes back to its side.
    """

    members: pd.DataFrame = field(repr=False)
    parent: str | None = None
    remembered: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", _typed(self.members))
        object.__setattr__(self, "remembered", _typed(self.remembered))

    @cached_property
    def digest(self) -> str:
        """The sha256 of the members' sorted rows; what is remembered and the parent are not part of it."""
        return rows_digest(self.members)

    @cached_property
    def known(self) -> pd.DataFrame:
        """The row of every picture that was ever placed."""
        return pd.concat([self.members, self.remembered], ignore_index=True)

    @property
    def frozen(self) -> pd.DataFrame:
        """The rows of the golden set, also of its pictures that are away."""
        return self.known[self.known["golden"]]

    def sides_of(self, image_ids: pd.Series) -> npt.NDArray[np.int8]:
        """The side of each picture as its position in ``SIDES``, -1 for one that was never placed."""
        places = pd.Index(self.known["image_id"]).get_indexer(pd.Index(image_ids))
        codes = pd.Categorical(self.known["split"], categories=list(SIDES)).codes
        sides = np.full(len(places), -1, dtype=np.int8)
        sides[places >= 0] = codes[places[places >= 0]]
        return sides

    def image_ids(self, split: str) -> list[str]:
        """The pictures of one split, sorted by id."""
        return sorted(self.members.loc[self.members["split"] == split, "image_id"])

    def counts(self) -> pd.DataFrame:
        """Pictures per class (rows) and split or ``set_apart`` (columns)."""
        table = pd.crosstab(self.members["label"], self.members["split"])
        return table.reindex(columns=list(SIDES), fill_value=0)


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of splits in their order and types, a new index; extra columns are dropped."""
    if "golden" not in rows:
        rows = rows.assign(golden=False)
    columns = {name: rows[name].astype(bool if name == "golden" else TEXT) for name in COLUMNS}
    return pd.DataFrame(columns).reset_index(drop=True)


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
        mend = "Split again, on a stored version: python run.py --train --data VERSION"
        try:
            with self.artifact_store.open(uri, "rb") as file:
                frame = pd.read_parquet(io.BytesIO(file.read()))
        except (OSError, ValueError) as error:
            raise DamagedArtifact(f"The splits at {uri} cannot be read ({error}). {mend}") from error
        about, frame.attrs = frame.attrs, {}
        found = about.get("format_version")
        if found not in READ_VERSIONS:
            known = " or ".join(str(version) for version in READ_VERSIONS)
            raise DamagedArtifact(f"The splits at {uri} have format {found}, not {known}. {mend}")
        kept = frame.pop("remembered").astype(bool)
        splits = Splits(members=frame[~kept], parent=about["parent"], remembered=frame[kept])
        for found, stored in (
            (splits.digest, about["digest"]),
            (rows_digest(splits.remembered), about["remembered"]),
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
        return {
            "digest": splits.digest,
            **{name: int(sizes.get(name, 0)) for name in SIDES},
            "golden": int(splits.members["golden"].sum()),
        }

    def compute_content_hash(self, splits: Splits) -> str | None:
        """Of the members and of what is remembered, each: a picture that was erased is no member any more."""
        remembered = rows_digest(splits.remembered)
        return hashlib.sha256(f"{splits.digest} {remembered}".encode()).hexdigest()

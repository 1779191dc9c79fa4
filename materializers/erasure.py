"""Pictures that were erased: the note that is kept of each, and the report that proves it.

A note holds no more than digests and fingerprints, under ``datasets/forgotten/`` of the store's root. It is
written before anything is erased, so that an erasure that was interrupted is taken up again, and it stays,
so that a picture that is delivered again is known as forgotten.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import ValidationError

from materializers.blobs import read_blob, write_blob
from materializers.errors import DamagedArtifact
from materializers.report import Record, Report
from materializers.store_files import walk_files

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore
    from zenml.metadata.metadata_types import MetadataType


class Forgotten(Record):
    """What is kept of a picture that is to be erased, or was."""

    format_version: Literal[1] = 1
    name: str
    """Its ``image_id``; of one that no dataset had when it was first forgotten, its digest as delivered."""
    source_digests: tuple[str, ...]
    """The digests of its bytes as delivered, and of those before a part of it was masked."""
    marks: tuple[str, ...]
    """Fingerprints of its bytes and of its thumbnail (``materializers/traces.py``), in hex."""
    shards: tuple[str, ...]
    """Digests of the shards that held it when it was forgotten: they go once no dataset names them."""
    plain: bool = False
    """Whether no fingerprint could be made of bytes that were had of it."""

    @property
    def digests(self) -> frozenset[str]:
        """Everything that it is known by."""
        return frozenset({self.name, *self.source_digests})

    @property
    def searchable(self) -> bool:
        """Whether a copy is found that nothing names."""
        return bool(self.marks) and not self.plain


class ErasedDataset(Record):
    """A stored dataset that held the pictures; its version is as it was."""

    uri: str
    version: str
    pictures: int


class TrainedModel(Record):
    """A registered version that learnt from data that held the pictures."""

    model: str
    version: int
    data: str
    aliases: tuple[str, ...]


class PassedOver(Record):
    """A file of which the search cannot say that it neither holds nor shows one of the pictures."""

    place: str
    """Below the store's root."""
    number: int
    """Of things in it that could not be looked into."""
    why: str
    """Of the first of them."""


class Erasure(Report):
    """What was erased, on whose word, and the proof that it is nowhere any more."""

    template: ClassVar[str] = "erasure.html"
    formats: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)
    later_fields: ClassVar[dict[str, int]] = {
        "archives": 2,
        "not_searchable": 2,
        "passed_over": 2,
        "features_removed": 3,
        "captures_erased": 4,
    }

    format_version: int = 4
    outcome: Literal["erased", "found", "not_proven"]
    """``found``: something below the store's root still holds or shows a picture. ``not_proven``: nothing
    that was searched does, but not everything could be searched, or not for every picture."""
    image_ids: tuple[str, ...]
    by: str
    actor: str
    reason: str
    at: datetime
    datasets: tuple[ErasedDataset, ...]
    shards_removed: int
    quarantine_removed: int
    features_removed: int = 0
    """What frozen backbones made of the pictures, each counted as often as it was computed in another way."""
    captures_erased: int = 0
    """Rows of what services captured that lost the picture, its digests and what a model made of it."""
    pages: int
    """Pages, sheets, pictures and drift references that were made again without them, or removed."""
    scanned_files: int
    scanned_bytes: int
    found: tuple[str, ...]
    """Files, below the store's root, that hold or show a picture after all."""
    archives: int = 0
    """Archives and tables among the files that were opened and searched picture by picture."""
    not_searchable: tuple[str, ...] = ()
    """Pictures so plain, or gone so long, that a copy which nothing names would not be found."""
    passed_over: tuple[PassedOver, ...] = ()
    models: tuple[TrainedModel, ...]

    def headline(self) -> dict[str, MetadataType]:
        """The outcome, the proof, and on whose word."""
        return {
            "outcome": self.outcome,
            "pictures": len(self.image_ids),
            "by": self.by,
            "reason": self.reason,
            "scanned_files": self.scanned_files,
            "scanned_bytes": self.scanned_bytes,
            "found": len(self.found),
            "not_searchable": len(self.not_searchable),
            "passed_over": sum(each.number for each in self.passed_over),
            "models": len(self.models),
        }


def notes_folder(store: BaseArtifactStore) -> str:
    """Where the notes of all pictures lie that are to be erased, or were."""
    return f"{str(store.path).rstrip('/')}/datasets/forgotten"


def write_note(store: BaseArtifactStore, note: Forgotten) -> None:
    """Keep the note of a picture."""
    write_blob(store, f"{notes_folder(store)}/{note.name}.json", note.model_dump_json(indent=2).encode())


def read_notes(store: BaseArtifactStore) -> list[Forgotten]:
    """The notes of all pictures that are to be erased, or were.

    Raises:
        DamagedArtifact: one cannot be read.
        OSError: the store cannot be read.
    """
    notes = []
    for file in walk_files(store, notes_folder(store)):
        if file.uri.rpartition("/")[2].startswith("."):  # what a killed save left
            continue
        try:
            notes.append(Forgotten.model_validate_json(read_blob(store, file.uri)))
        except ValidationError as error:
            raise DamagedArtifact(
                f"The note of a forgotten picture at {file.uri} cannot be read ({error}). Forget the picture "
                'again: python run.py --forget IMAGE_ID --by WHO --reason "…"'
            ) from error
    return notes


def forgotten_ids(store: BaseArtifactStore) -> frozenset[str]:
    """The digests, as delivered and as stored, of every picture that may not come back.

    Raises:
        DamagedArtifact: a note cannot be read, so that nobody can say.
        OSError: the store cannot be read.
    """
    return frozenset().union(*(note.digests for note in read_notes(store)))

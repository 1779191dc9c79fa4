"""Pack the small shards of the stored datasets into full ones; every dataset keeps its version.

A dataset that names a shard which is gone finds its pictures where another dataset has them.
New shards are written first, then a dataset's index, last its manifest, so that a reader has the one or the
other. The old shards are left to ``--collect``: a reader that has them open goes on reading.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from actions.result import COMMAND, ActionResult
from materializers import shards
from materializers.blobs import store_errors, write_blob
from materializers.image_dataset import COMPACT_SHARE, ImageDataset, ImageDatasetMaterializer
from materializers.image_index import is_among
from materializers.image_manifest import lost_shards, read_manifest
from materializers.shards import MEND, shard_name, shard_uri
from materializers.store_files import stored_file
from steps.data.stored import SUPERSEDED, active_store, known_artifacts, of_type

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore


def compact() -> ActionResult:
    """Compact every dataset of the active artifact store.

    Raises:
        DamagedArtifact: a dataset or a shard cannot be read: those before it are compacted, it is as it was.
        ServiceUnreachable: the store does not answer.
    """
    store = active_store()
    uris = dict.fromkeys(artifact.uri for artifact in of_type(known_artifacts(), ImageDataset))
    with store_errors("compact every dataset"):
        manifests = {uri: read_manifest(store, uri) for uri in uris}
        done: list[dict[str, Any]] = []
        packed: list[ImageDataset] = []
        gone = lost_shards(store, {digest for each in manifests.values() for digest in each.shards})
        lost = {uri: gone.intersection(manifest.shards) for uri, manifest in manifests.items()}
        # The largest first: it has the pictures of those that it grew from; and those that lack some, last.
        for uri in sorted(uris, key=lambda uri: (bool(lost[uri]), -manifests[uri].rows)):
            entry = compact_dataset(store, uri, packed, lost=lost[uri])
            if entry is not None:
                done.append(entry)
    return _result(done, examined=len({manifest.version for manifest in manifests.values()}))


def compact_dataset(
    store: BaseArtifactStore,
    uri: str,
    packed: list[ImageDataset] | None = None,
    *,
    lost: Collection[str] = frozenset(),
) -> dict[str, Any] | None:
    """Pack the small shards of the dataset at ``uri``.

    Args:
        store: where it lies.
        uri: the folder of the dataset.
        packed: datasets that were packed before: of pictures that the nearest has, no second copy is made.
            This one is added, unless one of them has all of its pictures.
        lost: shards of it that are not there any more.

    Returns:
        What that came to, None where there was nothing to do. A dataset of which pictures are nowhere is left
        as it is, and said to lack them.

    Raises:
        DamagedArtifact: the dataset or a shard cannot be read.
        ServiceUnreachable: the store does not answer.
    """
    packed = [] if packed is None else packed
    materializer = ImageDatasetMaterializer(uri, store)
    before = materializer.load(ImageDataset)
    nearest, shared = _nearest(before, packed)
    whole = before if nearest is None else before.found_in(nearest, lost)
    if lacking := lost & whole.shards.keys():
        return {"version": before.version, "lacks": sorted(lacking)}
    after = whole.compacted(packed=nearest)
    if shared < len(before):
        packed.append(after)
    if set(after.shards) == set(before.shards):
        return None
    new = [digest for digest in after.shards if digest not in before.shards]
    there = [digest for digest in new if stored_file(store, shard_uri(store, digest)) is not None]
    for digest in set(before.shards) - set(after.shards):
        write_blob(store, f"{store.path}/{SUPERSEDED}{shard_name(digest)}", b"")
    materializer.rewrite(after)  # refuses another version
    sizes = [stored_file(store, shard_uri(store, digest)) for digest in new if digest not in there]
    return {
        "version": before.version,
        "mended": bool(lost),
        "shards_before": len(before.shards),
        "shards_after": len(after.shards),
        "bytes_written": sum(file.size for file in sizes if file is not None),
    }


def _nearest(dataset: ImageDataset, packed: list[ImageDataset]) -> tuple[ImageDataset | None, int]:
    """The one that has most pictures of a dataset, and how many; None where none has any."""
    nearest, most = None, 0
    for other in packed:
        shared = int(is_among(dataset.index["image_id"], other.index["image_id"]).sum())
        if shared > most:
            nearest, most = other, shared
    return nearest, most


def _result(done: list[dict[str, Any]], *, examined: int) -> ActionResult:
    """Tell of versions, of which the store may have several copies.

    Args:
        done: the entries of all datasets that were rewritten.
        examined: how many versions there are.
    """
    damaged = {entry["version"]: entry["lacks"] for entry in done if "lacks" in entry}
    versions: dict[str, dict[str, Any]] = {}
    for entry in (each for each in done if "lacks" not in each):
        first = versions.setdefault(entry["version"], {**entry, "bytes_written": 0})
        first["bytes_written"] += entry["bytes_written"]
    fewer = [entry for entry in versions.values() if entry["shards_after"] < entry["shards_before"]]
    mended = [entry["version"] for entry in versions.values() if entry["mended"]]
    written = sum(entry["bytes_written"] for entry in versions.values())
    details = {
        "datasets": fewer,
        "examined": examined,
        "bytes_written": written,
        "mended": mended,
        "damaged": sorted(damaged),
    }
    said = _said(len(versions), len(fewer), len(mended), examined, written)
    for version, lacks in damaged.items():
        said.append(
            f"Version {version[:16]} lacks {len(lacks):,} shards, such as {lacks[0][:16]}, of which no other "
            f"version has all pictures: it was left as it is. {MEND}"
        )
    return ActionResult(action="compact", status="done", reasons=tuple(said), details=details)


def _said(rewritten: int, fewer: int, mended: int, examined: int, written: int) -> list[str]:
    """What became of the versions that are whole now."""
    small = f"shards of which it needs under {COMPACT_SHARE * shards.SHARD_BYTES / 2**20:.0f} MB"
    if not rewritten:
        return [
            f"Nothing to pack: {examined:,} versions were examined. A version is packed that has two or more "
            f"{small}; one that a larger version keeps stays as it is."
        ]
    also = rewritten - fewer
    return [
        f"{fewer:,} of {examined:,} versions have fewer shards"
        + (f", and {also:,} read shards of theirs now" if also else "")
        + f"; {written:,} bytes were written.",
        *([f"{mended:,} of them lacked shards, and find those pictures elsewhere now."] if mended else []),
        f"The old shards are nobody's once their grace time is over: {COMMAND} --collect",
    ]

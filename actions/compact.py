"""Pack the small shards of the stored datasets into full ones; every dataset keeps its version.

New shards are written first, then a dataset's index, last its manifest, so that a reader has the one or the
other. The old shards are left to ``--collect``: a reader that has them open goes on reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actions.result import COMMAND, ActionResult
from materializers.blobs import write_blob
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer
from materializers.shards import shard_uri
from materializers.store_files import stored_file
from steps.data.stored import SUPERSEDED, active_store, known_artifacts, of_type, store_errors

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
        done: list[dict[str, Any]] = []
        packed: ImageDataset | None = None
        for uri in reversed(uris):  # the newest has most pictures of the others
            entry, packed = compact_dataset(store, uri, packed)
            if entry is not None:
                done.append(entry)
    written = sum(entry["bytes_written"] for entry in done)
    if done:
        said = [
            f"{len(done):,} of {len(uris):,} datasets have fewer shards; {written:,} bytes were written.",
            f"The old shards are nobody's once their grace time is over: {COMMAND} --collect",
        ]
    else:
        said = [f"None of {len(uris):,} datasets has small shards to pack."]
    details = {"datasets": done, "examined": len(uris), "bytes_written": written}
    return ActionResult(action="compact", status="done", reasons=tuple(said), details=details)


def compact_dataset(
    store: BaseArtifactStore, uri: str, packed: ImageDataset | None = None
) -> tuple[dict[str, Any] | None, ImageDataset]:
    """Pack the small shards of the dataset at ``uri``.

    Args:
        store: where it lies.
        uri: the folder of the dataset.
        packed: a dataset that was packed before: of pictures that it has, no second copy is made.

    Returns:
        What that came to, None where there was nothing to do; and what the next one is packed with.

    Raises:
        DamagedArtifact: the dataset or a shard cannot be read.
        ServiceUnreachable: the store does not answer.
    """
    materializer = ImageDatasetMaterializer(uri, store)
    before = materializer.load(ImageDataset)
    after = before.compacted(packed=packed)
    if set(after.shards) == set(before.shards):
        return None, packed or before
    new = [digest for digest in after.shards if digest not in before.shards]
    there = [digest for digest in new if stored_file(store, shard_uri(store, digest)) is not None]
    for digest in set(before.shards) - set(after.shards):
        write_blob(store, f"{store.path}/{SUPERSEDED}{digest}.arrow", b"")
    materializer.rewrite(after)  # refuses another version
    sizes = [stored_file(store, shard_uri(store, digest)) for digest in new if digest not in there]
    entry = {
        "uri": uri,
        "version": before.version,
        "shards_before": len(before.shards),
        "shards_after": len(after.shards),
        "bytes_written": sum(file.size for file in sizes if file is not None),
    }
    return entry, after if packed is None or len(after) > len(packed) else packed

"""Accepted traffic reads back; a picture can be erased from it, and nothing else can be done to it unseen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from zenml.artifact_stores import BaseArtifactStore

from materializers.blobs import write_blob
from materializers.drift_reference import REFERENCE_FILE, DriftReference
from materializers.errors import DamagedArtifact, Refused
from materializers.rebased_reference import RebasedReference, RebasedReferenceMaterializer
from materializers.store_files import remove_file
from tests.materializers.examples import drift_reference, rebased_reference

IDS = tuple(f"{number:064x}" for number in range(6))


def materializer_of(store: BaseArtifactStore) -> RebasedReferenceMaterializer:
    """One that stores it in a store."""
    return RebasedReferenceMaterializer(f"{store.path}/reference/1", store)


def test_it_reads_back_with_its_table_beside(store: BaseArtifactStore) -> None:
    """The same digest, and the table to the bit."""
    materializer, before = (
        RebasedReferenceMaterializer(f"{store.path}/reference/1", store),
        rebased_reference(*IDS),
    )
    materializer.save(before)
    after = materializer.load(RebasedReference)
    assert after.digest == before.digest
    assert after.reference.to_bytes() == before.reference.to_bytes()
    assert after.erased() == 0


def test_an_erased_picture_leaves_it_usable_and_is_counted(store: BaseArtifactStore) -> None:
    """The digest is of the JSON alone, so that the entry in the log still names it."""
    materializer, before = (
        RebasedReferenceMaterializer(f"{store.path}/reference/1", store),
        rebased_reference(*IDS),
    )
    materializer.save(before)
    write_blob(
        store, f"{store.path}/reference/1/{REFERENCE_FILE}", before.reference.without(IDS[:2]).to_bytes()
    )
    after = materializer.load(RebasedReference)
    assert (after.digest, after.erased()) == (before.digest, 2)


def altered_scores(table: DriftReference) -> DriftReference:
    """One answer was another."""
    scores = table.scores.copy()
    scores[0] = scores[0][::-1]
    return replace(table, scores=scores)


def altered_embedding(table: DriftReference) -> DriftReference:
    """One picture lies elsewhere."""
    return replace(table, embeddings=table.embeddings + np.eye(*table.embeddings.shape, dtype=np.float32))


def altered_measure(table: DriftReference) -> DriftReference:
    """One picture was brighter."""
    rows = table.rows.copy()
    rows["brightness"] += 1.0
    return replace(table, rows=rows)


def put_in(table: DriftReference) -> DriftReference:
    """Another picture in it."""
    return drift_reference(*IDS[:-1], "f" * 64)


def other_model(table: DriftReference) -> DriftReference:
    """The answers of another one."""
    return replace(table, model="b" * 64)


@pytest.mark.parametrize("how", [altered_scores, altered_embedding, altered_measure, put_in, other_model])
def test_what_was_altered_or_put_in_is_refused(how: object) -> None:
    """Whichever part of a row it is."""
    before = rebased_reference(*IDS)
    assert callable(how)
    with pytest.raises(Refused, match="not what was accepted"):
        before.with_reference(how(before.reference)).erased()


def test_a_table_that_is_gone_is_named(store: BaseArtifactStore) -> None:
    """With its folder."""
    materializer = materializer_of(store)
    materializer.save(rebased_reference(*IDS))
    remove_file(store, f"{materializer.uri}/{REFERENCE_FILE}")
    with pytest.raises(DamagedArtifact, match="reference/1"):
        materializer.load(RebasedReference)

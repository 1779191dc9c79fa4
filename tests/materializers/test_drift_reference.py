"""A reference reads back row by row, and an erased picture's row leaves it."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from zenml.artifact_stores import BaseArtifactStore

from materializers.blobs import write_blob
from materializers.drift_reference import DriftReference, read_reference
from materializers.errors import DamagedArtifact
from tests.materializers.examples import CLASSES, MODEL_DIGEST, drift_reference

IDS = tuple(f"{number:064x}" for number in range(6))


def same(one: DriftReference, other: DriftReference) -> bool:
    """Whether two references say the same."""
    pd.testing.assert_frame_equal(one.rows, other.rows, check_dtype=False)
    return (
        np.array_equal(one.scores, other.scores)
        and np.array_equal(one.embeddings, other.embeddings)
        and (one.classes, one.model) == (other.classes, other.model)
    )


def test_it_reads_back_row_by_row() -> None:
    """Scores, embeddings and measures to the bit, a measure that nobody computed as NaN."""
    before = drift_reference(*IDS)
    after = DriftReference.from_bytes(before.to_bytes())
    assert same(before, after)
    assert {str(after.scores.dtype), str(after.embeddings.dtype)} == {"float32"}
    assert (after.classes, after.model) == (CLASSES, MODEL_DIGEST)
    assert np.isnan(after.rows["brightness"].iloc[-1])
    assert before.to_bytes() == after.to_bytes()


def test_statistics_say_what_pictures_look_like() -> None:
    """Light, contrast, colour, sharpness, size, shape and weight of each."""
    reference = drift_reference(*IDS)
    assert set(reference.statistics) == {
        *("brightness", "contrast", "saturation", "sharpness", "width", "height", "aspect", "byte_count")
    }
    wide = reference.rows["width"] / reference.rows["height"]
    np.testing.assert_array_equal(reference.statistics["aspect"], wide)


@pytest.mark.parametrize("gone", [1, 5])
def test_an_erased_picture_leaves_with_score_and_embedding(gone: int) -> None:
    """The others keep theirs, whether the picture was embedded or not; an unknown one changes nothing."""
    before = drift_reference(*IDS)
    after = DriftReference.from_bytes(before.without({IDS[gone], "f" * 64}).to_bytes())
    left = [number for number in range(6) if number != gone]
    assert after.rows["image_id"].tolist() == [IDS[number] for number in left]
    np.testing.assert_array_equal(after.scores, before.scores[left])
    np.testing.assert_array_equal(after.embeddings, before.embeddings[[n for n in left if n < 4]])
    assert IDS[gone].encode() not in after.to_bytes()
    assert same(before.without({"f" * 64}), before)


def test_a_reference_that_lost_every_row_is_one() -> None:
    """Also without a single embedding, it keeps its shape."""
    empty = DriftReference.from_bytes(drift_reference(*IDS).without(IDS).to_bytes())
    assert (len(empty), empty.scores.shape, empty.embeddings.shape) == (0, (0, len(CLASSES)), (0, 3))


def test_parts_that_do_not_fit_are_refused() -> None:
    """A row more than scores, or an embedding that no row has, is a mistake of whoever made it."""
    good = drift_reference(*IDS)
    with pytest.raises(ValueError, match="do not fit"):
        DriftReference(good.rows, good.scores[1:], good.embeddings, good.classes, good.model)
    with pytest.raises(ValueError, match="do not fit"):
        DriftReference(good.rows, good.scores, good.embeddings[1:], good.classes, good.model)


@pytest.mark.parametrize("damage", ["text", "cut", "another table", "a later format"])
def test_a_damaged_file_is_named_with_what_to_do(damage: str, store: BaseArtifactStore) -> None:
    """What is not a reference, or one of tomorrow, is not read as something else."""
    good = drift_reference(*IDS).to_bytes()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, pa.schema([("a", pa.int64())])):
        pass
    data = {
        "text": b"no Arrow file at all",
        "cut": good[: len(good) // 2],
        "another table": sink.getvalue().to_pybytes(),
        "a later format": good.replace(b'"format_version": 1', b'"format_version": 2'),
    }[damage]
    uri = f"{store.path}/train/classifier/1/drift_reference.arrow"
    write_blob(store, uri, data)
    with pytest.raises(DamagedArtifact, match=r"drift_reference\.arrow is damaged .*python run.py --train"):
        read_reference(store, uri)

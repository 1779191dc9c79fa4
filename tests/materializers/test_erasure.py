"""The notes of forgotten pictures are read whole or not at all."""

import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers.blobs import write_blob
from materializers.erasure import (
    Erasure,
    Forgotten,
    PassedOver,
    forgotten_ids,
    notes_folder,
    read_notes,
    write_note,
)
from materializers.errors import DamagedArtifact
from tests.materializers.examples import erasure

ONE = Forgotten(name="aa" * 32, source_digests=("bb" * 32,), marks=("0123456789abcdef",), shards=())
TWO = Forgotten(name="cc" * 32, source_digests=(), marks=(), shards=("dd" * 32,))


def test_notes_are_kept_one_a_picture(store: BaseArtifactStore) -> None:
    """Written again, a note is replaced; every digest is forgotten, those of shards are not."""
    assert read_notes(store) == []
    assert forgotten_ids(store) == frozenset()
    write_note(store, TWO)
    write_note(store, ONE)
    write_note(store, ONE)
    assert read_notes(store) == [ONE, TWO]
    assert forgotten_ids(store) == {"aa" * 32, "bb" * 32, "cc" * 32}


def test_a_note_that_cannot_be_read_is_named(disk: LocalArtifactStore) -> None:
    """Nobody can say any more whether a picture was forgotten: nothing is taken in meanwhile."""
    write_note(disk, ONE)
    write_blob(disk, f"{notes_folder(disk)}/{TWO.name}.json", b"{")
    with pytest.raises(DamagedArtifact, match=TWO.name):
        forgotten_ids(disk)


def test_the_headline_has_the_proof() -> None:
    """What was searched, what was found, and on whose word."""
    headline = erasure().headline()
    assert (headline["scanned_files"], headline["found"], headline["models"]) == (1234, 0, 1)
    assert (headline["not_searchable"], headline["passed_over"]) == (0, 0)
    assert (headline["by"], headline["reason"]) == ("Anna Weber", "the customer asked")


def test_a_picture_without_a_fingerprint_is_not_searchable() -> None:
    """Also where other bytes of it have one: those that have none may lie anywhere."""
    assert ONE.searchable
    assert not TWO.searchable
    assert not ONE.model_copy(update={"plain": True}).searchable


def test_an_erasure_of_the_first_format_is_read_as_it_was() -> None:
    """It knew nothing of what could not be searched, and its digest stays."""
    later = ("archives", "not_searchable", "passed_over", "features_removed", "captures_erased")
    first = {name: value for name, value in erasure().model_dump(mode="json").items() if name not in later}
    read = Erasure.model_validate(first | {"format_version": 1})
    assert read.model_dump(mode="json") == first | {"format_version": 1}
    assert read.passed_over == ()


def test_an_erasure_of_the_second_format_is_read_as_it_was() -> None:
    """It knew nothing of features, and its digest stays."""
    second = erasure().model_dump(mode="json") | {"format_version": 2}
    del second["features_removed"], second["captures_erased"]
    assert Erasure.model_validate(second).model_dump(mode="json") == second


def test_an_erasure_of_the_third_format_is_read_as_it_was() -> None:
    """It knew nothing of captures, and its digest stays."""
    third = erasure().model_dump(mode="json") | {"format_version": 3}
    del third["captures_erased"]
    assert Erasure.model_validate(third).model_dump(mode="json") == third


def test_the_page_counts_the_captured_rows_that_lost_it() -> None:
    """Beside everything else that went."""
    assert '<td class="number">9</td>' in erasure(captures_erased=9).page()


def test_the_page_counts_the_features_that_went() -> None:
    """What a backbone made of a picture is the picture's, too."""
    assert '<td class="number">7</td>' in erasure(features_removed=7).page()


def test_the_page_names_what_could_not_be_searched() -> None:
    """A person looks there."""
    passed = PassedOver(place="deliveries/1/a.zip", number=3, why="a.tar: packed")
    page = erasure(outcome="not_proven", not_searchable=("ab" * 32,), passed_over=(passed,)).page()
    assert '<td class="path">deliveries/1/a.zip</td><td class="number">3</td><td>a.tar: packed</td>' in page
    assert f"<li><code>{'ab' * 32}</code></li>" in page
    assert "searched picture by picture: 1." in page


def test_the_page_lists_the_models_that_learnt_from_it() -> None:
    """A person decides what becomes of them."""
    page = erasure().page()
    assert '<td>product-classifier</td><td class="number">3</td>' in page
    assert "champion" in page
    assert "1,600,000,000 bytes" in page

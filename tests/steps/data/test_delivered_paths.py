"""A picture is found by the path under which it was delivered, and nothing is guessed."""

from __future__ import annotations

import pytest
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset, picture_digest
from materializers.quarantine import QuarantineBuilder
from steps.data.delivered_paths import ids_at_paths
from tests.actions.kept import Kept, photograph, picture
from tests.materializers.conftest import disk

__all__ = ["disk"]

DELIVERED = "d" * 64
IDS = [picture_digest(photograph(seed)) for seed in range(6)]


class Looking:
    """Two datasets and a quarantine of a store."""

    def __init__(self, store: LocalArtifactStore) -> None:
        kept = Kept(store)
        first = ImageDataset.from_pictures(
            [
                picture(0, source="shop/images/a.jpg"),
                picture(1, source="shop/images/b.jpg", source_digest=DELIVERED),
                picture(2, source="shop/more/images/c.jpg"),
            ]
        )
        second = ImageDataset.from_pictures([picture(3, source="other/images/b.jpg")])
        builder = QuarantineBuilder("shop", max_bytes=10**6)
        builder.add(photograph(4), path="images/q.jpg", label=None, reason="missing_label")
        builder.add(photograph(0), path="images/a.jpg", label=None, reason="missing_label")
        self.store = store
        self.folders = [kept.save(first), kept.save(first), kept.save(second)]
        self.quarantines = [kept.save(builder.build())]

    def find(self, *given: str) -> list[str]:
        """The ids that these stand for."""
        return ids_at_paths(self.store, self.folders, self.quarantines, given)


@pytest.fixture
def looking(disk: LocalArtifactStore) -> Looking:
    """What there is to be found."""
    return Looking(disk)


def test_a_path_stands_for_the_picture_that_was_delivered_under_it(looking: Looking) -> None:
    """With the name of the source or without, in datasets that several runs keep, and set aside."""
    given = ("images/a.jpg", "shop/images/b.jpg", "images/q.jpg", "more/images/c.jpg")
    assert looking.find(*given) == [IDS[0], IDS[1], IDS[4], IDS[2]]


def test_ids_stay_as_they_were_given(looking: Looking) -> None:
    """Whether there is such a picture is another's question."""
    assert looking.find("5c0d1e7f", IDS[0].upper()) == ["5c0d1e7f", IDS[0].upper()]


def test_a_path_of_several_pictures_is_refused_with_their_ids(looking: Looking) -> None:
    """Which one is meant is for a person to say."""
    with pytest.raises(UsageError, match="2 pictures were delivered as 'images/b") as error:
        looking.find("images/b.jpg")
    assert f"{IDS[1][:20]} (shop/images/b.jpg)" in str(error.value)
    assert f"{IDS[3][:20]} (other/images/b.jpg)" in str(error.value)


@pytest.mark.parametrize("path", ["b.jpg", "images/c.jpg", "images", "images/none.jpg", "5c0d"])
def test_part_of_a_path_is_not_enough(looking: Looking, path: str) -> None:
    """Neither the name of the file alone, nor a folder, nor too short an id."""
    with pytest.raises(UsageError, match="No dataset and no quarantine of this store has a picture"):
        looking.find(path)

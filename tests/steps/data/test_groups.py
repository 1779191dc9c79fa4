"""Tests of steps/data/groups.py."""

from random import Random

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from steps.data.groups import groups_of
from tests.steps.data.indexes import ROWS, Rows, connected_at_random, examples, index_of


def test_a_group_and_a_cluster_that_share_a_picture_are_one() -> None:
    """Near-duplicates of a vase belong to the vase, and so does what they are alike to."""
    groups = ["vase", "vase", None, None, None, "cup"]
    clusters = [None, "alike", "alike", None, "other", None]
    found = groups_of(index_of(["a"] * 6, groups, clusters))
    assert found.tolist() == ["vase", "vase", "vase", "picture-3", "picture-4", "cup"]


def test_two_named_groups_that_a_cluster_connects_have_the_smaller_name() -> None:
    """The name does not depend on which was delivered first."""
    index = index_of(["a"] * 3, ["vase", "cup", "vase"], ["alike", "alike", None])
    assert set(groups_of(index)) == set(groups_of(index[::-1])) == {"cup"}


def test_a_cluster_alone_has_the_smallest_picture_s_name() -> None:
    """Nobody named it."""
    index = index_of(["a"] * 3, None, [None, "alike", "alike"])
    assert groups_of(index[::-1]).sort_index().tolist() == ["picture-0", "picture-1", "picture-1"]


def test_the_same_file_is_one_group() -> None:
    """Two pictures that came as the same bytes belong together, however they are stored."""
    index = index_of(["a"] * 3).assign(source_digest=["x", "y", "x"])
    assert groups_of(index).tolist() == ["picture-0", "picture-1", "picture-0"]


def test_missing_values_connect_nothing() -> None:
    """Pictures without group and cluster are each their own, whatever stands for missing."""
    index = index_of(["a"] * 4, ["", None, None, "vase"]).assign(
        cluster=pd.array([pd.NA] * 4, dtype="string")
    )
    index["group"] = index["group"].replace("", None).astype(pd.StringDtype("pyarrow"))
    assert groups_of(index).tolist() == ["picture-0", "picture-1", "picture-2", "vase"]
    assert groups_of(index.drop(columns=["group", "cluster"])).nunique() == 4
    assert groups_of(index.head(0)).tolist() == []


def walked(index: pd.DataFrame) -> list[frozenset[str]]:
    """The components, found by walking from picture to picture."""
    left, components = set(index["image_id"]), []
    rows = {row.image_id: row for row in index.itertuples()}
    while left:
        found, waiting = set[str](), [min(left)]
        while waiting:
            one = rows[waiting.pop()]
            found.add(str(one.image_id))
            waiting += [
                name
                for name in left - found
                if (one.group is not None and one.group == rows[name].group)
                or (one.cluster is not None and one.cluster == rows[name].cluster)
            ]
        components.append(frozenset(found))
        left -= found
    return components


@examples
@given(ROWS, st.randoms(use_true_random=False))
def test_groups_are_what_a_walk_finds(rows: Rows, random: Random) -> None:
    """The components are exactly those, with the same names in any order of rows."""
    index = connected_at_random(rows)
    groups = groups_of(index)
    components = {frozenset(index.loc[groups == name, "image_id"]) for name in groups.unique()}
    assert components == set(walked(index))
    order = list(range(len(index)))
    random.shuffle(order)
    assert groups_of(index.iloc[order]).sort_index().tolist() == groups.tolist()

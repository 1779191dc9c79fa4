"""Indexes of datasets without a picture, made on the spot."""

from collections.abc import Sequence

import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

from materializers.splits import SIDES, Splits

# Examples take milliseconds, but not on a machine that does something else beside.
examples = settings(deadline=None, max_examples=50)

Groups = list[tuple[str, int]]
GROUPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), min_size=1, max_size=40)
"""Label and size of each group."""

Rows = list[tuple[str, str | None, str | None]]
ROWS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.one_of(st.none(), st.sampled_from([f"vase {number}" for number in range(12)])),
        st.one_of(st.none(), st.sampled_from([f"alike {number}" for number in range(12)])),
    ),
    max_size=60,
)
"""Label, group and cluster of each picture."""


def index_of(
    labels: Sequence[str],
    groups: Sequence[str | None] | None = None,
    clusters: Sequence[str | None] | None = None,
) -> pd.DataFrame:
    """An index of one picture a label, without a cluster where none are given."""
    ids = [f"picture-{number}" for number in range(len(labels))]
    index = pd.DataFrame({"image_id": ids, "label": labels, "group": groups or [None] * len(labels)})
    return index if clusters is None else index.assign(cluster=pd.Series(clusters, dtype=object))


def connected_at_random(rows: Rows) -> pd.DataFrame:
    """An index with groups and clusters that overlap."""
    labels, groups, clusters = ([row[place] for row in rows] for place in range(3))
    return index_of([str(label) for label in labels], groups, clusters)


def grouped(groups: Groups, first: int = 0) -> pd.DataFrame:
    """An index of groups of one label each; a group of one picture has no name."""
    rows = [
        (f"picture-{first + number}-{member}", label, f"group-{first + number}" if size > 1 else None)
        for number, (label, size) in enumerate(groups)
        for member in range(size)
    ]
    return pd.DataFrame(rows, columns=["image_id", "label", "group"])


def splits_of(index: pd.DataFrame, sides: Sequence[str] | pd.Series) -> Splits:
    """Splits in which the pictures of an index are on these sides."""
    return Splits(index[["image_id", "label"]].assign(split=list(sides)))


def sides_at_random(size: int) -> st.SearchStrategy[list[str]]:
    """A side for each picture, also apart."""
    return st.lists(st.sampled_from(SIDES), min_size=size, max_size=size)

"""Which pictures belong together, so that they are never on two sides of a split."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from materializers.splits import TEXT

JOINING_COLUMNS = ("group", "cluster", "source_digest")
"""Pictures that have one of these in common belong together: a product, near-duplicates, the same file."""

Codes = npt.NDArray[np.int64]


class Groups(NamedTuple):
    """Which pictures belong together."""

    codes: Codes
    """(n,) each picture's group, numbered from 0."""
    names: npt.NDArray[np.object_]
    """(groups,) the smallest name of each group; of one without a name, its smallest picture's id."""


def groups_of(index: pd.DataFrame) -> pd.Series:
    """The group of each row: pictures that a named group, a cluster or the same file connects.

    Args:
        index: ``image_id`` and any of ``group``, ``cluster`` and ``source_digest``; a missing value
            connects nothing.

    Returns:
        The group's name for each row, with the index of ``index``.
    """
    groups = connected(index)
    return pd.Series(groups.names[groups.codes], index=index.index, dtype=object)


def connected(index: pd.DataFrame) -> Groups:
    """The connected components of the pictures, by the columns that join them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = np.arange(len(index), dtype=np.int64)
    edges, nodes = [(rows[:0], rows[:0])], len(index)
    for column in JOINING_COLUMNS:
        if column not in index:
            continue
        values, found = pd.factorize(index[column])
        given = values >= 0
        edges.append((rows[given], values[given] + nodes))
        nodes += len(found)
    ends = tuple(np.concatenate([edge[end] for edge in edges]) for end in (0, 1))
    graph = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(nodes, nodes))
    _, components = connected_components(graph, directed=False) if len(index) else (0, rows)
    codes, _ = pd.factorize(components[: len(index)])
    return _merge_namesakes(codes.astype(np.int64), _names(index, codes))


def _names(index: pd.DataFrame, codes: Codes) -> npt.NDArray[np.object_]:
    """A name for each group that no order of rows changes."""
    names = np.empty(int(codes.max(initial=-1)) + 1, dtype=object)
    named = index["group"].notna().to_numpy(dtype=bool) if "group" in index else np.zeros(len(index), bool)
    unnamed = ~np.isin(codes, codes[named])
    for rows, column in ((named, "group"), (unnamed, "image_id")):
        if rows.any():
            ranks, sorted_names = pd.factorize(index.loc[rows, column].astype(TEXT), sort=True)
            least = np.full(len(names), len(sorted_names), dtype=np.int64)
            np.minimum.at(least, codes[rows], ranks)
            has = least < len(sorted_names)
            names[has] = sorted_names.to_numpy(dtype=object)[least[has]]
    return names


def _merge_namesakes(codes: Codes, names: npt.NDArray[np.object_]) -> Groups:
    """Make one group of a named group and a picture alone whose id is that name."""
    merged, unique = pd.factorize(names)
    return Groups(codes=merged.astype(np.int64)[codes], names=unique)

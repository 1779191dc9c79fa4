"""Find pictures that look alike: the same photograph recompressed, resized, slightly cropped or renamed.

Perceptual hashes propose pairs, the difference of thumbnails confirms them, and a cluster holds what was
confirmed against its representative: no chain leads from one picture to another that it does not look like.
A cluster never spans two splits. Pictures without a hash (small or flat ones) are alike only if they are
equal, and equal pictures are one row of a dataset.
"""

from collections.abc import Callable, Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serving.model_directory import Preprocessing
from serving.preprocess import decode

Pairs = NDArray[np.int64]
"""``(m, 2)`` rows ``i < j`` of positions, sorted."""

Thumbnail = NDArray[np.uint8]
"""``(32, 32, 3)`` uint8, RGB, upright."""

MAX_DISTANCE = 6
"""Bits of 64 in which the hashes of near-duplicates differ at most. Of 500 photographs
(``clothing-dataset-small``), cropped by 1 % on each side, 95 % are within 4 bits and 99 % within 6; of 3,781
different ones, 5 and 43 pairs are."""
MAX_DIFFERENCE = 12.0
"""Mean difference of two thumbnails, in levels of 0 to 255. Of the same 500, copies at JPEG quality 30 to 95
or at 50 % to 200 % of the size differ by 10.9 at most, and 99 % of those cropped by 1 % by 8.9. The different
products nearest to each other, of those within 6 bits, differ by 15.6."""
MAX_PAIRS = 12_500_000
"""All pairs are proposed up to this number: as many as 5,000 pictures can have, 200 MB. Beyond it, the
largest groups of equal hashes are proposed as stars."""
LARGE_BUCKET = 512
"""Hashes that agree in a band; more than these are told apart by the bands of their other bits first."""
BITS = 64
MIN_BITS = 40
"""A bucket is not told apart further by fewer bits than these."""
BLOCK = 1024
"""Pairs that are compared, and pictures that are loaded, at once."""
THUMBNAIL = Preprocessing(height=32, width=32, resample="box", decode_scale=2)


def propose_pairs(hashes: NDArray[np.uint64], max_distance: int = MAX_DISTANCE) -> Pairs:
    """All pairs of hashes that differ in at most ``max_distance`` bits.

    Of ``max_distance + 1`` bands of bits, two such hashes agree in one at least (Norouzi, Punjani, Fleet,
    "Fast search in Hamming space with multi-index hashing", 2012).

    Args:
        hashes: ``(n,)`` uint64.
        max_distance: in bits.

    Returns:
        Every pair once. When equal hashes make them more than ``MAX_PAIRS``, the largest groups of equal
        hashes are stars: their first member is paired with each other one, and it alone with those of groups
        nearby.
    """
    if not len(hashes):
        return np.empty((0, 2), dtype=np.int64)
    unique, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    members = np.argsort(inverse, kind="stable")
    starts = np.cumsum(counts) - counts
    near = _near(unique, np.arange(len(unique)), list(range(BITS)), max_distance)
    largest = _largest_in_full(counts, near)
    star = counts > largest
    shown = np.where(star, 1, counts)
    found = [_within(members, starts, counts, star), _between(members, starts, shown, near)]
    codes = np.concatenate([pairs.min(axis=1) * len(hashes) + pairs.max(axis=1) for pairs in found])
    codes.sort()
    return np.stack([codes // len(hashes), codes % len(hashes)], axis=1)


def confirm(
    pairs: Pairs, thumbnail_of: Callable[[int], Thumbnail], max_difference: float = MAX_DIFFERENCE
) -> Pairs:
    """Keep the pairs whose thumbnails hardly differ once both are equally bright.

    Args:
        pairs: what was proposed.
        thumbnail_of: the thumbnail of a position; asked once for each.
        max_difference: the mean over pixels and channels, in levels of 0 to 255.
    """
    if not len(pairs):
        return pairs
    positions, places = np.unique(pairs, return_inverse=True)
    thumbnails = np.stack([thumbnail_of(int(position)).ravel() for position in positions])
    brightness = thumbnails.mean(axis=1, dtype=np.float32).clip(min=1.0)
    kept = [
        _difference(thumbnails, brightness, block) <= max_difference
        for block in np.array_split(places.reshape(-1, 2), -(-len(pairs) // BLOCK))
    ]
    return pairs[np.concatenate(kept)]


def _difference(thumbnails: Thumbnail, brightness: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float32]:
    """The mean difference of each pair's thumbnails, both scaled to the brightness between theirs."""
    between = brightness[pairs].mean(axis=1, keepdims=True)
    one, other = (thumbnails[pairs[:, side]] * (between / brightness[pairs[:, [side]]]) for side in (0, 1))
    difference: NDArray[np.float32] = np.abs(one - other).mean(axis=1)
    return difference


def clusters(n: int, pairs: Pairs, representatives: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Gather pictures around representatives: each member was confirmed against its own.

    Connected pairs alone would be chains: of pictures that change little by little, the first and the last
    would be in one cluster. So who has most confirmed pairs (of equals, the first) represents those of its
    neighbours that are free, and so on.

    Args:
        n: the number of pictures.
        pairs: the confirmed ones.
        representatives: ``(n,)``, each picture's representative as found before, -1 without; these stay.

    Returns:
        ``(n,)``: the position of each picture's representative; its own where it is alone or represents.
    """
    labels = np.full(n, -1, dtype=np.int64) if representatives is None else representatives.copy()
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    degrees = np.bincount(both[:, 0], minlength=n)
    ends = np.cumsum(degrees)
    free = np.flatnonzero((labels < 0) & (degrees > 0))
    earlier = np.unique(labels[labels >= 0])
    for position in (*earlier, *free[np.argsort(-degrees[free], kind="stable")]):
        if labels[position] not in (-1, position):
            continue
        labels[position] = position
        neighbours = both[ends[position] - degrees[position] : ends[position], 1]
        labels[neighbours[labels[neighbours] < 0]] = position
    return np.where(labels < 0, np.arange(n), labels)


def find_clusters(
    index: pd.DataFrame,
    load: Callable[[list[str]], list[bytes]],
    *,
    known: Collection[str] = (),
    max_distance: int = MAX_DISTANCE,
    max_difference: float = MAX_DIFFERENCE,
) -> pd.Series:
    """The cluster of each picture, those of earlier deliveries kept.

    Only pairs with a picture that has no cluster and is not ``known`` are confirmed, so that a delivery costs
    what is new in it.

    Args:
        index: one row a picture; columns ``image_id``, ``phash``; where present ``orientation``, ``cluster``
            (what this function found before), ``shard`` and ``shard_row``, in whose order pictures load.
        load: the encoded pictures of these ``image_id``.
        known: pictures that were looked at before, those without a cluster too.
        max_distance: bits in which the hashes of a proposed pair may differ.
        max_difference: levels by which the thumbnails of a confirmed pair may.

    Returns:
        With the index of ``index``, text: the ``image_id`` of the cluster's representative, against which
        every member was confirmed; missing where a picture is alone. When the representative is gone
        (withdrawn, forgotten), its cluster is found anew.
    """
    rows = index.reset_index(drop=True)
    names = rows["image_id"].astype(str).to_numpy(dtype=object)
    earlier = _earlier(rows, names)
    lost = (rows["cluster"].notna().to_numpy(dtype=bool) if "cluster" in rows else False) & (earlier < 0)
    settled = (earlier >= 0) | (np.isin(names, np.array(list(known), dtype=object)) & ~lost)
    hashed = np.flatnonzero(rows["phash"].notna())
    hashes = np.array([int(text, 16) for text in rows["phash"].iloc[hashed]], dtype=np.uint64)
    pairs = hashed[propose_pairs(hashes, max_distance)]
    pairs = pairs[~(settled[pairs[:, 0]] & settled[pairs[:, 1]])]
    confirmed = confirm(pairs, _thumbnails(rows, names, np.unique(pairs), load), max_difference)
    labels = clusters(len(rows), confirmed, earlier)
    alone = np.bincount(labels, minlength=len(rows))[labels] == 1
    found = pd.Series(names[labels], index=index.index, dtype=pd.StringDtype("pyarrow"), name="cluster")
    return found.mask(alone)


def _earlier(rows: pd.DataFrame, names: NDArray[np.object_]) -> NDArray[np.int64]:
    """The position of each row's representative as the column ``cluster`` says, -1 without one."""
    if "cluster" not in rows:
        return np.full(len(rows), -1, dtype=np.int64)
    positions: NDArray[np.int64] = pd.Index(names).get_indexer(pd.Index(rows["cluster"].astype(object)))
    return positions


def _thumbnails(
    rows: pd.DataFrame,
    names: NDArray[np.object_],
    positions: NDArray[np.int64],
    load: Callable[[list[str]], list[bytes]],
) -> Callable[[int], Thumbnail]:
    """The thumbnails of these positions, loaded block by block in the order of their shards."""
    asked = rows.iloc[positions]
    if {"shard", "shard_row"} <= set(rows.columns):
        asked = asked.sort_values(["shard", "shard_row"])
    orientations = asked["orientation"].fillna(1) if "orientation" in asked else pd.Series(1, asked.index)
    made: dict[int, Thumbnail] = {}
    for start in range(0, len(asked), BLOCK):
        block = asked.index[start : start + BLOCK]
        for position, data in zip(block, load(list(names[block])), strict=True):
            made[int(position)] = compared_thumbnail(data, int(orientations[position]))
    return made.__getitem__


def compared_thumbnail(data: bytes, orientation: int = 1) -> Thumbnail:
    """A stored picture at 32 × 32 pixels, upright.

    Raises:
        BadPicture: the picture cannot be decoded.
    """
    return decode(data, THUMBNAIL, orientation=orientation)


def _near(hashes: NDArray[np.uint64], rows: NDArray[np.int64], bits: list[int], max_distance: int) -> Pairs:
    """The pairs of ``rows`` within the distance, each once; they agree in all bits but ``bits``."""
    bands = [bits[first :: max_distance + 1] for first in range(max_distance + 1)]
    masks = [np.uint64(sum(1 << bit for bit in band)) for band in bands]
    found = []
    for number, (band, mask) in enumerate(zip(bands, masks, strict=True)):
        rest = [bit for bit in bits if bit not in band]
        pairs = _agreeing(hashes, rows, mask, rest, max_distance)
        differences = hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]
        new = np.ones(len(pairs), dtype=bool)
        for earlier in masks[:number]:  # what agrees in an earlier band was found there
            new &= (differences & earlier) != 0
        found.append(pairs[new])
    return np.concatenate(found)


def _agreeing(
    hashes: NDArray[np.uint64], rows: NDArray[np.int64], mask: np.uint64, rest: list[int], max_distance: int
) -> Pairs:
    """The pairs of ``rows`` that agree in the bits of ``mask`` and are within the distance."""
    keys = hashes[rows] & mask
    order = np.argsort(keys, kind="stable")
    rows, keys = rows[order], keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(np.append(starts, len(rows)))
    large = (sizes > LARGE_BUCKET) & (len(rest) >= MIN_BITS)
    found = [
        _near(hashes, rows[start : start + size], rest, max_distance)
        for start, size in zip(starts[large], sizes[large], strict=True)
    ]
    small = ~np.repeat(large, sizes)
    rows, keys = rows[small], keys[small]
    lower, step = np.arange(len(rows)), 0
    while len(lower):  # each row of a bucket with the one ``step`` rows below it
        step += 1
        lower = lower[: np.searchsorted(lower, len(rows) - step)]
        lower = lower[keys[lower] == keys[lower + step]]
        distances = np.bitwise_count(hashes[rows[lower]] ^ hashes[rows[lower + step]])
        near = lower[distances <= max_distance]
        found.append(np.stack([rows[near], rows[near + step]], axis=1))
    return np.concatenate(found)


def _largest_in_full(counts: NDArray[np.int64], near: Pairs) -> int:
    """The size up to which groups of equal hashes are paired in full without exceeding ``MAX_PAIRS``."""
    for size in np.unique(counts)[::-1]:
        star = counts > size
        shown = np.where(star, 1, counts)
        within = np.where(star, counts - 1, counts * (counts - 1) // 2).sum()
        if within + (shown[near[:, 0]] * shown[near[:, 1]]).sum() <= MAX_PAIRS:
            return int(size)
    return 1


def _within(
    members: NDArray[np.int64], starts: NDArray[np.int64], counts: NDArray[np.int64], star: NDArray[np.bool_]
) -> Pairs:
    """The pairs inside each group of equal hashes: all, or the first member with each other one."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for size in np.unique(counts[counts > 1]):
        if star[counts == size].any():
            one, other = np.zeros(size - 1, dtype=np.int64), np.arange(1, size)
        else:
            one, other = np.triu_indices(size, 1)
        groups = starts[counts == size][:, None]
        found.append(np.stack([members[groups + one], members[groups + other]], axis=2).reshape(-1, 2))
    return np.concatenate(found)


def _between(
    members: NDArray[np.int64], starts: NDArray[np.int64], shown: NDArray[np.int64], near: Pairs
) -> Pairs:
    """Each shown member of a group with each one of a group nearby."""
    left, right = near[:, 0], near[:, 1]
    products = shown[left] * shown[right]
    pair = np.repeat(np.arange(len(near)), products)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(products) - products, products)
    one = starts[left[pair]] + place // shown[right[pair]]
    other = starts[right[pair]] + place % shown[right[pair]]
    return np.stack([members[one], members[other]], axis=1)

"""How much of a test set another one shares, from a short text that a registry can keep of each.

Ids of pictures are digests, so that the smallest of them are a random sample of a set, and the same sample
wherever the same picture is in it (k minimum values: Beyer et al. 2007, "On synopses for distinct-value
estimation under multiset operations").
"""

from __future__ import annotations

from collections.abc import Sequence

KEPT = 64
"""Ids of a set; of larger sets the share is an estimate, whose standard error is 6 of 100 at most where both
are as large."""
DIGITS = 12
"""Of an id: no two of a million pictures share them."""


def sample_of(image_ids: Sequence[str]) -> str:
    """The beginnings of the smallest ids, in order."""
    return " ".join(image_id[:DIGITS] for image_id in sorted(image_ids)[:KEPT])


def share_in_common(one: str, other: str) -> float:
    """The share of the smaller set's pictures that the other one has, too.

    Args:
        one: what ``sample_of`` kept of it; of no picture, nothing is shared.
        other: the same.
    """
    samples = [text.split() for text in (one, other)]
    # Up to the last one that was kept of a set, all of its pictures are known.
    known = min((sample[-1] for sample in samples if len(sample) == KEPT), default="g")
    first, second = ({each for each in sample if each <= known} for sample in samples)
    fewer = min(len(first), len(second))
    return len(first & second) / fewer if fewer else 0.0

"""Moments as arrays have them: microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Moments: TypeAlias = NDArray[np.int64]
MICRO = 1_000_000
"""Of them in a second."""
NEVER = np.iinfo(np.int64).max


def moment(when: datetime) -> int:
    """One moment.

    Raises:
        ValueError: it has no time zone.
    """
    if when.tzinfo is None:
        raise ValueError(f"{when} has no time zone, so that nobody knows when that is.")
    return round(when.timestamp() * MICRO)


def moments(times: pd.Series) -> Moments:
    """Those of a column of times; ``NEVER`` where there is none."""
    import pandas as pd

    found = pd.to_datetime(times, utc=True).dt.tz_localize(None).astype("datetime64[us]")
    return np.where(found.isna(), NEVER, found.to_numpy().astype(np.int64))


def time_of(at: int) -> datetime:
    """The time of a moment."""
    return datetime.fromtimestamp(at / MICRO, UTC)

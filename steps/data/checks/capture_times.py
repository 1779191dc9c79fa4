"""When each picture was taken, as its delivery says; splits by time need it of every one."""

import pandas as pd

from materializers.data_report import Check
from materializers.report import counted
from steps.data.checks.judging import judged
from steps.data.checks.limits import NeededLimit


def capture_times(index: pd.DataFrame) -> pd.Series:
    """The column ``captured_at`` as times in UTC; ``NaT`` where it is missing or no ISO 8601 time."""
    if "captured_at" not in index:
        return pd.Series(pd.NaT, index=index.index, dtype="datetime64[ns, UTC]")
    given = index["captured_at"].astype(object)
    return pd.to_datetime(given, format="ISO8601", errors="coerce", utc=True).astype("datetime64[ns, UTC]")


def check_capture_times(index: pd.DataFrame) -> Check:
    """Refuse to split by time where a picture has none."""
    undated = int(capture_times(index).isna().sum())
    reason = (
        f"No readable time in captured_at: {undated:,} of {counted(len(index), 'picture')}; "
        "split by time, every picture needs one."
    )
    mend = "Fill it in labels.csv, like 2026-11-21T14:00:00Z, or split by groups: --set split.by=groups."
    return judged("capture_times", undated, NeededLimit(limit=0), "at most", reason, mend)

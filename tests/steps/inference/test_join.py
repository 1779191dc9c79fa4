"""Tests of steps/inference/join.py: what several steps answered is one table."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from materializers.errors import DamagedArtifact
from materializers.prediction_table import prediction_schema
from materializers.predictions import Predictions
from steps.inference.join import join_predictions
from tests.materializers.examples import predictions


def test_rows_counts_and_times_are_those_of_all_parts() -> None:
    """Part after part, with what they have in common."""
    joined = join_predictions([predictions(), predictions(), predictions()])
    said = predictions().provenance
    assert said is not None
    assert joined.provenance is not None
    assert list(joined.rows["path"]) == ["a.png", "b.png"] * 3
    assert joined.provenance.counts.model_dump() == {
        **{"pictures": 6, "classified": 3, "abstained": 0, "bad": {"truncated": 3}},
    }
    assert joined.provenance.model_copy(update={"counts": said.counts}) == said


def test_a_part_that_says_nothing_of_itself_is_damaged(tmp_path: Path) -> None:
    """Nobody knows which model answered."""
    path = tmp_path / "part.parquet"
    pq.write_table(prediction_schema(("tops",)).empty_table(), path)
    with pytest.raises(DamagedArtifact, match="do not say where they come from"):
        join_predictions([predictions(), Predictions(path)])

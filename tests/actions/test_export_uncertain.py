"""The act that exports uncertain pictures: what it says, and what it does where there are none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actions.export_uncertain import export_uncertain
from pipelines.config import load_config
from steps.monitoring.traffic import captures
from tests.captured import MODEL, answered, picture, shipped
from tests.materializers.stores import disk_store
from tests.serving.pictures import encode, gradient


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact store of its own."""
    (tmp_path / "store").mkdir()
    monkeypatch.setattr(captures, "active_store", lambda: disk_store(tmp_path / "store"))
    return tmp_path / "store"


def test_the_command_that_takes_them_back_is_said(root: Path, tmp_path: Path) -> None:
    """With how many there are, of the environment that was asked for, in the time that pictures are kept."""
    config = load_config(None, (f"product.model={MODEL.name}", "labelling.pictures=1"))
    now = datetime.now(UTC)
    old = now - timedelta(days=config.keeping.captured_pictures_days + 1)
    for number, at in enumerate((now, now, old)):
        asked = picture(encode(gradient(64, 48, number)), abstained=at is old or number == 1)
        shipped(root, tmp_path / f"{number}", [answered(f"{number}", asked, at=at)], pictures=1.0)
    elsewhere = answered("p", picture(encode(gradient(64, 48, 9)), abstained=True), at=now)
    shipped(root, tmp_path / "p", [elsewhere], pictures=1.0, environment="production")
    target = tmp_path / "to-label"
    result = export_uncertain(config, str(target), "staging")
    assert result.details == {"path": str(target), "pictures": 1, "abstained": 1}
    assert f"--continuous --source {target}" in result.reasons[0]
    _, row = (target / "labels.csv").read_text().splitlines()
    assert ",true," in row


def test_where_nothing_was_captured_nothing_is_written(root: Path, tmp_path: Path) -> None:
    """And that is no fault."""
    result = export_uncertain(load_config(None, ()), str(tmp_path / "out"), "staging")
    assert (result.status, result.exit_code) == ("done", 0)
    assert "nothing was written" in result.reasons[0]
    assert not (tmp_path / "out").exists()

"""Copies of model directories, named by their digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from materializers.errors import Refused, ServiceUnreachable
from materializers.evidence import PresentModel
from serving.model_directory import model_digest
from stacks.model_copies import ModelCopies
from tests.stacks.local_deployer.conftest import change_a_byte, write_model


def test_a_copy_has_the_digest_of_what_arrived(tmp_path: Path) -> None:
    """The same model is one copy; a damaged copy is replaced; nothing incomplete is left."""
    digest = write_model(tmp_path / "model", 1)
    copies = ModelCopies(tmp_path / "site")
    assert copies.fetch(str(tmp_path / "model")) == PresentModel(copies.path(digest), digest)
    assert model_digest(copies.path(digest)) == digest
    change_a_byte(copies.path(digest) / "model.onnx")
    assert copies.whole(digest) is None
    assert copies.fetch(f"{tmp_path}/model/") == copies.whole(digest) is not None
    assert [path.name for path in (tmp_path / "site" / "models").iterdir()] == [digest]


def test_what_cannot_be_copied_is_said(tmp_path: Path) -> None:
    """Nothing there is an unreachable store; other files are no model."""
    copies = ModelCopies(tmp_path / "site")
    with pytest.raises(ServiceUnreachable, match="nothing is there"):
        copies.fetch(str(tmp_path / "gone"))
    write_model(tmp_path / "model", 1)
    (tmp_path / "model" / "code.pkl").write_bytes(b"x")
    with pytest.raises(Refused, match=r"code\.pkl"):
        copies.fetch(str(tmp_path / "model"))


def test_pruning_keeps_only_what_is_needed(tmp_path: Path) -> None:
    """Other copies and what a killed command left are removed."""
    copies = ModelCopies(tmp_path / "site")
    copies.prune([])
    kept, dropped = (write_model(tmp_path / name, seed) for seed, name in enumerate(("a", "b")))
    for name in ("a", "b"):
        copies.fetch(str(tmp_path / name))
    (tmp_path / "site" / "models" / ".part-1").mkdir()
    copies.prune([kept])
    assert copies.whole(dropped) is None
    assert [path.name for path in (tmp_path / "site" / "models").iterdir()] == [kept]

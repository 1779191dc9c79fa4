"""A model as the artifact store holds it now: what arrives is digested, and nothing of it is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from materializers.errors import ModelGone, Refused
from materializers.present_model import present_model
from serving.model_directory import ModelDirectoryError, model_digest
from tests.stacks.local_deployer.conftest import write_model


def test_what_is_stored_is_here_until_the_context_ends(tmp_path: Path) -> None:
    """Under the digest of its bytes."""
    digest = write_model(tmp_path / "model", 1)
    with present_model(str(tmp_path / "model"), model_digest) as model:
        assert (model.digest, model_digest(model.directory)) == (digest, digest)
        assert model.directory != tmp_path / "model"
    assert not model.directory.exists()


def test_what_is_gone_and_what_is_no_model_is_said(tmp_path: Path) -> None:
    """By its address, with the command that mends it."""
    with pytest.raises(ModelGone, match="nothing is there"), present_model(f"{tmp_path}/gone", model_digest):
        pass
    write_model(tmp_path / "model", 1)

    def none(directory: Path) -> str:
        raise ModelDirectoryError("it is a link")

    with (
        pytest.raises(Refused, match=r"is no model: it is a link\. .*python run\.py --train"),
        present_model(str(tmp_path / "model"), none),
    ):
        pass

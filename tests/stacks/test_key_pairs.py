"""Key pairs are made once, and their private halves are their owner's alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from materializers.signatures import ACTOR_KEY, PrivateKey
from stacks.key_pairs import main, missing_keys


def test_a_pair_signs_and_is_readable_by_its_owner_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public half is the private one's."""
    assert main([str(tmp_path / "keys"), "gate", "ada@example.com"]) == 0
    assert "ada@example.com.pem" in capsys.readouterr().out
    private = tmp_path / "keys" / "ada@example.com.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    monkeypatch.setenv(ACTOR_KEY, str(private))
    public = (tmp_path / "keys" / "ada@example.com.pub.pem").read_text()
    assert PrivateKey.from_environment(ACTOR_KEY).public_pem == public


@pytest.mark.parametrize("half", ["gate.pem", "gate.pub.pem"])
def test_no_key_is_replaced(tmp_path: Path, half: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is there stays, byte for byte, and the message names it."""
    (tmp_path / half).write_text("mine")
    assert main([str(tmp_path), "gate"]) == 2
    assert half in capsys.readouterr().err
    assert (tmp_path / half).read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with exit code 4."""
    (tmp_path / "file").write_text("no folder")
    assert main([str(tmp_path / "file" / "keys"), "gate"]) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_demo_pairs_are_missing_until_one_half_is_there(tmp_path: Path) -> None:
    """A machine that has the public half alone signs elsewhere: nothing is made for it."""
    assert missing_keys(tmp_path) == ["gate", "actor"]
    (tmp_path / "gate.pub.pem").write_text("public")
    assert missing_keys(tmp_path) == ["actor"]

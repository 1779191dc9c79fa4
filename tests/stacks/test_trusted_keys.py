"""Public keys are read as the stack file gives them, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from materializers.errors import UsageError
from materializers.signatures import make_key_pair
from stacks.trusted_keys import trusted_keys

PRIVATE, PUBLIC = make_key_pair()
OTHER = make_key_pair()[1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a public key."""
    path = tmp_path / "key.pem"
    path.write_text(PUBLIC)
    return path


def test_a_key_is_text_or_the_path_of_a_file(file: Path) -> None:
    """Of the gate as of each account; an account with nothing beside it is left out."""
    for given in (PUBLIC, str(file)):
        keys = trusted_keys(given, {"ada": given, "gone": ""})
        assert keys.gate.strip() == PUBLIC.strip()
        assert set(keys.actors) == {"ada"}


def test_a_path_in_the_home_folder_is_found(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell writes it."""
    monkeypatch.setenv("HOME", str(file.parent))
    assert trusted_keys("~/key.pem", {}).gate == PUBLIC


def test_several_keys_of_one_account_are_kept() -> None:
    """The newer one first: what the older one signed still holds."""
    assert trusted_keys(PUBLIC, {"ada": OTHER + PUBLIC}).actors["ada"] == OTHER + PUBLIC


@pytest.mark.parametrize("gate", [None, ""])
def test_without_the_gates_key_no_model_is_verified(gate: str | None) -> None:
    """Nothing is trusted for want of a key."""
    with pytest.raises(UsageError, match=r"names no gate_public_key.*make stack"):
        trusted_keys(gate, {"ada": PUBLIC})


def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    """Its path is named."""
    with pytest.raises(UsageError, match=r"The public key .*gone\.pem cannot be read .*make stack"):
        trusted_keys(PUBLIC, {"ada": str(tmp_path / "gone.pem")})


@pytest.mark.parametrize("held", ["", "no key", PRIVATE, PUBLIC.replace("A", "B", 20)])
def test_what_is_no_public_key_is_refused_and_not_repeated(file: Path, held: str) -> None:
    """A private key least of all."""
    file.write_text(held)
    with pytest.raises(UsageError, match="public keys that cannot be used") as raised:
        trusted_keys(PUBLIC, {"ada": str(file)})
    assert "BEGIN" not in str(raised.value).replace("-----BEGIN PUBLIC KEY-----", "")

"""The addresses that ``python -m observability`` is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.observability.conftest import observability


@pytest.mark.parametrize("option", ["--webhook", "--critical-webhook"])
def test_a_webhook_that_is_no_address_is_told_how_one_begins(tmp_path: Path, option: str) -> None:
    """Exit code 2 in words, not as a pattern, before anything is started or made."""
    programs, targets = tmp_path / "bin", tmp_path / "targets.json"
    programs.mkdir()
    targets.write_text("[]")
    for name in ("prometheus", "prometheus-alertmanager"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    site = tmp_path / "site"
    given = ("--home", str(site), "--targets", str(targets), option, "hooks.example.com/alerts")
    done = observability("up", *given, PATH=str(programs))
    assert (done.exit_code, done.stderr) == (
        2,
        f"Error: {option} 'hooks.example.com/alerts' cannot be used: it begins with http:// or https://, "
        "such as http://127.0.0.1:9090, and has no blanks\n",
    )
    assert not site.exists()

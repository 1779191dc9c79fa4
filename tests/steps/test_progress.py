"""Tests of steps/progress.py."""

import io
import logging
import sys

import pytest

from steps.progress import progress


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_without_a_terminal_there_is_one_line_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is written while it works."""
    caplog.set_level(logging.INFO, "shutterline")
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with progress("ingest", 3000) as meter:
        meter.advance(2990)
        meter.advance()
        meter.note("3,000 pictures, 12 set aside")
        assert caplog.messages == []
    assert [message.split(" (")[0] for message in caplog.messages] == ["ingest: 3,000 pictures, 12 set aside"]
    assert meter.done == 2991
    assert written.getvalue() == ""


def test_without_a_note_the_line_says_how_much_was_done(caplog: pytest.LogCaptureFixture) -> None:
    """The count and the seconds are enough."""
    caplog.set_level(logging.INFO, "shutterline")
    with progress("train", None) as meter:
        meter.advance(1234)
    assert caplog.messages[0].startswith("train: 1,234 (")
    assert caplog.messages[0].endswith(" s)")


def test_what_fails_says_how_far_it_came(caplog: pytest.LogCaptureFixture) -> None:
    """One line, and the error goes on."""
    caplog.set_level(logging.INFO, "shutterline")
    with pytest.raises(ValueError, match="broken"), progress("ingest", 10) as meter:
        meter.advance(4)
        raise ValueError("broken")
    assert [message.split(" (")[0] for message in caplog.messages] == ["ingest: stopped after 4"]


def test_a_terminal_sees_a_bar(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The title, the count and the note are on it; the closing line is the same."""
    caplog.set_level(logging.INFO, "shutterline")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("ingest", 10) as meter:
        meter.advance(10)
        meter.note("all good")
    shown = terminal.getvalue()
    assert "ingest" in shown
    assert "10/10" in shown
    assert "all good" in shown
    assert len(caplog.messages) == 1

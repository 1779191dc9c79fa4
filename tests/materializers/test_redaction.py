"""What is a secret, or looks like one, is masked; what is none stays readable."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from materializers.redaction import one_line, redact, visible

PLANTED = "pLanted-s3cret"


# In pieces, so that the test that looks for committed secrets finds none.
@pytest.mark.parametrize(
    "text",
    [
        f"cannot reach https://ada:{PLANTED}@mlflow.example/api",
        f"cannot reach https://{PLANTED}@mlflow.example/api",
        f"GET /file?X-Amz-Signature={PLANTED}&part=1",
        f"GET /file?key={PLANTED}",
        f"aws_secret_access_key={PLANTED} refused",
        f"{{'password': '{PLANTED}', 'user': 'ada'}}",
        f'{{"api_key": "{PLANTED} with a space"}}',
        f"refused the token: {PLANTED}",
        f"Authorization: Bearer {PLANTED}",
        f"authorization={PLANTED}",
        f"Proxy-Authorization: Basic {PLANTED}",
        "denied for AKIA" + PLANTED.upper().replace("-", "0") + "XX, sorry",
        "denied for ZENKEY_" + PLANTED,
        "denied for eyJhbGciOiJIUzI1NiJ9." + PLANTED,
    ],
)
def test_a_secret_is_masked(text: str) -> None:
    """By the place it stands in, or by its form."""
    masked = redact(text, {})
    assert PLANTED not in masked
    assert PLANTED.upper().replace("-", "0") not in masked
    assert "***" in masked


def test_what_stands_beside_a_secret_stays() -> None:
    """The reader still learns what was refused, and where."""
    text = f"https://ada:{PLANTED}@mlflow.example/api?token={PLANTED}&part=1 answers 401"
    assert redact(text, {}) == "https://***@mlflow.example/api?token=***&part=1 answers 401"


@pytest.mark.parametrize("name", ["API_KEY", "shutterline_secret", "SOME_TOKEN_2", "DB_PASSWORD"])
def test_the_value_of_a_secret_variable_is_masked_anywhere(name: str) -> None:
    """Alone, and as it stands in an address."""
    value = "w/ slash+plus"
    text = f"it said {value!r}, or {quote(value, safe='')}"
    assert redact(text, {name: value}) == "it said '***', or ***"


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("KeyError: 'label' at key: label", {}),
        ("configuration: unknown key 'epoch'; did you mean 'epochs'?", {}),
        ("s3://bucket/key/photo@2x.jpg is not there: https://host/a@b", {}),
        ("1 of 3 tokens were true", {"TOKENIZERS_PARALLELISM": "true", "A_KEY": "1"}),
        ("the value is public-value", {"PUBLIC": "public-value"}),
    ],
)
def test_what_is_no_secret_is_left_alone(text: str, environment: dict[str, str]) -> None:
    """A message that is all stars helps nobody."""
    assert redact(text, environment) == text


def test_a_message_becomes_one_line_without_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    """Line breaks, the statement with its parameters, and this process's secrets are gone."""
    monkeypatch.setenv("PLANTED_TOKEN", PLANTED)
    assert one_line(f"no such\n  table {PLANTED}\n[SQL: SELECT 1]") == "no such table ***"


@pytest.mark.parametrize("piece", ["a", "a.", "token-", "x://", "ey"])
def test_a_long_message_takes_no_time(piece: str) -> None:
    """An exception may quote a whole page; no pattern goes over it again and again."""
    text = piece * (500_000 // len(piece))
    started = time.process_time()
    redact(text, {})
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("hidden\rshown", r"hidden\rshown"),
        ("\x9b2J \x7f \x00", r"\x9b2J \x7f \x00"),
        ("gnp.\u202egab \u2066x\u2069 \u200f", r"gnp.\u202egab \u2066x\u2069 \u200f"),
        ("one\u2028two\x0bthree\x85", r"one\u2028two\x0bthree\x85"),
        ("two\nlines,\ta tab, Röcke, 靴, 👜", "two\nlines,\ta tab, Röcke, 靴, 👜"),
    ],
)
def test_what_a_terminal_obeys_is_shown(text: str, shown: str) -> None:
    """Each character by its escape; letters of any script, lines and tabs stay what they are."""
    assert visible(text) == shown

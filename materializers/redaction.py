"""Take out of a text what may not be shown, before a person, a log or a chat gets to read it.

That is secrets, and characters that a terminal obeys instead of showing them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit

MASK = "***"

SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL", re.IGNORECASE)
"""Names of environment variables whose values are taken for secrets."""
SHORTEST_SECRET = 6
"""Shorter values, such as ``true`` or ``1``, stand in texts that have nothing to do with them."""

_NAME = (
    r"(?<![\w.-])[\w.-]{0,60}?(?:secret|token|passw(?:or)?d|passphrase|pwd|credentials?|signature|api[_-]?key|[_-]key)"
    r"(?:[_-]?id)?"
)
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s"'&;,)}\]]+)"""
PATTERNS = (
    # A header before the pairs: its value is of two words.
    re.compile(r"(?i)\b((?:Bearer|Basic)\s+)[\w.~+/=-]{6,}"),
    re.compile(r"(?i)((?:proxy-)?authorization[\"']?\s*[:=]\s*)(?!(?:Bearer|Basic)\s)" + _VALUE),
    # The user's part of an address, with or without a password in it.
    re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{0,30}://)[^/\s\"'@]+@"),
    re.compile(rf"(?i)({_NAME}[\"']?\s*[:=]\s*){_VALUE}"),
    re.compile(rf"(?i)(\bkey=){_VALUE}"),
    # What is a secret by its form: AWS, ZenML, GitHub, Slack, a JSON web token.
    re.compile(
        r"()\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|ZEN(?:PROJ)?KEY_[\w-]+=*|gh[oprsu]_\w{20,}|xox[abprs]-[\w-]{10,}"
        r"|eyJ[\w-]{10,}\.[\w.-]+)"
    ),
)

SECRET_PARAMETER = re.compile(
    r".*(?:signature|token|secret|pass|credential|apikey|accesskey|accessid|authorization|jwt).*"
    r"|sig|sas|key|auth|pwd"
)
"""Names of parameters of an address whose values are secrets: what S3, Google and Azure sign a download with,
and what others let somebody in by. In lower case, without what is neither letter nor digit."""

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but the tab and the line feed, line separators, and marks that turn the direction."""


def visible(text: str) -> str:
    """A text that moves no cursor, sets no colour and turns no direction: ``\\x1b`` stands for an escape.

    Names of files, headers and labels come from outside; each can hold whatever a terminal obeys.
    """
    return OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """A text with ``***`` in the place of what is, or looks like, a secret.

    Masked are the values of environment variables that are named like a secret (also as they stand in an
    address), the user and password of an address, values of pairs such as ``token=…``, and tokens that are
    known by their form. A secret that is none of these stays: this is the last guard, not the first.

    Args:
        text: anything that is to be shown.
        environment: whose secrets are masked; None: this process's.
    """
    for value in _secret_values(os.environ if environment is None else environment):
        text = text.replace(value, MASK)
    for pattern in PATTERNS:
        text = pattern.sub(_mask, text)
    return text


def secret_in(address: str) -> str | None:
    """What secret an address carries, in words that do not repeat it; None: none that is known.

    A user without a password is one in an address of HTTP, where that is how a token is given.

    Raises:
        ValueError: it is no address.
    """
    parts = urlsplit(address)
    if parts.password is not None:
        return "a password"
    if parts.username is not None and parts.scheme.startswith("http"):
        return "a user"
    for name, value in parse_qsl(f"{parts.query}&{parts.fragment}"):
        if SECRET_PARAMETER.fullmatch(re.sub(r"[^a-z0-9]", "", name.lower())):
            return f"the secret {name!r}"
        if redact(value, {}) != value:
            return "a token"
    return None


def one_line(message: str) -> str:
    """A message without secrets, line breaks, and the SQL that a database adds to what went wrong."""
    return " ".join(redact(message.split("[SQL:", maxsplit=1)[0]).split())


def _mask(match: re.Match[str]) -> str:
    return f"{match[1]}{MASK}" + ("@" if match[0].endswith("@") else "")


def _secret_values(environment: Mapping[str, str]) -> list[str]:
    """The longest first: one may be part of another."""
    values = {
        value.strip()
        for name, value in environment.items()
        if SECRET_NAME.search(name) and len(value.strip()) >= SHORTEST_SECRET
    }
    return sorted(values | {quote(value, safe="") for value in values}, key=len, reverse=True)

"""Read the addresses that messages go to, and speak of them without telling the tokens they hold."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from materializers.alert import Severity

SCHEME = re.compile(r"[a-z0-9+.-]{1,30}", re.IGNORECASE)
SEPARATOR = re.compile(r"\s+|,+(?=\s|[a-z0-9+.-]+://|$)", re.IGNORECASE)
"""White space, or a comma before the next address: one inside an address belongs to it (``?to=a,b``)."""
MINIMUM: Mapping[str, Severity] = {"urls": "info", "warning_urls": "warning", "critical_urls": "critical"}
"""The settings that hold addresses, and from which severity on theirs are told."""


@dataclass(frozen=True)
class Target:
    """One address of a setting.

    Attributes:
        setting: that it stands in, a key of ``MINIMUM``.
        position: there, from 1.
        url: the address, with its token.
    """

    setting: str
    position: int
    url: str

    @property
    def kind(self) -> str:
        """Such as ``slack``."""
        return scheme_of(self.url)

    @property
    def name(self) -> str:
        """What it is called where it is kept who was told."""
        return f"{self.setting} {self.position}: {self.kind}"

    @property
    def minimum(self) -> Severity:
        """From which severity on it is told."""
        return MINIMUM[self.setting]

    @property
    def wrong(self) -> str:
        """How a message names it that Apprise does not know, as in ``slck (target 2)``."""
        of = "" if self.setting == "urls" else f" of {self.setting}"
        return f"{self.kind} (target {self.position}{of})"


def split_urls(urls: str) -> list[str]:
    """The addresses of one text, in its order."""
    return [url for url in SEPARATOR.split(urls) if url]


def scheme_of(url: str) -> str:
    """What kind of target it is, such as ``slack``; never more of the address."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator and SCHEME.fullmatch(scheme) else "no scheme"


def targets_of(settings: Mapping[str, str | None]) -> list[Target]:
    """The targets of the settings that hold addresses, in their order."""
    return list(_targets(settings))


def _targets(settings: Mapping[str, str | None]) -> Iterator[Target]:
    for setting in MINIMUM:
        for position, url in enumerate(split_urls(settings.get(setting) or ""), start=1):
            yield Target(setting, position, url)


def understood(targets: list[Target]) -> tuple[list[Target], list[Target]]:
    """The targets that Apprise knows, and the others."""
    import apprise

    be_silent()
    known: list[Target] = []
    unknown: list[Target] = []
    for target in targets:
        (known if apprise.Apprise.instantiate(target.url) is not None else unknown).append(target)
    return known, unknown


def be_silent() -> None:
    """Keep Apprise's own log shut: it would say a wrong address in full, and each failure in its words."""
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)

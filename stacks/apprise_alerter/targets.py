"""Read the addresses that messages go to, and speak of them without telling the tokens they hold."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apprise import Apprise

SCHEME = re.compile(r"[a-z0-9+.-]{1,30}", re.IGNORECASE)
SEPARATOR = re.compile(r"\s+|,+(?=\s|[a-z0-9+.-]+://|$)", re.IGNORECASE)
"""White space, or a comma before the next address: one inside an address belongs to it (``?to=a,b``)."""


def split_urls(urls: str) -> list[str]:
    """The addresses of one text, in its order."""
    return [url for url in SEPARATOR.split(urls) if url]


def scheme_of(url: str) -> str:
    """What kind of target it is, such as ``slack``; never more of the address."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator and SCHEME.fullmatch(scheme) else "no scheme"


def read_targets(urls: str) -> tuple[Apprise, list[str]]:
    """The targets that Apprise knows, and the others by kind and position, as in ``slck (target 2)``."""
    import apprise

    # It would say a wrong address in full, and each failure in words of its own.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    asset = apprise.AppriseAsset(app_id="Shutterline", app_desc="Shutterline", pgp_autogen=False)
    targets, wrong = apprise.Apprise(asset=asset), []
    for position, url in enumerate(split_urls(urls), start=1):
        if not targets.add(url):
            wrong.append(f"{scheme_of(url)} (target {position})")
    return targets, wrong

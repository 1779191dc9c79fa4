"""Check the addresses of the alerter before ZenML is told; nothing is sent."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from materializers.errors import UsageError
from stacks.apprise_alerter.flavor import AppriseAlerterConfig
from stacks.apprise_alerter.targets import read_targets, scheme_of, split_urls
from stacks.remote_checks import resolved


def check_alerter(configuration: dict[str, Any]) -> str:
    """Require addresses that Apprise knows; whether anybody answers there, only a message would show.

    Args:
        configuration: of the ``apprise`` alerter, placeholders filled in.

    Raises:
        UsageError: an unknown setting, a secret that is not there, an address that Apprise does not know.
    """
    try:
        AppriseAlerterConfig(**configuration)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    urls = resolved(configuration.get("urls") or "")
    _, wrong = read_targets(urls)
    if wrong:
        raise UsageError(
            f"urls: {', '.join(wrong)}: an unknown kind, or an address that is not complete: "
            "https://appriseit.com shows how each is written"
        )
    schemes = [scheme_of(url) for url in split_urls(urls)]
    if not schemes:
        return "no targets: messages go to the log"
    count = "1 target" if len(schemes) == 1 else f"{len(schemes)} targets"
    return f"{count}: {', '.join(schemes)}; nothing was sent"

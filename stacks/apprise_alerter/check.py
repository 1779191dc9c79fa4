"""Check the addresses of the alerter before ZenML is told; nothing is sent."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from materializers.errors import UsageError
from stacks.apprise_alerter.flavor import AppriseAlerterConfig
from stacks.apprise_alerter.targets import MINIMUM, targets_of, understood
from stacks.remote_checks import resolved

LIMITED = {"warning_urls": " (from warnings on)", "critical_urls": " (critical alone)"}
"""What is said of a target that is not told of everything."""


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
        said = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {said}") from error
    targets = targets_of({name: resolved(configuration.get(name) or "") for name in MINIMUM})
    _, wrong = understood(targets)
    if wrong:
        raise UsageError(
            f"{wrong[0].setting}: {', '.join(each.wrong for each in wrong)}: an unknown kind, or an address "
            "that is not complete: https://appriseit.com shows how each is written"
        )
    if not targets:
        return "no targets: messages go to the log"
    count = "1 target" if len(targets) == 1 else f"{len(targets)} targets"
    named = (each.kind + LIMITED.get(each.setting, "") for each in targets)
    return f"{count}: {', '.join(named)}; nothing was sent"

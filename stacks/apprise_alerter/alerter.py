"""The alerter of flavor ``apprise``: posts a message to every target, and never asks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from zenml.alerter.base_alerter import BaseAlerter, BaseAlerterStepParameters

from materializers.errors import Refused
from stacks.apprise_alerter.flavor import AppriseAlerterConfig
from stacks.apprise_alerter.targets import read_targets, scheme_of

if TYPE_CHECKING:
    from apprise import Apprise

logger = logging.getLogger("shutterline")

TITLE = "Shutterline"
POST_TIMEOUT_S = 20.0
"""For all targets together: a failed step waits for it before it ends."""


class AppriseAlerter(BaseAlerter):
    """Posts to the targets of its setting ``urls``; without any, to the log."""

    @property
    def config(self) -> AppriseAlerterConfig:
        """The settings."""
        return cast(AppriseAlerterConfig, self._config)

    def post(self, message: str, params: BaseAlerterStepParameters | None = None) -> bool:
        """Send a message to every target, within ``POST_TIMEOUT_S``.

        A target that does not take it is told in one line of the log, by its kind: its address holds a token.

        Args:
            message: plain text; the log gets it on one line.
            params: ZenML's; nothing reads them.

        Returns:
            Whether it arrived: at least one target took it, or there is none and it stands in the log. Who
            posts again after False would otherwise tell the targets that work a second time, for ever.
        """
        try:
            urls = self.config.urls
        except KeyError:  # ZenML looks secrets up when they are read
            secrets = ", ".join(f"{name} with {key}" for name, key in self.config.required_secrets)
            logger.warning(
                "Nobody was told: ZenML has no secret %s, which the alerter's urls refer to: "
                "zenml secret create NAME --KEY=…",
                secrets,
            )
            return False
        if not urls or not urls.strip():
            logger.warning(" · ".join(line.strip() for line in message.splitlines() if line.strip()))
            return True
        targets, wrong = read_targets(urls)
        took_it, failed = _send(targets, message)
        if failed or wrong or not took_it:
            logger.warning(
                "The message was not taken by: %s (%d others took it); "
                "python -m stacks.apply FILE --check looks at the addresses",
                ", ".join([*failed, *wrong]) or "any target",
                took_it,
            )
        return took_it > 0

    def ask(self, question: str, params: BaseAlerterStepParameters | None = None) -> bool:
        """Refuse: who may write into a chat has not thereby approved anything.

        Raises:
            Refused: always.
        """
        raise Refused(
            "An approval is never asked for by chat: "
            "python run.py --approve N --by WHO --reason TEXT records one, or --reject"
        )


def _send(targets: Apprise, message: str) -> tuple[int, list[str]]:
    """How many targets took the message, and the kind of each that did not."""
    results = targets.notify(body=message, title=TITLE, timeout=POST_TIMEOUT_S).results
    failed = sorted(scheme_of(one.url) for one in results if not one)
    return len(results) - len(failed), failed

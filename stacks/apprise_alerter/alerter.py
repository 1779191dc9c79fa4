"""The alerter of flavor ``apprise``: posts a message to the targets of its severity, and never asks."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from typing import cast

from zenml.alerter.base_alerter import BaseAlerter, BaseAlerterStepParameters

from materializers.alert import AlertSettings, Delivery, Severity, at_least
from materializers.errors import Refused
from stacks.apprise_alerter.flavor import AppriseAlerterConfig
from stacks.apprise_alerter.targets import MINIMUM, Target, be_silent, targets_of

logger = logging.getLogger("shutterline")

TITLE = "Shutterline"
POST_TIMEOUT_S = 20.0
"""For all targets and attempts together: a failed step waits for it before it ends."""
FIRST_WAIT_S, BACK_OFF = 0.5, 3.0
"""Before a target is tried again, and by how much longer before each time after that."""
LOG = "the log"
"""The name of what has a message where it has no target."""
UNKNOWN_TARGETS = "a secret that is not there"
"""The name of what fails where nobody knows the targets."""
KINDS: dict[Severity, str] = {"info": "info", "warning": "warning", "critical": "failure"}
"""What Apprise calls a severity: targets colour and rank a message by it."""


class AppriseAlerter(BaseAlerter):
    """Posts to the targets that its settings hold, or, where there is none for a message, to the log."""

    @property
    def config(self) -> AppriseAlerterConfig:
        """The settings."""
        return cast(AppriseAlerterConfig, self._config)

    @property
    def alert_settings(self) -> AlertSettings:
        """When people want to be told."""
        return self.config.alert_settings

    def deliver(
        self,
        message: str,
        *,
        severity: Severity,
        over: bool = False,
        taken_by: Collection[str] = (),
        down: Collection[str] = (),
    ) -> Delivery:
        """Send a message to every target that is told of its severity, within ``POST_TIMEOUT_S``.

        A target that does not take it is tried again, ``retries`` times, and then named in one line of the
        log by its kind: its address holds a token. Where there is no target for it, it stands in the log.

        Args:
            message: plain text; the log gets it on one line.
            severity: of what it tells.
            over: whether it tells that something is over.
            taken_by: the names of targets that have it already.
            down: the names of targets that are not asked, for they did not take another message just now.
        """
        if UNKNOWN_TARGETS in down:
            return Delivery(taken=(), left_out=(UNKNOWN_TARGETS,))
        try:
            targets = targets_of({name: getattr(self.config, name) for name in MINIMUM})
        except KeyError:  # ZenML looks secrets up when they are read
            secrets = ", ".join(f"{name} with {key}" for name, key in self.config.required_secrets)
            logger.warning(
                "Nobody was told: ZenML has no secret %s, which the alerter's urls refer to: "
                "zenml secret create NAME --KEY=…",
                secrets,
            )
            return Delivery(taken=(), failed=(UNKNOWN_TARGETS,))
        wanted = [target for target in targets if at_least(severity, target.minimum)]
        if not wanted:
            logger.warning(" · ".join(line.strip() for line in message.splitlines() if line.strip()))
            return Delivery(taken=(LOG,))
        lacking = [target for target in wanted if target.name not in taken_by]
        left = [target for target in lacking if target.name not in down]
        left_out = tuple(target.name for target in lacking if target.name in down)
        if not left:
            return Delivery(taken=(), left_out=left_out)
        failed, wrong = _send(left, message, "success" if over else KINDS[severity], self.config.retries)
        if failed or wrong:
            logger.warning(
                "The message was not taken by: %s (%d others took it); "
                "python -m stacks.apply FILE --check looks at the addresses",
                ", ".join([*sorted(each.kind for each in failed), *(each.wrong for each in wrong)]),
                len(wanted) - len(failed) - len(wrong) - len(left_out),
            )
        lost = {each.name for each in (*failed, *wrong)}
        return Delivery(
            taken=tuple(each.name for each in left if each.name not in lost),
            # One that Apprise does not know never takes a message: nobody waits for it.
            failed=tuple(each.name for each in failed) or _only_wrong(wanted, wrong),
            left_out=left_out,
        )

    def post(self, message: str, params: BaseAlerterStepParameters | None = None) -> bool:
        """Send a message as a warning; see :meth:`deliver`.

        Args:
            message: plain text.
            params: ZenML's; nothing reads them.

        Returns:
            Whether it arrived: at least one target took it, or there is none and it stands in the log. Who
            posts again after False would otherwise tell the targets that work a second time, for ever.
        """
        return bool(self.deliver(message, severity="warning").taken)

    def ask(self, question: str, params: BaseAlerterStepParameters | None = None) -> bool:
        """Refuse: who may write into a chat has not thereby approved anything.

        Raises:
            Refused: always.
        """
        raise Refused(
            "An approval is never asked for by chat: "
            "python run.py --approve N --by WHO --reason TEXT records one, or --reject"
        )


def _only_wrong(wanted: Sequence[Target], wrong: Sequence[Target]) -> tuple[str, ...]:
    """The targets that nobody knows, where there is no other: then the message waits for the addresses."""
    return tuple(each.name for each in wrong) if len(wrong) == len(wanted) else ()


def _send(
    targets: Sequence[Target], message: str, kind: str, retries: int
) -> tuple[list[Target], list[Target]]:
    """Send a message: the targets that did not take it, and those that Apprise does not know."""
    import apprise

    be_silent()
    asset = apprise.AppriseAsset(app_id=TITLE, app_desc=TITLE, pgp_autogen=False)
    addresses = apprise.Apprise(asset=asset)
    # A tag of its own says which result is whose: Apprise lists them in an order of its own.
    known = {f"t{number}": each for number, each in enumerate(targets)}
    wrong = [each for number, each in known.items() if not addresses.add(each.url, tag=number)]
    left = {number: each for number, each in known.items() if each not in wrong}
    deadline, wait_s = time.monotonic() + POST_TIMEOUT_S, FIRST_WAIT_S
    for attempt in range(retries + 1):
        remaining_s = deadline - time.monotonic()
        if not left or remaining_s <= 0:
            break
        if attempt:
            time.sleep(min(wait_s, remaining_s))
            wait_s *= BACK_OFF
        sent = addresses.notify(
            body=message,
            title=TITLE,
            notify_type=kind,
            tag=list(left),
            timeout=max(deadline - time.monotonic(), 0.1),
        )
        for result in sent.results:
            if result:
                left.pop(result.tag[0], None)
    return list(left.values()), wrong

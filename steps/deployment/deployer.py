"""How steps and actions speak to the model deployer of the active stack, whichever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from zenml.client import Client

from materializers.errors import UsageError
from materializers.release import Environment, Release
from materializers.signatures import TrustedKeys

if TYPE_CHECKING:
    from pathlib import Path

    import httpx


class Deployer(Protocol):
    """What every model deployer of this project does. What it holds is what is live."""

    def apply(self, release: Release) -> Release:
        """Carry ``release`` out and return it with its URL and times.

        In mode ``full`` the candidate is made live (``status="live"``): where it is rolling out already, what
        runs takes all the traffic. In any other mode it is started beside the champion, which serves on
        (``status="rolling_out"``); where it is rolling out already, its share, stage and mode change live,
        and ``rollout`` and ``since`` stay. The URL is the champion's throughout. The evidence is verified
        alike in every mode. Applying what is live or rolling out already so starts nothing and only takes
        over ``recorded`` and ``restored``. A rollout that somebody ended does not come back with its next
        stage.

        Raises:
            Refused: the evidence does not allow it, production serves something else by now than it was
                proposed beside, another version is rolling out there, there is no champion to roll out
                beside, or the rollout that it goes on with was ended; what is served is unchanged.
            ServiceFailed: the new service did not come up; the old one keeps serving.
            UsageError: an address that it needs is taken.
            ServiceUnreachable: the registry or the artifact store cannot be read.
        """

    def restore(self, release: Release) -> Release:
        """Make a release live that was live here before, on its own evidence, even when the registry is down.

        Where the registry answers, what it knows counts, too; that a person rejected it the audit log says,
        without which nothing is put back. What is live starts nothing where it is healthy and is brought up
        where it is not, also beside what rolls out.

        Raises:
            Refused: it never was live here, by this record or the registry's, a person rejected it since, or
                its verdict, approval or model bytes were altered.
            ServiceFailed: its service did not come up; the present one keeps serving.
            UsageError: an address that it needs is taken.
            ServiceUnreachable: the artifact store, or the audit log in it, cannot be read.
        """

    def current(self, model_name: str, environment: Environment) -> Release | None:
        """The live release of one environment: what has all the traffic that no candidate has."""

    def rolling_out(self, model_name: str, environment: Environment) -> Release | None:
        """The release that is rolling out beside the live one, as it is now."""

    def end_rollout(self, release: Release) -> bool:
        """Take the candidate out, if exactly it is rolling out now; the champion has all the traffic again.

        Nothing of it is left running, and it does not become part of what was live before. False: something
        else is rolling out by now, or nothing; nothing was changed.

        Raises:
            ServiceUnreachable: what is served cannot be changed.
        """

    def previous(self, model_name: str, environment: Environment) -> Release | None:
        """The release that was live before the current one."""

    def live(self) -> list[Release]:
        """Every live release, of every model and environment."""

    def mark_recorded(self, release: Release) -> bool:
        """Note that registry and run records agree with ``release``, if exactly it is live now.

        Moves no traffic. False: something else is live by now, or nothing; nothing was changed.

        Raises:
            ServiceUnreachable: what is live cannot be changed.
        """

    def withdraw(self, release: Release) -> bool:
        """Take ``release`` down and forget it, if exactly it is live now; nothing is live there then.

        False: something else is live by now, or nothing; nothing was changed.

        Raises:
            ServiceUnreachable: what is live cannot be changed.
        """

    def trusted_keys(self) -> TrustedKeys:
        """The public keys that the stack file names.

        Raises:
            UsageError: there is none of the gate, or one cannot be used.
        """

    def scaling(self, environment: Environment) -> tuple[int, int] | None:
        """Between how many replicas an environment scales; None: it does not, and one stands for all."""

    def metrics_targets(self) -> Path | None:
        """The file that lists what Prometheus is to ask (``file_sd_configs``), which the deployer keeps.

        None: what serves is found where it runs, as by the annotations of its pods.
        """

    def connect(self, release: Release) -> httpx.Client:
        """A client that reaches the release's URL, by this stack's rules of proxies and certificates."""

    def healthy(self, release: Release) -> bool:
        """Whether the release's URL answers that it is ready, as exactly this version, running unaltered.

        Of a release that is rolling out, whether its candidate does, apart from the champion.

        Raises:
            ServiceUnreachable: what runs cannot be known.
        """

    def verify(self, release: Release) -> bool:
        """Whether the release's URL is healthy and classified a picture as exactly this version.

        Of a release that is rolling out, whether its candidate did, apart from the champion.

        Raises:
            ServiceBusy: it is healthy and gave no answer in time, or a 429: that says nothing of the version.
            ServiceUnreachable: what runs cannot be known.
        """

    def faults(self, model_name: str) -> list[str]:
        """What has to run beside a model's live releases and does not, a sentence each, with what mends it.

        Raises:
            ServiceUnreachable: what runs cannot be known.
        """

    def stop(self) -> list[str]:
        """Stop everything that serves, leave nothing running, and say what was stopped, one line each.

        Raises:
            ServiceUnreachable: what is live cannot be changed.
        """


def active_deployer() -> Deployer:
    """The model deployer of the active stack.

    Raises:
        UsageError: the stack has none.
    """
    component = Client().active_stack.model_deployer
    if component is None:
        raise UsageError(
            "The active stack has no model deployer. In the project's folder: make stack, or zenml stack set "
            "NAME; in any other: --stack NAME"
        )
    return cast(Deployer, component)

"""The model that is live in an environment: what the deployer holds, never an alias."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from materializers.errors import UsageError
from materializers.evidence import verify_return
from materializers.release import Environment, Release
from steps.deployment.deployer import active_deployer


def live_release(model_name: str, environment: Environment) -> Release:
    """The live release of an environment.

    Raises:
        UsageError: nothing is live there.
    """
    deployer = active_deployer()
    release = deployer.current(model_name, environment)
    if release is None or release.candidate is None:
        others = sorted({one.model_name for one in deployer.live() if one.model_name != model_name})
        hint = f" ({', '.join(others)} is live: is its --config missing?)" if others else ""
        raise UsageError(
            f"Nothing of {model_name} is live in {environment}{hint}: "
            f"python run.py --deploy --environment {environment}"
        )
    return release


@step(enable_cache=False)
def champion(model_name: str, environment: Environment) -> Annotated[Release, "live"]:
    """The live release, where the registry, too, allows it to be live: the deployer's record is not enough.

    Raises:
        UsageError: nothing is live there.
        Refused: the registry does not know it so.
        ServiceUnreachable: the registry cannot be read.
    """
    live = live_release(model_name, environment)
    if live.candidate is not None:
        verify_return(
            live.candidate,
            model_name=model_name,
            environment=environment,
            trusted=active_deployer().trusted_keys(),
        )
    return live

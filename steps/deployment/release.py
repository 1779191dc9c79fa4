"""Carry out a proposed release. The deployer checks the evidence again, on the bytes that it will serve."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from materializers.errors import Refused
from materializers.release import Release
from steps.deployment.deployer import active_deployer


def carry_out(proposal: Release) -> Release:
    """Apply a proposal; a refusal by the deployer is a refused release, what is served is unchanged.

    What is rolling out already is left as it is: one that died is found so when it is observed.

    Raises:
        ServiceFailed: the new service did not come up.
    """
    if proposal.status in ("refused", "rolling_out"):
        return proposal
    try:
        return active_deployer().apply(proposal)
    except Refused as refusal:
        return proposal.model_copy(update={"status": "refused", "reasons": (str(refusal),)})


@step(enable_cache=False)
def release(proposal: Release | None) -> Annotated[Release | None, "applied"]:
    """Apply the proposed release, if there is one, through the active stack's deployer."""
    return None if proposal is None else carry_out(proposal)

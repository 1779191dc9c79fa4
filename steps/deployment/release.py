"""Carry out a proposed release. The deployer checks the evidence again, on the bytes that it will serve."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from materializers.errors import Refused
from materializers.release import Release
from steps.deployment.deployer import active_deployer


def carry_out(proposal: Release) -> Release:
    """Apply a proposal; a refusal by the deployer is a refused release, what is served is unchanged.

    Raises:
        ServiceFailed: the new service did not come up.
    """
    if proposal.status == "refused":
        return proposal
    try:
        return active_deployer().apply(proposal)
    except Refused as refusal:
        return proposal.model_copy(update={"status": "refused", "reasons": (str(refusal),)})


@step(enable_cache=False)
def release(proposal: Release) -> Annotated[Release, "applied"]:
    """Apply the proposed release through the active stack's deployer."""
    return carry_out(proposal)

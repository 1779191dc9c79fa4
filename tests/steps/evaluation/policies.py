"""The product's policy, as ``configs/policy.yaml`` has it."""

from pipelines.config import load_config
from steps.evaluation.policy import Policy


def product_policy() -> Policy:
    """The policy that judges where nobody configured another one."""
    return load_config(None, ()).policy

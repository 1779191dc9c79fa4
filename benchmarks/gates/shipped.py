"""The gate as it is shipped: the rules of ``configs/policy.yaml``, applied by the gate's own code."""

from __future__ import annotations

from collections.abc import Iterable

from materializers.evaluation.metric import Measured
from materializers.verdict import derive_outcome
from pipelines.config import CONFIGS, load_config
from steps.evaluation.gate import apply_policy
from steps.evaluation.policy import Policy

GROUP = "group"
"""The column that is declared sensitive, so that what is required only then is required."""
POLICY, DEMO_POLICY = (
    load_config(overlay, (f"evaluate.slices.sensitive=[{GROUP}]",)).policy
    for overlay in (None, CONFIGS / "demo")
)
"""The product's policy, and the demo's."""


def passes(found: Iterable[Measured], policy: Policy = POLICY) -> bool:
    """Whether the gate passes a model of which only this was measured: rules on all else are left out.

    Args:
        found: what the sections of a report hand to the gate.
        policy: its rules.
    """
    evidence: dict[str, list[Measured]] = {}
    for each in found:
        evidence.setdefault(each.metric, []).append(each)
    rules = {name: rule for name, rule in policy.rules.items() if rule.metric in evidence}
    results = apply_policy(policy.model_copy(update={"rules": rules}), evidence)
    return derive_outcome(results) == "passed"

"""What a verdict presupposes beside the policy, and whether that is still what is configured at a release."""

from __future__ import annotations

from materializers.audit_entry import AuditEntry
from materializers.errors import Refused
from materializers.release import Arm, Environment
from materializers.report import Record

DECLARED, SERVING = "declared_digest", "serving_digest"
WHAT = {
    DECLARED: "other accepted advisories, sensitive columns or easy pictures (evaluate.security.accepted, "
    "evaluate.slices.sensitive, evaluate.behaviour.easy_list)",
    SERVING: "another peak, number of replicas or price (evaluate.cost)",
}


class Presupposed(Record):
    """Digests of what the gate took for granted.

    Args:
        declared: of the accepted advisories, the sensitive columns and the list of easy pictures.
        serving: of peak, replicas, price and the limit under load.
    """

    declared: str
    serving: str

    @property
    def recorded(self) -> dict[str, str]:
        """As the tags of a version and the audit log have it."""
        return {DECLARED: self.declared, SERVING: self.serving}


def require_same_presupposed(
    judged: AuditEntry, now: Presupposed, *, arm: Arm, environment: Environment
) -> None:
    """Check that a version was judged with what is configured now.

    In staging serving is measured again, with what is configured then; in production nothing is.

    Args:
        judged: the audit log's last entry of the gate on the version; one of before this was recorded says
            nothing about it.
        now: what is configured.
        arm: the version, with the verdict that is to be reached again.
        environment: where it is to be released.

    Raises:
        Refused: it was judged with something else.
    """
    for name in (DECLARED,) if environment == "staging" else (DECLARED, SERVING):
        if judged.subject.get(name, now.recorded[name]) != now.recorded[name]:
            raise Refused(
                f"Version {arm.version} was judged with {WHAT[name]} than are configured now: give the "
                f"--config and --set that it was trained with, or {arm.verdict.judge_again}"
            )

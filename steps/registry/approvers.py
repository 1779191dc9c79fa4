"""Who may approve: the accounts that are configured, and with four eyes not the one that trained."""

from __future__ import annotations

from pydantic import field_validator
from zenml.client import Client

from materializers.errors import Refused
from materializers.evidence import RegisteredVersion
from materializers.report import Record


class ApprovalSettings(Record):
    """Who may approve a version for production, or a change of kind, and move what monitoring goes by."""

    approvers: tuple[str, ...] = ()
    """Accounts of ZenML; empty: every account."""
    four_eyes: bool = False
    """Whether the account whose run trained a version may not approve it."""

    @field_validator("approvers")
    @classmethod
    def _named(cls, approvers: tuple[str, ...]) -> tuple[str, ...]:
        for name in approvers:
            if not name.isprintable() or name != name.strip() or not name:
                raise ValueError(f"an approver is the name of an account of ZenML, not {name!r}")
        return approvers


def require_approver(settings: ApprovalSettings, actor: str) -> None:
    """Check that an account may approve at all.

    Raises:
        Refused: it is not configured to; or with four eyes, the store has one account, so that nobody could
            tell two persons apart.
    """
    if settings.approvers and actor not in settings.approvers:
        raise Refused(
            f"The account {actor!r} may not approve; configured are: {', '.join(settings.approvers)}. "
            "Log in as one of them: zenml login, or change approval.approvers in configs/approval.yaml"
        )
    if settings.four_eyes and Client().list_users(size=2).total < 2:  # noqa: PLR2004 - two persons
        raise Refused(
            f"Four eyes cannot be assessed: the store has one account, {actor!r}, for everyone. Connect to a "
            "ZenML server (zenml login URL) and give each person an account there (zenml user create NAME), "
            "or do without: approval.four_eyes: false in configs/approval.yaml"
        )


def require_other_than_trainer(settings: ApprovalSettings, actor: str, entry: RegisteredVersion) -> None:
    """Check that with four eyes an approval is not by the account whose run made the version.

    Raises:
        Refused: it is, or that run is gone.
    """
    if not settings.four_eyes:
        return
    trainer = _trainer(entry)
    if trainer is None or trainer == actor:
        why = f"{actor!r} trained it" if trainer else "the run that trained it is gone"
        raise Refused(
            f"Version {entry.version} needs four eyes, and {why}: another account has to approve it: "
            f'python run.py --approve {entry.version} --by WHO --reason "…"'
        )


def _trainer(entry: RegisteredVersion) -> str | None:
    """The account whose run made a version; None where that is not known any more."""
    try:
        run = Client().get_pipeline_run(entry.run_id, allow_name_prefix_match=False)
    except KeyError:
        return None
    return run.user.name if run.user is not None else None

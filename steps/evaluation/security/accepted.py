"""Advisories that somebody accepted after a review, each with a reason and a day on which that ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pydantic import Field

from materializers.evaluation.security import Advisory, JudgedAdvisory, Standing
from materializers.report import Record
from steps.evaluation.security.locks import canonical_name


class AcceptedAdvisory(Record):
    """One finding that somebody looked at and accepts for now."""

    id: str = Field(min_length=1)
    """As the audit names it, or one of its aliases, such as a CVE number."""
    package: str = Field(min_length=1)
    reason: str = Field(min_length=10)
    """Why it does no harm here, for whoever looks at it again."""
    expires: date
    """The first day (UTC) on which it is not accepted any more."""


def refuse_duplicates(accepted: Sequence[AcceptedAdvisory]) -> None:
    """Check that the list says one thing of each finding.

    Raises:
        ValueError: one is listed twice.
    """
    named = [(each.id, canonical_name(each.package)) for each in accepted]
    twice = next((each for each in named if named.count(each) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice[0]} of {twice[1]} is listed twice")


def judge_advisory(advisory: Advisory, accepted: Sequence[AcceptedAdvisory], today: date) -> JudgedAdvisory:
    """What the list says of one finding on a day (UTC)."""
    names, package = {advisory.id, *advisory.aliases}, canonical_name(advisory.package)
    listed = [each for each in accepted if each.id in names and canonical_name(each.package) == package]
    if not listed:
        return JudgedAdvisory(advisory=advisory, standing="unlisted")
    longest = max(listed, key=lambda each: each.expires)
    standing: Standing = "accepted" if today < longest.expires else "expired"
    return JudgedAdvisory(
        advisory=advisory, standing=standing, reason=longest.reason, expires=longest.expires
    )

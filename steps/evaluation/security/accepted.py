"""The reviewed list of advisories that somebody accepted, each with a reason and a day on which that ends."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, model_validator

from materializers.errors import UsageError
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
    """The first day on which it counts as not accepted any more."""


class AcceptedAdvisories(Record):
    """The whole list."""

    accepted: tuple[AcceptedAdvisory, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> AcceptedAdvisories:
        named = [(each.id, each.package) for each in self.accepted]
        twice = next((each for each in named if named.count(each) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice[0]} of {twice[1]} is listed twice")
        return self

    def judge(self, advisory: Advisory, today: date) -> JudgedAdvisory:
        """What the list says of one finding on a day."""
        names = {advisory.id, *advisory.aliases}
        package = canonical_name(advisory.package)
        listed = [e for e in self.accepted if e.id in names and canonical_name(e.package) == package]
        if not listed:
            return JudgedAdvisory(advisory=advisory, standing="unlisted")
        longest = max(listed, key=lambda each: each.expires)
        standing: Standing = "accepted" if today < longest.expires else "expired"
        return JudgedAdvisory(
            advisory=advisory,
            standing=standing,
            reason=longest.reason,
            expires=longest.expires,
        )


def read_accepted(path: Path) -> AcceptedAdvisories:
    """Read the list from a YAML file; without a file nothing is accepted.

    Raises:
        UsageError: it is no such list; the key is named.
    """
    if not path.exists():
        return AcceptedAdvisories()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return AcceptedAdvisories.model_validate(content or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the list"
        raise UsageError(f"{path}: {place}: {first['msg']}") from error

"""What happens to personal data that a delivery brings."""

from typing import Literal

from pydantic import Field, field_validator

from materializers.report import Record

Policy = Literal["refuse", "mask", "warn"]

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "AT", "CH", "PL")
"""Where a phone number without a country's prefix may be from; with one, every country is known."""


class PersonalDataSettings(Record):
    """The policy, and where to look.

    ``refuse`` and ``mask`` look at every picture, whatever ``examined_pictures`` says: what was not examined
    cannot be kept out.
    """

    columns: Policy = "warn"
    pictures: Policy = "warn"
    examined_pictures: int = Field(default=500, ge=0)
    """Pictures of a delivery that are examined where the policy is ``warn``."""
    allowed_columns: tuple[str, ...] = ("brand", "manufacturer", "label")
    """Columns whose values may be names; a value of theirs is not personal data in another column either."""
    regions: tuple[str, ...] = Field(default=REGIONS, min_length=1)
    threads: int = Field(default=2, ge=1)
    """Threads that examine pictures, each with detectors of its own."""

    @field_validator("regions")
    @classmethod
    def _known(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a region that the phonenumbers library does not know: its numbers would pass unseen."""
        import phonenumbers

        unknown = sorted(set(regions) - phonenumbers.SUPPORTED_REGIONS)
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)} is no region of ISO 3166 with phone numbers; write two capitals, "
                "such as DE"
            )
        return regions

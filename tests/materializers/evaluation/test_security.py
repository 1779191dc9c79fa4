"""The gate is given each number of the security section, or why there is none."""

from datetime import date

from materializers.evaluation.metric import Measured
from materializers.evaluation.security import Advisory, JudgedAdvisory, Security, UnexpectedFile

CVE = Advisory(id="PYSEC-2026-1", package="pillow", version="12.0", lock="requirements.lock")
JUDGED = tuple(
    JudgedAdvisory(advisory=CVE, standing=standing, reason="not reached", expires=date(2027, 1, 1))
    for standing in ("accepted", "expired", "unlisted")
)


def measured(security: Security) -> dict[str, Measured]:
    """Every number by its name."""
    return {each.metric: each for each in security.measured()}


def test_each_number_has_its_name_value_and_count() -> None:
    """What is accepted does not count, what expired counts like what nobody looked at."""
    security = Security(
        files=3,
        unexpected=(UnexpectedFile(file="a.pkl", reason="a pickle"),),
        packages=300,
        advisories=JUDGED,
    )
    found = {
        name: (each.value.value, each.value.n) for name, each in measured(security).items() if each.value
    }
    assert found == {
        "unexpected_files": (1.0, 3),
        "unlisted_advisories": (2.0, 300),
    }


def test_what_was_not_assessed_says_why_number_by_number() -> None:
    """Without a network there is no audit; the scan is there."""
    found = measured(Security(files=2, advisories_not_assessed="not run: no network"))
    assert found["unexpected_files"].value is not None
    assert (found["unlisted_advisories"].value, found["unlisted_advisories"].reason) == (
        None,
        "not run: no network",
    )


def test_an_old_audit_gives_no_number_although_its_findings_are_shown() -> None:
    """What it found is in the report; the gate is not told that nothing else is known."""
    found = measured(Security(advisories=JUDGED, advisories_not_assessed="28 days old"))
    assert found["unlisted_advisories"].value is None


def test_a_section_that_was_not_assessed_gives_no_number_at_all() -> None:
    """Every number is there, without a value and with the reason."""
    found = measured(Security(not_assessed="switched off"))
    assert set(found) == {"unexpected_files", "unlisted_advisories"}
    assert {(each.value, each.reason) for each in found.values()} == {(None, "switched off")}

"""An advisory is accepted by name, for one package, with a reason, until a day."""

from datetime import date
from pathlib import Path

import pytest

from materializers.errors import UsageError
from materializers.evaluation.security import Advisory
from steps.evaluation.security.accepted import read_accepted

LIST = """
accepted:
  - id: CVE-2026-1
    package: scikit_image
    reason: the reader of TIFF is not reached
    expires: 2027-01-15
"""
FOUND = Advisory(
    id="PYSEC-2026-7",
    aliases=("CVE-2026-1",),
    package="scikit-image",
    version="0.25",
    lock="requirements.lock",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The list in a file."""
    path = tmp_path / "accepted.yaml"
    path.write_text(LIST)
    return path


@pytest.mark.parametrize(
    ("changed", "day", "standing"),
    [
        ({}, date(2027, 1, 14), "accepted"),
        ({}, date(2027, 1, 15), "expired"),
        ({"id": "CVE-2026-1", "aliases": ()}, date(2027, 1, 14), "accepted"),
        ({"aliases": ("CVE-2026-2",)}, date(2027, 1, 14), "unlisted"),
        ({"package": "pillow"}, date(2027, 1, 14), "unlisted"),
        ({"package": "Scikit.Image"}, date(2027, 1, 14), "accepted"),
    ],
)
def test_the_list_decides_by_name_package_and_day(
    file: Path, changed: dict[str, object], day: date, standing: str
) -> None:
    """Any of its names will do; another package, or a later day, will not."""
    judged = read_accepted(file).judge(FOUND.model_copy(update=changed), day)
    assert judged.standing == standing
    assert (judged.reason is None) == (standing == "unlisted")


def test_without_a_list_nothing_is_accepted(tmp_path: Path) -> None:
    """A file that is not there, or empty, accepts nothing."""
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing\n")
    for path in (tmp_path / "none.yaml", empty):
        assert read_accepted(path).judge(FOUND, date(2026, 1, 1)).standing == "unlisted"


WRONG = {
    "no reason": (LIST.replace("the reader of TIFF is not reached", "ok"), "accepted.0.reason"),
    "no expiry": (LIST.replace("    expires: 2027-01-15\n", ""), "accepted.0.expires"),
    "no date": (LIST.replace("2027-01-15", "never"), "accepted.0.expires"),
    "a typo": (LIST.replace("package", "packages"), "accepted.0.package"),
    "another top": (LIST.replace("accepted", "allowed"), "allowed"),
    "twice": (LIST + LIST.replace("accepted:\n", ""), "CVE-2026-1 of scikit_image is listed twice"),
    "no YAML": ("accepted: [", "cannot be read"),
}


@pytest.mark.parametrize(("text", "named"), WRONG.values(), ids=WRONG)
def test_a_wrong_list_is_refused_in_one_line(file: Path, text: str, named: str) -> None:
    """The place is named; a list that cannot be read accepts nothing by accident."""
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_accepted(file)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)

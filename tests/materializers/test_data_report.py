"""The page of a delivery's checks says why, and stays readable however much was set aside."""

import json

import pytest
from pydantic import ValidationError

from materializers.data_report import Check, Corrections, DataReport, Screening, SetAside
from materializers.watched import Watched
from tests.materializers.examples import data_report, png, screening, watched

FIRST_FORMAT = {
    "format_version": 1,
    "outcome": "refused",
    "source_name": "shop",
    "data": "d4" * 32,
    "rows": 3,
    "accepted": 2,
    "per_class": {"tops": 2},
    "checks": [{"name": "rows", "outcome": "refused", "measured": 2.0, "limit": 100.0, "reason": "Too few."}],
    "set_aside": [{"path": "a.png", "label": None, "reason": "truncated", "detail": "it ends early"}],
    "duplicates": 0,
}
"""As it was written before checks had a severity."""
FIRST_SCREENING = {
    "format_version": 1,
    "source_name": "shop",
    "rows": 3,
    "duplicate_rows": 0,
    "conflicts": [],
    "missing_values": {"label": 1},
    "set_aside": [],
}


def test_a_refused_report_gives_the_reasons_of_its_refused_checks_alone() -> None:
    """A warning is in the table, not among the reasons."""
    refused = data_report("refused", left=420)
    assert refused.reasons() == [
        "420 pictures set aside: 14.0% of the delivery; at most 5.0% may be.",
    ]
    assert data_report().reasons() == []
    assert refused.reasons()[0] in refused.page()


def test_the_page_lists_fifty_pictures_set_aside_and_counts_the_rest() -> None:
    """420 set aside: 50 rows, and a line that 370 more are in the report."""
    page = data_report("refused", left=420).page()
    assert page.count("it is no picture: text") == 50
    assert "And 370 more" in page
    assert "pictures/49.png" in page
    assert "pictures/50.png" not in page


def test_the_page_shows_the_counts_of_every_class_and_every_check() -> None:
    """Classes with their number of pictures and thumbnails, checks with measured value beside limit."""
    page = data_report().page()
    assert '<td class="number">600</td><td class="number">569</td><td class="number">+31</td>' in page
    assert '<td class="number">2,997</td><td class="number">100</td>' in page
    assert page.count("<img ") == 8


def test_a_refused_report_calls_no_picture_accepted() -> None:
    """What could be used is counted, and nobody takes it for data to train on."""
    page = data_report("refused", left=420).page()
    assert "Nobody trains on this data: it was refused, though 2,580 pictures could be used." in page
    assert "accepted" not in page
    assert "This data may be trained on: 2,997 pictures accepted." in data_report(left=3).page()


def test_what_refuses_comes_before_what_warns_and_what_passed() -> None:
    """Who opens the page of a refused delivery reads the reason first."""
    page = data_report("refused", left=420).page()
    places = [page.index(f"<h2>{title}</h2>") for title in ("What refuses", "What to look at", "What passed")]
    assert places == sorted(places)
    assert "What refuses" not in data_report().page()
    assert places[1] < page.index("No detector of faces is installed.") < places[2]


def test_what_must_be_assessed_and_was_not_refuses() -> None:
    """A detector that is not installed never makes a clean report of a policy that refuses."""
    known = {
        "name": "faces",
        "outcome": "not_assessed",
        "measured": None,
        "limit": 0,
        "reason": "No detector.",
    }
    refusing, warning = Check(severity="refuse", **known), Check(severity="warn", **known)
    assert (refusing.refuses, warning.refuses) == (True, False)
    report = data_report().model_copy(update={"checks": (refusing, warning)})
    assert report.reasons() == ["No detector."]


def test_the_page_compares_with_the_dataset_before() -> None:
    """What is new, absent, relabelled, renamed or empty now; nothing where none was before."""
    page = data_report().page()
    assert '<span class="figure">−4</span>not in this one' in page
    assert "withdrawn" not in page
    for said in ("+31", "−4", ">17<", "shoes is called footwear now.", "hats has no pictures any more."):
        assert said in page
    assert "Against the dataset before" not in data_report().model_copy(update={"changes": None}).page()


def test_the_page_shows_what_looks_alike_and_what_looks_wrong() -> None:
    """Each beside the words that say which pictures these are."""
    page = data_report().page()
    assert "1a1a1a1a · 2b2b2b2b" in page
    assert "tops? It looks like dresses (95 %)" in page
    assert 'alt="set aside"' in page


def test_the_page_offers_to_readmit_what_can_be_readmitted_and_to_deliver_the_rest() -> None:
    """Each is counted by itself; what was forgotten is neither."""
    some = data_report(left=20).model_copy(update={"quarantined": 3})
    assert "has 3 pictures that can be put back" in some.page()
    assert "python run.py --readmit IMAGE_ID" in some.page()
    assert "Mend and deliver again: 17 pictures" in some.page()
    none = some.model_copy(update={"quarantined": 0})
    assert "--readmit" not in none.page()
    assert "Mend and deliver again: 20 pictures" in none.page()
    gone = SetAside(path="a.png", label="tops", reason="forgotten", detail="a person asked for its erasure")
    assert "Mend and deliver" not in none.model_copy(update={"set_aside": (gone,)}).page()


def test_the_page_of_many_classes_and_findings_stays_small() -> None:
    """Two hundred classes, a thousand groups and labels: a few pictures, far below 2 MB."""
    report = data_report()
    many = report.model_copy(
        update={
            "per_class": {f"class {number}": number for number in range(200)},
            "near_duplicates": report.near_duplicates * 1000,
            "suspicious_labels": report.suspicious_labels * 1000,
        }
    ).with_pictures({f"class {number:02d} x": png(number) for number in range(30)})
    page = many.page()
    assert page.count("<img ") < 50
    assert len(page.encode()) < 1_000_000


def test_a_report_of_the_first_format_is_read_and_keeps_its_digest() -> None:
    """What an older version wrote has a page, reasons, and the digest that it was stored under."""
    report = DataReport.model_validate(FIRST_FORMAT)
    assert json.loads(report.model_dump_json()) == FIRST_FORMAT
    assert report.digest == "9de61c219a532221a0c69161f96a99bb60dd85f394d3dde471147614eda58e71"
    assert report.reasons() == ["Too few."]
    assert "Refused" in report.page()
    first = Screening.model_validate(FIRST_SCREENING)
    assert json.loads(first.model_dump_json()) == FIRST_SCREENING


def test_a_report_of_a_later_format_is_refused() -> None:
    """What a newer version wrote is not half understood."""
    with pytest.raises(ValidationError, match="format 4 is unknown: 1, 2, 3 can be read"):
        DataReport.model_validate(FIRST_FORMAT | {"format_version": 4})


def test_a_new_report_is_written_in_the_third_format() -> None:
    """Its checks have a severity, and it is read back as it was."""
    written = json.loads(data_report().model_dump_json())
    assert written["format_version"] == 3
    assert {check["severity"] for check in written["checks"]} == {"refuse", "warn"}
    assert DataReport.model_validate(written).digest == data_report().digest


def test_what_is_known_of_watched_deliveries_came_with_the_third_format() -> None:
    """A report of the second format knows of none, and is written as it was."""
    second = json.loads(data_report().model_dump_json()) | {"format_version": 2}
    del second["watched"], second["newest_captured_at"]
    read = DataReport.model_validate(second)
    assert json.loads(read.model_dump_json()) == second
    assert (read.watched, read.newest_captured_at) == (Watched(), None)
    fourth = json.loads(screening().model_dump_json())
    third = {name: value for name, value in fourth.items() if name != "watched"} | {"format_version": 3}
    assert json.loads(Screening.model_validate(third).model_dump_json()) == third


def test_the_page_says_what_was_taken_what_was_refused_and_what_is_not_complete() -> None:
    """Of the first few by name; of others their number, and nothing where no place was looked at."""
    report = data_report().model_copy(update={"watched": watched(refused=7, incomplete=6)})
    page = report.page()
    for said in (
        "Taken from s3://shop/incoming: taken.zip.",
        "Not taken, refused-4.zip: It is no archive. It is taken once it has changed, or with --set "
        "ingest.watch.again=true.",
        "Not taken either: refused-5.zip, refused-6.zip.",
        "Not complete: late-0.zip has no marker since 2026-11-29 08:00 UTC; ",
        "late-4.zip has no marker since 2026-11-29 08:00 UTC; and 1 more.",
    ):
        assert said in page
    headline = report.headline()
    assert (headline["deliveries_taken"], headline["deliveries_refused"]) == (1, 7)
    assert headline["deliveries_incomplete"] == 6
    assert "The watched place" not in data_report().page()


def test_what_joined_a_dataset_that_was_refused_was_not_taken() -> None:
    """It waits with the reasons of the dataset; what was there before is there."""
    before = watched(refused=1, incomplete=0)
    after = before.refused_together(["Too few."])
    outcomes = {each.address.rpartition("/")[2]: each.outcome for each in after.deliveries}
    assert outcomes == {
        "there.zip": "taken",
        "taken.zip": "refused_together",
        "refused-0.zip": "refused",
    }
    assert (after.taken, len(after.refused)) == ((), 2)
    assert "Not taken, taken.zip: Too few." in " ".join(after.said())


def test_the_screening_counts_what_it_says_of_earlier_pictures() -> None:
    """Relabelled, withdrawn and unknown ones; a delivery of new pictures alone says nothing of them."""
    assert screening().changes.rows == 8
    assert "About pictures of earlier deliveries" in screening().page()
    assert "earlier deliveries" not in Screening.model_validate(FIRST_SCREENING).page()


def test_the_screening_says_how_many_rows_matched_since_its_third_format() -> None:
    """One of the second format is read, and written as it was."""
    some = screening()
    second = json.loads(some.model_dump_json()) | {"format_version": 2}
    del second["changes"]["asked"], second["watched"]
    assert json.loads(Screening.model_validate(second).model_dump_json()) == second
    third = some.model_copy(update={"changes": Corrections(asked=9, withdrawn=2)})
    assert json.loads(third.model_dump_json())["changes"]["asked"] == 9
    assert '<span class="figure">9</span>asked for' in third.page()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (Corrections(asked=2), "2 corrections: nothing changed"),
        (Corrections(asked=1, withdrawn=3), "1 correction: 3 withdrawn"),
        (
            Corrections(asked=5, withdrawn=1, relabelled=2, amended=1, unknown=("ab" * 32, "shop/a.jpg")),
            "5 corrections: 1 withdrawn, 2 relabelled, 1 corrected in another value, no stored picture "
            "matches 2 (abababababab, shop/a.jpg)",
        ),
        (Corrections(asked=1, unknown=("a.jpg",)), "1 correction: no stored picture matches 1 (a.jpg)"),
    ],
)
def test_corrections_say_in_one_line_what_became_of_them(changes: Corrections, said: str) -> None:
    """What was asked, what it came to, and the names that matched nothing."""
    assert changes.said == said


def test_the_screening_lists_fifty_conflicts_and_counts_the_rest() -> None:
    """A delivery in which every picture has two labels has a page all the same."""
    many = screening().model_copy(update={"conflicts": tuple(f"conflict-{n}.png" for n in range(60))})
    assert many.page().count("<li>conflict-") == 50
    assert "And 10 more" in many.page()


def test_headlines_count() -> None:
    """The dashboard's metadata has the outcome and the counts."""
    assert data_report(left=3).headline()["accepted"] == 2997
    assert data_report(left=3).headline()["set_aside"] == 3
    assert screening().headline() == {"rows": 3000, "set_aside": 4, "duplicates": 1}

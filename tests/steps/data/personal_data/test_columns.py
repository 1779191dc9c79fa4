"""Tests of steps/data/personal_data/columns.py: planted personal data is found, and a catalogue is clean."""

import sys
import time

import pandas as pd
import pytest

from steps.data.personal_data.columns import (
    Finding,
    find_emails,
    mask_columns,
    missing_packages,
    scan_columns,
)
from steps.data.personal_data.settings import PersonalDataSettings
from tests.steps.data import personal_examples as planted

TEXT = pd.StringDtype("pyarrow")


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_email_addresses_are_found(seed: int) -> None:
    """At least 95 of 100, of any script, between any signs."""
    assert planted.found_alone(planted.emails(100, seed), "e-mail") >= 95


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_phone_numbers_are_found(seed: int) -> None:
    """At least 95 of 100, of 40 countries, with brackets, slashes, points, extensions and without."""
    assert planted.found_alone(planted.phones(100, seed), "phone") >= 95


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_names_in_sentences_are_found(seed: int) -> None:
    """At least 40 of 50 names of many languages, in a column that does not say what it holds."""
    assert planted.found_alone(planted.person_texts(50, seed), "name") >= 40


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_names_alone_are_found(seed: int) -> None:
    """At least 40 of 50, with no word around them; in a column of names, all."""
    names = planted.persons(50, seed)
    assert planted.found_alone(names, "name") >= 40
    assert scan_columns(planted.frame_of(names))[0].rows == 50


def test_names_that_the_lists_were_not_made_for_are_found() -> None:
    """Of 50 well-known persons at least 40 in sentences and as a column, and most when each stands alone."""
    known = planted.WELL_KNOWN
    assert planted.found_alone(planted.person_texts(50, names=known), "name") >= 40
    assert scan_columns(planted.frame_of(list(known)))[0].rows >= 40
    assert planted.found_alone(list(known), "name") >= 30


@pytest.mark.parametrize("column", planted.PERSON_COLUMNS)
def test_names_in_a_column_of_persons_are_found(column: str) -> None:
    """The column's name says that they are."""
    assert planted.found_alone(planted.persons(50), "name", column) >= 48


@pytest.mark.parametrize("with_brands", [True, False])
def test_a_catalogue_raises_no_false_alarm(with_brands: bool) -> None:
    """Prices, article numbers, EANs, dates, colours and brands called like persons are no personal data."""
    catalogue = planted.catalogue(2000)
    assert scan_columns(catalogue if with_brands else catalogue.drop(columns="brand")) == []


@pytest.mark.parametrize(
    "value",
    [
        "logo@2x.png", "@brand", "a@b", "size 3 @ 20.00", "2024-11-28 14:00:00", "28.11.2024",
        "192.168.10.12", "4006381333931", "4 006381 333931", "1.299.000,00", "12 x 34 x 56 cm",
        "52.520008, 13.404954", "1732801234", "0012345678", "10-2024-000123", "32/34", "Calvin Klein Jeans",
        "Mary Jane", "Ruby Red", "Tom Tailor Denim", "Made in Hong Kong", "Peter Pan Collar",
        "The Summer Dress is light", "Die Bluse ist sehr leicht",
    ],
)  # fmt: skip
def test_what_only_looks_like_personal_data_is_left_alone(value: str) -> None:
    """Each is a trap of catalogues."""
    assert scan_columns(planted.frame_of([value])) == []


def test_a_brand_of_the_catalogue_is_no_person_in_a_title() -> None:
    """The values of the allowed columns are known; without that column the same title is a person's name."""
    titles = planted.frame_of(["Emma Watson"], "title")
    assert [finding.kind for finding in scan_columns(titles)] == ["name"]
    assert scan_columns(titles.assign(brand=pd.Series(["Emma Watson"], dtype=TEXT))) == []


def test_other_columns_can_be_allowed() -> None:
    """An allowed column is not looked through for names, but for e-mail addresses."""
    frame = planted.frame_of(["Anna Schmidt", "anna@example.com"], "designer")
    found = scan_columns(frame, settings=PersonalDataSettings(allowed_columns=("designer",)))
    assert [finding.kind for finding in found] == ["e-mail"]


def test_only_the_asked_columns_are_looked_through() -> None:
    """A column of numbers is none of text."""
    frame = planted.frame_of(["anna@example.com"]).assign(
        other=planted.frame_of(["b@example.com"])["note"], width=[256]
    )
    assert {finding.column for finding in scan_columns(frame)} == {"note", "other"}
    assert [finding.column for finding in scan_columns(frame, ["other"])] == ["other"]


def test_rows_are_counted_and_missing_values_are_none() -> None:
    """Each row with a value counts, however often the value repeats."""
    frame = pd.DataFrame({"note": pd.Series(["a@example.com", None, "a@example.com", "red"], dtype=TEXT)})
    assert scan_columns(frame) == [Finding("note", "e-mail", 2, ("a…@…",))]


def test_examples_do_not_tell_what_was_found() -> None:
    """Reports are kept: of a value only its first signs stand in them."""
    values = ["anna@example.com", "+49 171 1234567", "called Anna Schmidt about it"]
    examples = [finding.examples[0] for finding in scan_columns(planted.frame_of(values))]
    assert examples == ["a…@…", "+4…", "A… S…"]


def test_only_the_found_part_is_masked() -> None:
    """What stands around it stays, other rows and columns too."""
    values = ["call Anna Schmidt, anna@example.com or +49 171 1234567 (red)", "Navy Blue", None]
    frame = planted.frame_of([]).reindex(range(3)).assign(note=pd.Series(values, dtype=TEXT), label="shoes")
    masked = mask_columns(frame, scan_columns(frame))
    assert masked["note"].tolist()[:2] == ["call [name], [e-mail] or [phone] (red)", "Navy Blue"]
    assert masked["note"].isna().tolist() == [False, False, True]
    assert masked["note"].dtype == TEXT
    assert frame["note"].iloc[0] == values[0]


def test_nothing_is_found_in_what_was_masked() -> None:
    """Of all that is planted, in one frame."""
    count = 60
    frame = pd.DataFrame(
        {
            "mail": planted.emails(count), "number": planted.phones(count),
            "note": planted.person_texts(count), "photographer": planted.persons(count),
        },
        dtype=TEXT,
    )  # fmt: skip
    masked = mask_columns(frame, scan_columns(frame))
    assert scan_columns(masked) == []
    assert (masked["photographer"] == "[name]").mean() > 0.9


def test_a_kind_whose_package_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not looked for, and the others are."""
    assert missing_packages() == {}
    monkeypatch.setitem(sys.modules, "names", None)
    assert missing_packages() == {"name": "names"}
    found = scan_columns(planted.frame_of(["Anna Schmidt", "a@example.com"]))
    assert [finding.kind for finding in found] == ["e-mail"]


def test_disguised_addresses_are_found() -> None:
    """``(at)`` and ``[dot]`` hide nothing."""
    assert find_emails("anna (at) example.com") == [(0, 21)]
    assert find_emails("to anna[at]example[dot]com!") == [(3, 26)]


def test_many_rows_are_scanned_in_seconds() -> None:
    """20,000 rows of a whole catalogue and of sentences with names, each value another."""
    frame = planted.catalogue(20_000)
    frame["remark"] = [f"{text} ({row})" for row, text in enumerate(planted.person_texts(20_000))]
    start = time.process_time()
    assert [finding.column for finding in scan_columns(frame)] == ["remark"]
    assert time.process_time() - start < 30

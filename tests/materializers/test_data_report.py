"""The page of a delivery's checks says why, and stays readable however much was set aside."""

from tests.materializers.examples import data_report, screening


def test_a_refused_report_gives_the_reasons_of_its_refused_checks_alone() -> None:
    """A warning is in the table, not among the reasons."""
    refused = data_report("refused", left=420)
    assert refused.reasons() == [
        "420 pictures are set aside: 14.0% of the delivery; at most 5.0% may be.",
    ]
    assert data_report().reasons() == []
    assert f"<li>{refused.reasons()[0]}</li>" in refused.page()


def test_the_page_lists_fifty_pictures_set_aside_and_counts_the_rest() -> None:
    """420 set aside: 50 rows, and a line that 370 more are in the report."""
    page = data_report("refused", left=420).page()
    assert page.count("it is no picture: text") == 50
    assert "And 370 more" in page
    assert "pictures/49.png" in page
    assert "pictures/50.png" not in page


def test_the_page_shows_the_counts_of_every_class_and_every_check() -> None:
    """Classes with their number of pictures, checks with measured value beside limit."""
    page = data_report().page()
    assert '<td>trousers</td><td class="number">600</td>' in page
    assert '<td class="number">2,997</td><td class="number">100</td>' in page
    assert page.count("<img ") == 5


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

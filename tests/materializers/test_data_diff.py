"""A difference counts per class, and says when there is none."""

from tests.materializers.examples import data_diff


def test_the_page_shows_every_class_and_every_move() -> None:
    """Before, what changed, after; and the pictures beside."""
    page = data_diff().page()
    assert "<td>tops</td>" in page
    assert "3,000 pictures before, 3,001 after" in page
    assert "1 picture of the earlier version was forgotten since" in page
    assert "<td>price</td>" in page
    assert page.count("<img ") == 1


def test_the_headline_counts() -> None:
    """What the dashboard shows without a download."""
    counts = {
        name: data_diff().headline()[name] for name in ("added", "withdrawn", "relabelled", "forgotten")
    }
    assert counts == {"added": 2, "withdrawn": 1, "relabelled": 1, "forgotten": 1}


def test_the_same_version_twice_is_no_difference() -> None:
    """Said in the first line."""
    same = data_diff().model_copy(update={"before": data_diff().after})
    assert same.same
    assert "Nothing changed" in same.page()

"""A release says what is served where, and on what evidence."""

import pytest
from pydantic import ValidationError

from tests.materializers.examples import MODEL, approval, arm, full_verdict, release


def test_the_page_of_a_live_release_names_version_url_and_approval() -> None:
    """Who opens it sees where the service answers and who approved it."""
    page = release().page()
    assert "http://127.0.0.1:8080/seldon/shutterline/product-classifier/api/v1.0/predictions" in page
    assert "by Anna Weber (default) on 2026-11-21 12:00 UTC: looked at the mistakes" in page
    assert approval().digest in page
    assert full_verdict().digest in page


def test_the_page_of_a_refused_release_says_why_and_what_is_still_served() -> None:
    """A refusal changes nothing, and the page says so."""
    refused = release(
        status="refused",
        reasons=("The gate's verdict is refused.",),
        candidate=arm(verdict=full_verdict("refused"), approval=None),
    )
    assert "Refused: version 3 does not go to production" in refused.page()
    assert "What is served is unchanged: version 2." in refused.page()
    assert "<li>The gate&#39;s verdict is refused.</li>" in refused.page()


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"mode": "canary", "share": 0.1}, "It answers 10 % of the requests beside version 2"),
        ({"mode": "ab", "share": 0.2}, "It answers 20 % of the request keys beside version 2"),
        ({"mode": "shadow", "share": 0.0}, "a copy of every request, and nobody gets its answers"),
    ],
)
def test_the_page_of_a_release_that_rolls_out_says_what_it_answers(
    known: dict[str, object], said: str
) -> None:
    """In each mode, and beside which version."""
    page = release(status="rolling_out", **known).page()
    assert "Version 3 is rolling out in production" in page
    assert said in page


def test_the_page_of_a_release_that_was_rolled_back_says_why_and_who_serves() -> None:
    """The champion has all the traffic."""
    back = release(status="rolled_back", mode="canary", share=0.1, reasons=("It answers 2 % with errors.",))
    assert "Rolled back: version 3 does not serve in production any more" in back.page()
    assert "up to 10 % of the traffic; version 2 has all of it again" in back.page()
    assert "<li>It answers 2 % with errors.</li>" in back.page()


def test_the_page_says_why_a_release_came_as_it_did() -> None:
    """Such as with all the traffic at once where nothing was live."""
    assert "It was released on its verdict." in release(why="released on its verdict").page()


def test_a_release_that_was_not_recorded_says_so() -> None:
    """Until registry and run agree with the deployer, the page does not claim it."""
    assert "do not hold this yet" in release(recorded=False).page()
    assert "do not hold this yet" not in release().page()


def test_the_page_of_a_release_that_was_put_back_says_by_whom_and_why() -> None:
    """A rollback is a person's act; a release of before that was noted still keeps its digest."""
    back = release(restored=True, by="Bob <b>", why="the bags look wrong")
    assert "Put back by Bob &lt;b&gt;: the bags look wrong" in back.page()
    assert "Put back" not in release().page()
    earlier = release(format_version=1)
    assert {"by", "why"}.isdisjoint(earlier.model_dump())


def test_a_command_on_the_page_names_the_model() -> None:
    """Who reads it in the dashboard has no configuration of the run; the record has the reason as it was."""
    refused = release(status="refused", reasons=("No approval: python run.py --approve 3 --by WHO",))
    assert f"python run.py --set product.model={MODEL} --approve 3 --by WHO" in refused.page()
    assert refused.reasons == ("No approval: python run.py --approve 3 --by WHO",)


def test_a_first_release_has_no_champion() -> None:
    """Nothing was served before: the page says none."""
    assert "<th>champion before it</th><td>none</td>" in release(champion=None).page()


@pytest.mark.parametrize("wrong", [{"mode": "blue-green"}, {"mode": ""}, {"share": 1.1}, {"share": -0.1}])
def test_an_unknown_mode_or_an_impossible_share_is_no_release(wrong: dict[str, object]) -> None:
    """Nobody finds out in production what a deployer makes of it."""
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        release(**wrong)


def test_a_record_of_before_there_were_rollouts_is_read_and_keeps_its_digest() -> None:
    """What format 3 knows of stages is not in a record of format 2."""
    earlier = release(format_version=2)
    assert {"rollout", "stage", "stage_since"}.isdisjoint(earlier.model_dump())


def test_the_headline_names_what_is_where() -> None:
    """Environment, status and version; reasons when there are any."""
    assert release().headline() == {"environment": "production", "status": "live", "version": 3}
    refused = release(status="refused", candidate=None, reasons=("no verdict",))
    assert refused.headline() == {"environment": "production", "status": "refused", "reasons": ["no verdict"]}

"""A decision to retrain shows each signal that was asked."""

from materializers.trigger_decision import Hold
from tests.materializers.examples import signals, trigger_decision


def test_the_page_shows_each_signal_beside_its_limit() -> None:
    """Value, limit, whether it fired, and why."""
    page = trigger_decision().page()
    assert '<td class="number">600</td><td class="number">500</td>' in page
    assert "1 of 3 signals fired." in page
    assert "nobody asked for it" in page


def test_a_decision_against_retraining_names_the_version_that_is_finished_instead() -> None:
    """A run that was interrupted before staging is finished, not repeated."""
    held = trigger_decision().model_copy(update={"retrain": False, "finish_version": 4})
    page = held.page()
    assert "No retraining" in page
    assert "Version 4, which an earlier run left unfinished, goes to staging." in page


def test_signals_without_a_version_say_that_there_is_none() -> None:
    """Before the first version there is no age to speak of."""
    none = signals().model_copy(update={"last": None, "signals": ()})
    assert "There is no version yet." in none.page()
    assert "No signal fired" in none.page()


def test_headlines_answer_whether_and_why() -> None:
    """The dashboard's metadata has the decision, its reasons and the signals that fired."""
    decision = trigger_decision()
    assert decision.headline() == {"retrain": True, "reasons": list(decision.reasons)}
    assert signals().headline() == {"fired": ["new_data"], "held_by": []}


def test_the_page_says_what_held_a_retraining_back() -> None:
    """Each hold with its value, its limit, and whether it holds; none where there were none yet."""
    brake = Hold(name="brake", value=3, limit=3, holds=True, reason="3 retrainings in a row were refused")
    held = trigger_decision().model_copy(update={"retrain": False, "holds": (brake,)})
    assert "3 retrainings in a row were refused" in held.page()
    assert "What may hold it back" not in trigger_decision().page()

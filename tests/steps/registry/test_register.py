"""A judged model is registered once, and what the registry says of it is never half written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from materializers.audit_log import read_log
from materializers.errors import ServiceUnreachable
from materializers.evidence import read_versions, registry_client
from steps.orchestrator import active_orchestrator
from steps.registry.aliases import CHALLENGER, CHAMPION
from steps.registry.register import JUDGED, LEARNT, log_version, register_version

if TYPE_CHECKING:
    from zenml.client import Client

pytestmark = pytest.mark.usefixtures("local_stack")


def tags(identity: str = "one", verdict: str = "passed", judged: str = "first") -> dict[str, str]:
    """What a run says of a model, as far as registering reads it."""
    return {
        "identity": identity,
        "verdict": verdict,
        "verdict_digest": f"{judged} verdict",
        "report_digest": f"{judged} report",
        "zenml_run": f"{judged} run",
        "model_uri": "store/model",
    }


def test_the_same_identity_is_the_same_version() -> None:
    """A second registration of the same model finds the first and leaves its record as it was."""
    first = register_version("registered-once", tags())
    again = register_version("registered-once", tags(judged="second"))
    assert (first.version, again.version) == (1, 1)
    assert again.tags["zenml_run"] == "first run"
    assert again.aliases == (CHALLENGER,)


def test_another_identity_is_another_version() -> None:
    """Other data, configuration, policy or code make a new version, the challenger if it passed."""
    register_version("registered-twice", tags())
    assert register_version("registered-twice", tags(identity="two", verdict="refused")).version == 2
    newest, oldest = read_versions("registered-twice")
    assert (newest.aliases, oldest.aliases) == ((), (CHALLENGER,))


def test_a_judgement_that_refuses_takes_the_challenger_back() -> None:
    """A version that passed and is refused when judged again keeps neither its record nor its alias."""
    register_version("judged-again", tags())
    refused = register_version("judged-again", tags(verdict="refused", judged="second"))
    assert refused.tags == tags(verdict="refused", judged="second")
    assert read_versions("judged-again")[0].aliases == ()


AGAINST_OTHERS = ["2:other", "3:other", "nothing"]


@pytest.mark.parametrize("against", AGAINST_OTHERS)
def test_a_judgement_beside_another_champion_replaces_the_one_before(against: str) -> None:
    """What it came to is the same, and it was reached on other evidence."""
    name = f"judged-against-{AGAINST_OTHERS.index(against)}"
    known = tags() | {"model_digest": "own", "judged_against": "1:other"}
    register_version(name, known)
    assert register_version(name, known).tags == known
    again = tags(judged="second") | {"model_digest": "own", "judged_against": against}
    assert register_version(name, again).tags == again


def test_a_judgement_beside_itself_replaces_none() -> None:
    """The version is in production by now: the verdict that it was released on stays."""
    known = tags() | {"model_digest": "own", "judged_against": "1:other"}
    register_version("judged-by-itself", known)
    again = tags(judged="second") | {"model_digest": "own", "judged_against": "2:own"}
    assert register_version("judged-by-itself", again).tags == known


@pytest.mark.parametrize("recorded", ["passed", "refused"])
def test_a_judgement_that_came_to_nothing_replaces_none(recorded: str) -> None:
    """What was measured stands, whichever way it went: neither is a pass lost nor a refusal forgotten."""
    name = f"not-assessed-again-{recorded}"
    register_version(name, tags(verdict=recorded))
    before = read_versions(name)
    register_version(name, tags(verdict="not_assessed", judged="second"))
    assert read_versions(name) == before
    assert [entry.aliases for entry in before] == [(CHALLENGER,) if recorded == "passed" else ()]


def test_a_judgement_that_came_to_nothing_moves_no_alias() -> None:
    """The challenger stays the version that passed last, though an older one is judged again."""
    register_version("older-again", tags())
    register_version("older-again", tags(identity="two"))
    register_version("older-again", tags(verdict="not_assessed", judged="second"))
    newest, oldest = read_versions("older-again")
    assert (newest.aliases, oldest.aliases) == ((CHALLENGER,), ())


def test_a_live_version_keeps_the_verdict_that_it_is_live_by() -> None:
    """Its release names that verdict's digest: another one in the registry would make it look altered."""
    live = register_version("live-again", tags())
    registry_client().set_registered_model_alias("live-again", CHAMPION, str(live.version))
    after = register_version("live-again", tags(verdict="not_assessed", judged="second"))
    assert (after.tags, after.aliases) == (tags(), (CHALLENGER, CHAMPION))


def test_a_refusal_counts_after_a_judgement_that_came_to_nothing() -> None:
    """That the pass before was kept makes no model releasable that is refused now; what is live stays so."""
    live = register_version("refused-in-the-end", tags())
    registry_client().set_registered_model_alias("refused-in-the-end", CHAMPION, str(live.version))
    register_version("refused-in-the-end", tags(verdict="not_assessed", judged="second"))
    refused = register_version("refused-in-the-end", tags(verdict="refused", judged="third"))
    assert refused.tags == tags(verdict="refused", judged="third")
    assert read_versions("refused-in-the-end")[0].aliases == (CHAMPION,)


@pytest.mark.parametrize("recorded", ["refused", "not_assessed"])
def test_a_judgement_that_passes_is_recorded(recorded: str) -> None:
    """With its own evidence, in the place of what was there."""
    name = f"passes-in-the-end-{recorded}"
    register_version(name, tags(verdict=recorded))
    assert register_version(name, tags(judged="second")).tags == tags(judged="second")
    assert read_versions(name)[0].aliases == (CHALLENGER,)


@pytest.mark.parametrize("written", range(6))
def test_a_record_that_was_half_replaced_is_completed(
    written: int, monkeypatch: pytest.MonkeyPatch, local_stack: Client
) -> None:
    """Interrupted after any tag, the same judgement again ends in the whole new record."""
    name = f"half-replaced-{written}"
    register_version(name, tags())
    left = [written]
    whole = MlflowClient.set_model_version_tag

    def stops(self: MlflowClient, *arguments: Any, **named: Any) -> None:
        if left[0] == 0:
            raise MlflowException("the registry went away")
        left[0] -= 1
        whole(self, *arguments, **named)

    new = tags(verdict="refused", judged="second")
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_model_version_tag", stops)
        with pytest.raises(ServiceUnreachable):
            register_version(name, new)
    assert register_version(name, new).tags == new


def logged(name: str) -> list[tuple[str, str]]:
    """Act and verdict of every entry on a model, the oldest first."""
    entries = [each.entry for each in read_log() if each.entry is not None]
    return [
        (entry.act, entry.subject.get("verdict", "")) for entry in entries if entry.subject["model"] == name
    ]


def test_each_judgement_that_says_something_new_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that came to nothing, once, though the record of the version stays what it was."""
    name = "logged-judgements"
    for variable, value in active_orchestrator().signing_environment().items():
        monkeypatch.setenv(variable, value)
    known = dict.fromkeys((*LEARNT, *JUDGED), "0" * 64) | {"origin": "train"}
    for verdict, judged in [
        ("passed", "first"),
        ("passed", "second"),
        ("not_assessed", "third"),
        ("not_assessed", "third"),
        ("refused", "fourth"),
    ]:
        before, found = read_versions(name), {**known, **tags(verdict=verdict, judged=judged)}
        log_version(register_version(name, found), before, found)
    assert logged(name) == [("train", ""), ("gate", "passed"), ("gate", "not_assessed"), ("gate", "refused")]

"""The cache never answers for the world: which steps always run."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import replace

import steps
from tests.conftest import PROJECT
from tests.whole.shop import Shop

NEVER_CACHED = {
    "ingest",  # reads a folder, a bucket, and the model's last runs
    "signals",  # reads the registry and the clock
    "decide",  # its answer holds for the moment
    "evaluate",  # measures this machine's latency, asks for champion and advisories
    "gate",  # signs with the key that is there now
    "register",  # changes the registry
    "candidate",  # reads the registry, the deployer and the artifact store
    "release",  # changes what is served
    "observe",  # asks the service
    "conclude",  # changes the registry
    "staging",  # all of these four
    "champion",  # reads what is live
    "predict",  # reads a folder, writes a file
    "predict_part",  # reads a folder
    "join",  # writes a file
    "window",  # reads what is live, what was captured, the registry and the clock
    "explain",  # reads captured pictures, as the store has them now
    "tell",  # tells people
    "react",  # reads what is live, and may change it
    "compare",  # reads what the store holds of a version now
    "show",  # each act of a person has a run of its own
}
CACHED = {
    "validate",  # looks at what ingest stored, and at the dataset before, both inputs
    "split",  # draws from the dataset, the splits before and a seed, all inputs
    "tune",  # also reads the store, MLflow and weights: see BESIDE_THEIR_INPUTS
    "train",  # as tune
    "assess",  # compares a window with the reference, both inputs
}
OF_MONITORING = {"assess"}
"""What no training runs."""
BESIDE_THEIR_INPUTS = (
    "Features, checkpoints and studies, which `tune` and `train` read from the store, and weights, which "
    "they fetch, are found by a digest of what decides them, so that they save work and change no answer"
)
"""Why those two may come from the cache, as the page has it."""


def all_steps() -> dict[str, bool | None]:
    """Each step of the project, with its ``enable_cache``."""
    from zenml.steps import BaseStep

    found: dict[str, bool | None] = {}
    for module in pkgutil.walk_packages(steps.__path__, "steps."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, BaseStep):
                found[value.name] = value.configuration.enable_cache
    return found


def test_steps_that_touch_the_outside_are_never_cached() -> None:
    """Exactly those that read or change anything outside their inputs have ``enable_cache=False``."""
    found = all_steps()
    assert {name for name, cache in found.items() if cache is False} == NEVER_CACHED
    assert {name for name, cache in found.items() if cache is not False} == CACHED


def test_the_page_lists_them() -> None:
    """docs/architecture.md names exactly the steps that are never cached, and says why two others are."""
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"is never cached: ([a-z_, ]+)\.", page)
    assert len(listed) == 1
    assert sorted(listed[0].split(", ")) == sorted(NEVER_CACHED)
    assert BESIDE_THEIR_INPUTS in page


def test_a_second_run_asks_the_world_again_and_nothing_else(serving: Shop) -> None:
    """Run twice, the pure steps come from the cache and the others run."""
    from zenml.client import Client

    outcome = serving.run("product.model=cached-twice", train=True, source=str(serving.delivery))
    again = serving.run("product.model=cached-twice", train=True, source=str(serving.delivery))
    assert (outcome.exit_code, again.exit_code) == (0, 0)
    run = Client().get_pipeline_run(again.last["run"])
    status = {name: str(step.status) for name, step in run.steps.items()}
    anew = ("ingest", "evaluate", "gate", "register")  # a new measurement is a new input of the gate
    assert status == {**dict.fromkeys(CACHED - OF_MONITORING, "cached"), **dict.fromkeys(anew, "completed")}


def test_another_policy_judges_the_same_model_and_trains_nothing(serving: Shop) -> None:
    """Also where it asks for test pictures, so that the splits are checked again: they are the same."""
    from zenml.client import Client

    first = serving.run("product.model=judged-anew", train=True, source=str(serving.delivery))
    stricter = ("policy.rules.accuracy={limit: 0.51, min_n: 10}", "evaluate.top_k=2")
    second = serving.run("product.model=judged-anew", *stricter, train=True, source=str(serving.delivery))
    assert (first.exit_code, second.exit_code) == (0, 0)
    run = Client().get_pipeline_run(second.last["run"])
    status = {name: str(step.status) for name, step in run.steps.items()}
    assert (status["tune"], status["train"]) == ("cached", "cached")
    known = replace(serving, model="judged-anew").versions()
    assert sorted(known) == [1, 2]
    assert known[1]["model_digest"] == known[2]["model_digest"]
    assert known[1]["policy_digest"] != known[2]["policy_digest"]

"""A registered version is trained again through run.py: equal, or what differs; nothing is registered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from materializers.image_dataset import picture_digest
from tests.shrunk.delivery import cut_delivery, noise
from tests.whole.shop import SEED_1, Outcome, Shop, altered, tag_edited

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

WRONG_USE, REFUSED = 2, 3
OWN = 16
"""Pictures of this test alone: enough that some learn and some test."""


@pytest.fixture(scope="module")
def shop(open_shop: Callable[[str], Shop]) -> Shop:
    """Version 1, of another seed than the configuration that tests reproduce it with."""
    made = open_shop("reproduced")
    assert made.train(SEED_1) == 1
    return made


def run_of(outcome: Outcome) -> PipelineRunResponse:
    """The run of a reproduction."""
    from zenml.client import Client

    return Client().get_pipeline_run(outcome.last["run"])


def report_of(outcome: Outcome) -> Any:
    """The report that a reproduction's run stored."""
    return run_of(outcome).steps["compare"].outputs["reproduction"][0].load()


def runs() -> set[str]:
    """The ids of all runs there are."""
    from zenml.client import Client

    return {str(run.id) for run in Client().list_pipeline_runs(size=500).items}


def trainings() -> set[str]:
    """What has checkpoints in the store: each training under a name of its own."""
    from materializers.store_files import CHECKPOINTS
    from steps.data.stored import active_store

    return {path.name for path in (Path(active_store().path) / CHECKPOINTS).glob("*")}


def refused(outcome: Outcome, said: str) -> None:
    """It ended in one line that says why, before a run began."""
    assert (outcome.exit_code, outcome.last["run"]) == (REFUSED, None), outcome.results
    assert "cannot be trained again, and nothing was" in outcome.said
    assert said in outcome.said
    assert "\n" not in outcome.said


def test_a_version_is_equal_on_the_same_machine_again_and_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From what was recorded, not from today's seed; trained each time, and registered never."""
    from steps.training.fitting.training_key import training_key

    before, keys = (shop.versions(), shop.aliases()), list[str]()
    of_others = trainings()

    def noted(**evidence: Any) -> str:
        keys.append(training_key(**evidence))
        return keys[-1]

    monkeypatch.setattr("steps.training.train.training_key", noted)
    for _ in range(2):
        outcome = shop.run(reproduce=1)
        assert outcome.exit_code == 0, (outcome.results, outcome.stderr)
        assert (outcome.last["pipeline"], outcome.last["status"]) == ("reproduction", "completed")
        assert outcome.last["version"] == 1
        assert outcome.said.startswith("Version 1 was trained again: equal")
        statuses = {name: str(step.status) for name, step in run_of(outcome).steps.items()}
        assert statuses == {"train": "completed", "compare": "completed"}
        report = report_of(outcome)
        assert (report.outcome, report.weights.differing, report.weights.unmatched) == ("equal", 0, ())
        assert trainings() == of_others, "its checkpoints stayed"
        inputs = {each.name: each for each in report.inputs}
        assert inputs["seed"].here == "1"
        assert [name for name, each in inputs.items() if each.same is False] == []
    assert len(set(keys)) == 2, "it went on from a training that had ended"
    assert (shop.versions(), shop.aliases()) == before


def test_the_inputs_are_the_very_artifacts_of_the_first_run(shop: Shop) -> None:
    """Nothing is copied, so that an erasure has nothing more to reach."""
    from zenml.client import Client

    first = Client().get_pipeline_run(shop.versions()[1]["zenml_run"])
    stored = {name: found[0].id for each in first.steps.values() for name, found in each.outputs.items()}
    taken = {name: found[0].id for name, found in run_of(shop.run(reproduce=1)).steps["train"].inputs.items()}
    assert taken == {"dataset": stored["dataset"], "splits": stored["splits"]}


def test_other_code_is_named_and_its_model_is_compared_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says which code was recorded and which is here; the bytes are what decides."""
    monkeypatch.setattr("pipelines.launch.code_digest", lambda: "0c" * 32)
    outcome = shop.run(reproduce=1)
    assert outcome.exit_code == 0
    recorded = shop.versions()[1]["code_digest"][:12]
    assert outcome.last["reasons"][1:] == [
        f"The code is another one: {recorded} was recorded, here it is 0c0c0c0c0c0c."
    ]


def test_code_that_learns_otherwise_differs_and_says_by_how_much(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3, the tensors that differ most, and no guess beside the code."""
    from steps.training.fitting.loop import reproducible as kept

    monkeypatch.setattr("pipelines.launch.code_digest", lambda: "0c" * 32)
    monkeypatch.setattr("steps.training.phases.reproducible", lambda seed, threads: kept(seed + 1, threads))
    outcome = shop.run(reproduce=1)
    assert (outcome.exit_code, outcome.last["status"]) == (REFUSED, "differs")
    headline, code, *others = outcome.last["reasons"]
    assert headline.startswith("Version 1 was trained again, and the model differs: registered was ")
    assert "here it is 0c0c0c0c0c0c" in code
    assert not any("not reproducible here" in each for each in others)
    weights = report_of(outcome).weights
    assert weights.differing > 0
    assert weights.relative == weights.worst[0].relative > 0


def test_training_that_is_not_reproducible_is_said_to_be_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal inputs and other bytes."""
    from steps.training.fitting.loop import reproducible as kept

    monkeypatch.setattr("steps.training.phases.reproducible", lambda seed, threads: kept(seed + 1, threads))
    outcome = shop.run(reproduce=1)
    assert outcome.exit_code == REFUSED
    assert "Equal inputs and other bytes: training is not reproducible here." in outcome.last["reasons"]


def test_a_model_that_was_altered_in_the_store_differs(shop: Shop) -> None:
    """What was registered is trained again, and what the store holds of it is something else."""
    onnx = shop.stored(1, "model") / "model.onnx"
    with altered(onnx, onnx.read_bytes() + b"\0"):
        outcome = shop.run(reproduce=1)
    assert (outcome.exit_code, outcome.last["status"]) == (REFUSED, "differs")
    assert "again to the model that was registered" in outcome.last["reasons"][0]
    assert "It was altered or damaged; it is not released." in outcome.last["reasons"][1]


def test_weights_that_were_altered_in_the_store_differ(shop: Shop) -> None:
    """One byte of one tensor: the tensor is named."""
    weights = shop.stored(1, "model").parent / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 0x40  # of the last tensor's last element
    with altered(weights, bytes(data)):
        outcome = shop.run(reproduce=1)
    assert (outcome.exit_code, outcome.last["status"]) == (REFUSED, "differs")
    assert "weights in the store are not those" in outcome.last["reasons"][1]
    found = report_of(outcome).weights
    assert (found.differing, len(found.worst)) == (1, 1)


def test_an_edited_entry_of_the_registry_differs(shop: Shop) -> None:
    """The registry's word about the data stands against the dataset that is there."""
    with tag_edited(shop, 1, "data_version", "ab" * 32):
        outcome = shop.run(reproduce=1)
    assert outcome.exit_code == 0  # the model is the same
    assert "abababababab was recorded, the store holds" in outcome.last["reasons"][1]


def test_a_version_that_is_not_there_is_wrong_use(shop: Shop) -> None:
    """Those that are there are named, and nothing starts."""
    before = runs()
    outcome = shop.run(reproduce=7)
    assert (outcome.exit_code, outcome.last["run"]) == (WRONG_USE, None)
    assert "reproduced has no version 7 (there is: 1)" in outcome.said
    assert runs() == before


def test_settings_that_todays_code_does_not_know_are_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is named, and the digest of the code that knows it."""
    from materializers.report import Record
    from steps.reproduction import recalling

    class Later(Record):
        """Settings of a code that knows none of the recorded keys."""

    monkeypatch.setattr(recalling, "TrainSettings", Later)
    refused(shop.run(reproduce=1), "today's code does not know its settings (architecture:")


@pytest.mark.parametrize(
    ("gone", "said"),
    [("dataset", "manifest.json"), ("splits", "splits.parquet"), ("weights", "weights.safetensors")],
)
def test_what_is_gone_from_the_store_is_named_and_nothing_is_trained(
    shop: Shop, gone: str, said: str
) -> None:
    """The file is in the line, and no run is made."""
    from zenml.client import Client

    run = Client().get_pipeline_run(shop.versions()[1]["zenml_run"])
    uris = {name: found[0].uri for step in run.steps.values() for name, found in step.outputs.items()}
    place = Path(uris[gone]) if gone in uris else Path(uris["classifier"]) / "weights.safetensors"
    aside = place.with_name(f"{place.name}.aside")
    before = runs()
    shutil.move(place, aside)
    try:
        refused(shop.run(reproduce=1), said)
    finally:
        shutil.move(aside, place)
    assert runs() == before


def test_a_forgotten_picture_is_counted_and_its_version_is_not_reproduced(
    open_shop: Callable[[str], Shop], tmp_path: Path
) -> None:
    """Of the pictures to learn from or to choose by; one that only tested changes nothing of the model."""
    from zenml.client import Client

    own = {f"noise-{number}.png": noise(6, 9, number) for number in range(OWN)}
    shop = replace(open_shop("forgetful"), delivery=cut_delivery(tmp_path / "delivery.zip", bags=own))
    shop.train()
    run = Client().get_pipeline_run(shop.versions()[1]["zenml_run"])
    splits = run.steps["split"].outputs["splits"][0].load()
    mine = {picture_digest(data) for data in own.values()}
    tested, learnt = (
        [name for side in sides for name in splits.image_ids(side) if name in mine]
        for sides in (("test",), ("train", "validation"))
    )
    count = len(splits.image_ids("train")) + len(splits.image_ids("validation"))
    assert len(tested) > 0
    assert len(learnt) > 1

    def forget(*pictures: str) -> None:
        done = shop.run(forget=True, photos=pictures, by="Ada", reason="the customer asked")
        assert done.exit_code == 0, done.said

    forget(tested[0])
    assert shop.run(reproduce=1).exit_code == 0
    forget(*learnt[:2])
    refused(shop.run(reproduce=1), f"2 of the {count} pictures that it learnt from or was chosen by were")


def test_a_version_whose_run_was_deleted_is_refused(shop: Shop) -> None:
    """The evidence went with it."""
    with tag_edited(shop, 1, "zenml_run", "00000000-0000-4000-8000-000000000000"):
        refused(shop.run(reproduce=1), "was deleted, and with it what it was trained from")


def test_the_command_prints_what_it_came_to(shop: Shop) -> None:
    """For a person, and with --json nothing but the object."""
    told = shop.process("--reproduce", "1")
    assert told.returncode == 0, told.stderr
    assert "reproduction: completed, version 1" in told.stdout
    assert "Version 1 was trained again: equal" in told.stdout
    answer = json.loads(shop.process("--reproduce", "1", "--json").stdout)
    assert [entry["status"] for entry in answer["results"]] == ["completed"]

"""What bad input gets: its exit code, one clear line, no traceback, and what is served goes on."""

from __future__ import annotations

import csv
import errno
import io
import re
import signal
import socket
import subprocess
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.serving.pictures import bomb, encode, gradient
from tests.shrunk.delivery import PROJECT
from tests.whole.shop import SEED_1, Shop, registry_file, registry_read_only

CLASSES = ("tops", "trousers", "dresses", "footwear", "bags")
FAILED, WRONG_USE, REFUSED, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 130


def whole_delivery(per_class: int = 30, classes: Sequence[str] = CLASSES) -> dict[str, tuple[str, bytes]]:
    """Path → label and bytes of pictures that are all different."""
    return {
        f"{label}/{number}.png": (label, encode(gradient(28, 28, seed=100 * place + number)))
        for place, label in enumerate(classes)
        for number in range(per_class)
    }


def packed(target: Path, pictures: Mapping[str, tuple[str, bytes | None]]) -> Path:
    """Write a zip with labels.csv; a picture without bytes is named and not there."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("image_path", "label"))
    with zipfile.ZipFile(target, "w") as archive:
        for path, (label, data) in pictures.items():
            writer.writerow((path, label))
            if data is not None:
                archive.writestr(path, data)
        archive.writestr("labels.csv", table.getvalue())
    return target


def with_labels(folder: Path, labels: bytes) -> Path:
    """A folder with one picture and this labels.csv."""
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(gradient(28, 28)))
    (folder / "labels.csv").write_bytes(labels)
    return folder


def relabelled(label: str, count: int) -> dict[str, tuple[str, bytes | None]]:
    """A whole delivery in which some pictures have another label."""
    pictures = whole_delivery()
    for path in list(pictures)[:count]:
        pictures[path] = (label, pictures[path][1])
    return dict(pictures)


def no_source(folder: Path) -> Path:
    return folder / "not-there"


def no_archive(folder: Path) -> Path:
    (folder / "delivery.zip").write_text("I am no archive")
    return folder / "delivery.zip"


def cut_short(folder: Path) -> Path:
    data = packed(folder / "delivery.zip", whole_delivery(2)).read_bytes()
    (folder / "delivery.zip").write_bytes(data[: len(data) // 2])
    return folder / "delivery.zip"


def another_file(folder: Path) -> Path:
    (folder / "labels.xlsx").write_text("x")
    return folder / "labels.xlsx"


def no_labels(folder: Path) -> Path:
    (folder / "delivery").mkdir()
    return folder / "delivery"


def leads_out(folder: Path) -> Path:
    return with_labels(folder / "delivery", b"image_path,label\n../secret.png,tops\n")


WRONG_SOURCES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no such source": (no_source, "There is no source"),
    "no archive": (no_archive, "is no zip archive"),
    "an archive that was cut short": (cut_short, "cut short"),
    "another kind of file": (another_file, "ends with none of"),
    "no labels.csv": (no_labels, "labels.csv"),
    "a path that leads out": (leads_out, "leads out"),
    "labels.csv without a column": (
        lambda folder: with_labels(folder / "delivery", b"image_path,category\na.png,tops\n"),
        "no column label",
    ),
    "an empty labels.csv": (lambda folder: with_labels(folder / "delivery", b""), "is empty"),
    "labels.csv in another encoding": (
        lambda folder: with_labels(folder / "delivery", "image_path,label\na.png,Röcke\n".encode("cp1252")),
        "not UTF-8",
    ),
}


@pytest.mark.parametrize(
    ("what", "act"), [*((what, "train") for what in WRONG_SOURCES), ("no such source", "continuous")]
)
def test_a_source_that_cannot_be_used_is_wrong_use(
    untouched: Shop, tmp_path: Path, what: str, act: str
) -> None:
    """Exit code 2 and one line that says what is wrong with the source."""
    make, said = WRONG_SOURCES[what]
    before = untouched.versions()
    flags: dict[str, Any] = {act: True, "source": str(make(tmp_path))}
    outcome = untouched.run(**flags)
    assert outcome.exit_code == WRONG_USE
    assert (len(outcome.results), len(outcome.last["reasons"])) == (1, 1)
    assert said in outcome.said
    assert "\n" not in outcome.said
    assert untouched.versions() == before


REFUSED_DATA: dict[str, tuple[Callable[[], Mapping[str, tuple[str, bytes | None]]], str]] = {
    "one class only": (lambda: whole_delivery(150, ["tops"]), "Classes with pictures: 1;"),
    "a class with two pictures": (
        lambda: {**whole_delivery(40, CLASSES[:4]), **dict(list(whole_delivery(2).items())[-2:])},
        "bags has 2",
    ),
    "many labels that nobody configured": (lambda: relabelled("hats", 20), "hats"),
    "many pictures that are not there": (
        lambda: {**whole_delivery(), **{f"gone/{n}.png": ("tops", None) for n in range(20)}},
        "missing 20",
    ),
    "many bad pictures": (
        lambda: {**whole_delivery(), **{f"bad/{n}.png": ("tops", b"text") for n in range(20)}},
        "not_an_image 20",
    ),
}


@pytest.mark.parametrize("what", REFUSED_DATA)
def test_data_that_nobody_should_learn_from_are_refused(untouched: Shop, tmp_path: Path, what: str) -> None:
    """Exit code 3, the reasons with the measure and the limit, and no version."""
    make, said = REFUSED_DATA[what]
    before = untouched.versions()
    outcome = untouched.run(train=True, source=str(packed(tmp_path / "delivery.zip", make())))
    assert (outcome.exit_code, outcome.last["status"]) == (REFUSED, "refused")
    assert said in outcome.said
    assert (outcome.last["version"], outcome.last["verdict"]) == (None, None)
    assert untouched.versions() == before


BAD_PICTURES: dict[str, tuple[bytes | None, str]] = {
    "text.png": (b"I am a text", "not_an_image"),
    "truncated.png": (encode(gradient(28, 28))[:400], "truncated"),
    "bomb.png": (bomb(), "too_many_pixels"),
    "empty.png": (b"", "empty"),
    "small.png": (encode(gradient(4, 4)), "too_small"),
    "gone.png": (None, "missing"),
}


def test_single_bad_pictures_are_set_aside_and_the_run_goes_on(
    untouched: Shop, open_shop: Callable[[str], Shop], tmp_path: Path
) -> None:
    """Each has its reason in the data report; a CMYK picture is learnt from; a version comes out of it."""
    from zenml.client import Client

    from materializers.image_dataset import picture_digest

    shop = open_shop("bad-pictures")
    with zipfile.ZipFile(shop.delivery) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
        pictures: dict[str, tuple[str, bytes | None]] = {
            row["image_path"]: (row["label"], archive.read(row["image_path"])) for row in rows
        }
    cmyk = encode(gradient(28, 28, seed=7).convert("CMYK"), "JPEG")
    pictures["cmyk.jpg"] = ("tops", cmyk)
    pictures["hat.png"] = ("hats", encode(gradient(28, 28, seed=8)))
    pictures |= {path: ("tops", data) for path, (data, _) in BAD_PICTURES.items()}

    outcome = shop.run(train=True, source=str(packed(tmp_path / "delivery.zip", pictures)))
    assert (outcome.exit_code, outcome.last["version"]) == (0, 1), outcome.said
    run = Client().get_pipeline_run(outcome.last["run"])
    report = run.steps["validate"].outputs["data_report"][0].load()
    found = {one.path: one.reason for one in report.set_aside}
    assert found == {path: reason for path, (_, reason) in BAD_PICTURES.items()} | {
        "hat.png": "unknown_label"
    }
    dataset = run.steps["validate"].outputs["dataset"][0].load()
    assert picture_digest(cmyk) in set(dataset.index["image_id"])
    assert len(dataset) == len(rows) + 1


@pytest.mark.parametrize(
    ("flags", "assignments", "said"),
    [
        ({"status": True}, ["trian.epochs=3"], "did you mean 'train'"),
        ({"status": True}, ["train.epoch=3"], "did you mean 'epochs'"),
        ({"status": True}, ["train.epochs=many"], "train.epochs"),
        ({"status": True}, ["train.epochs"], "--set takes key=value"),
        ({"deploy": True}, ["deployment.mode=canary"], "deployment.mode"),
        ({"approve": 1, "reason": "fine"}, [], "--by"),
        ({"approve": 1, "by": "Ada", "reason": " "}, [], "--reason"),
        ({"approve": 99, "by": "Ada", "reason": "fine"}, [], "has no version 99"),
        ({"deploy": True, "version": 99}, [], "has no version 99"),
        ({"version": 1, "status": True}, [], "--version goes with --deploy"),
        ({"train": True}, [], "--source"),
        ({"train": True, "data": "0" * 64}, [], "no dataset of version"),
        ({"infer": True, "input": "here"}, [], "--output"),
        ({"infer": True, "input": "not-there", "output": "x.parquet"}, [], "There is no source"),
        ({"predict": True, "photos": ("not-there.png",)}, [], "There is no photograph"),
        ({"predict": True}, [], "takes photographs"),
        ({"photos": ("a.png",), "status": True}, [], "Unexpected argument"),
        ({"rollback": True, "environment": "production"}, [], "nothing to roll back"),
        ({"predict": True, "photos": ("data/LICENSE",), "environment": "production"}, [], "Nothing of"),
        (
            {"predict": True, "photos": ("data/LICENSE",)},
            ["product.model=forgotten-config"],
            "serving is live: is its --config missing?",
        ),
        (
            {"infer": True, "input": "data", "output": "x.parquet", "environment": "production"},
            [],
            "Nothing of",
        ),
        ({}, [], "Nothing was asked"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list | dict) else None,
)
def test_wrong_use_is_told_in_one_line(
    untouched: Shop, flags: dict[str, Any], assignments: list[str], said: str
) -> None:
    """Exit code 2, one line that names what is wrong, and nothing started."""
    outcome = untouched.run(*assignments, **flags)
    assert outcome.exit_code == WRONG_USE
    [reason] = outcome.last["reasons"]
    assert said in reason
    assert "\n" not in reason
    assert outcome.last.get("run") is None or "data" in flags  # which dataset there is, the run finds out


def test_an_unknown_stack_is_wrong_use(untouched: Shop) -> None:
    """The stacks that there are are named."""
    outcome = untouched.on("no-such-stack").run(status=True)
    assert outcome.exit_code == WRONG_USE
    assert "local" in outcome.said


def test_a_typo_in_a_configuration_file_is_wrong_use(untouched: Shop, tmp_path: Path) -> None:
    """The file's unknown key is named with the nearest right one."""
    (tmp_path / "differences.yaml").write_text("train: {learning_rat: 0.1}\n")
    outcome = untouched.run(config=tmp_path, status=True)
    assert outcome.exit_code == WRONG_USE
    assert "train.learning_rat" in outcome.said
    assert "'learning_rate'" in outcome.said


def test_a_file_that_is_no_picture_gets_its_reason_from_the_service(untouched: Shop, tmp_path: Path) -> None:
    """``--predict`` answers for the others, names the bad one, and ends with exit code 2."""
    words = tmp_path / "words.jpg"
    words.write_text("not a picture")
    outcome = untouched.run(predict=True, photos=(str(words), str(PROJECT / "data" / "photos" / "bag.png")))
    assert outcome.exit_code == WRONG_USE
    [reason] = outcome.last["reasons"]
    assert "words.jpg" in reason
    assert "not_an_image" in reason
    assert outcome.last["details"]["predictions"][1]["label"] in CLASSES


def test_a_port_in_use_is_wrong_use(
    untouched: Shop, stack_with_deployer: Callable[..., str], tmp_path: Path
) -> None:
    """The port is named, nothing is started, and what it serves elsewhere goes on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stack = stack_with_deployer(state_directory=str(tmp_path / "site"), port=port)
        outcome = untouched.on(stack).run(deploy=True, version=2)
    assert outcome.exit_code == WRONG_USE
    assert f"Port {port}" in outcome.said


def test_a_service_that_does_not_come_up_leaves_the_old_one(
    untouched: Shop, stack_with_deployer: Callable[..., str], tmp_path: Path
) -> None:
    """Exit code 1 with the end of the new process' log; the version before answers all the time."""
    from stacks.local_deployer import processes
    from steps.deployment.deployer import active_deployer

    python = tmp_path / "broken" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho loading the model\necho out of luck >&2\nexit 7\n")
    python.chmod(0o755)
    site = active_deployer().config.site  # type: ignore[attr-defined]
    before = set(processes.running(site))
    stack = stack_with_deployer(serving_environment=str(tmp_path / "broken"))
    outcome = untouched.on(stack).run(deploy=True, version=2)
    assert (outcome.exit_code, outcome.last["status"]) == (FAILED, "failed")
    assert "exit code 7" in outcome.said
    assert "out of luck" in outcome.said
    assert set(processes.running(site)) == before


def test_a_model_that_cannot_be_copied_is_not_served(untouched: Shop) -> None:
    """A model directory that is gone from the artifact store: exit code 3 or 4, never a release."""
    model = untouched.stored(2, "model") / "model.onnx"
    hidden = model.with_name("hidden")
    model.rename(hidden)
    try:
        outcome = untouched.run(deploy=True, version=2)
    finally:
        hidden.rename(model)
    assert outcome.exit_code in {REFUSED, UNREACHABLE}
    assert "Train again" in outcome.said


@pytest.mark.parametrize(
    ("table", "seed"), [("model_versions", 101), ("runs", 102)], ids=["registry", "tracking"]
)
def test_a_registry_that_cannot_be_written_registers_nothing(untouched: Shop, table: str, seed: int) -> None:
    """Exit code 4, and the registry is what it was."""
    before = untouched.versions()
    anew = f"train.seed={seed}"  # so that it is no version of before
    with registry_read_only(table):
        outcome = untouched.run(anew, train=True, source=str(untouched.delivery))
    assert outcome.exit_code == UNREACHABLE, outcome.said
    assert len(outcome.last["reasons"]) == 1
    assert untouched.versions() == before


def test_nothing_is_released_while_the_registry_cannot_be_written(untouched: Shop) -> None:
    """Exit code 4 before anything that serves is touched; afterwards the same version can be released."""
    with registry_read_only("model_version_tags"):
        outcome = untouched.run(deploy=True, version=2)
    assert outcome.exit_code == UNREACHABLE, outcome.said
    served = untouched.served()
    assert served is not None
    assert served[0] == 1


def test_an_alias_that_cannot_be_written_is_set_by_the_same_command(
    untouched: Shop, open_shop: Callable[[str], Shop]
) -> None:
    """Exit code 4 with a version that nothing points to; the same command again makes it the challenger."""
    shop = open_shop("unwritable")
    with registry_read_only("registered_model_aliases"):
        outcome = shop.run(train=True, source=str(shop.delivery))
    assert outcome.exit_code == UNREACHABLE
    assert shop.aliases() == {}
    assert shop.train() == 1
    assert (set(shop.versions()), shop.aliases()) == ({1}, {"challenger": 1})


def test_a_person_reads_one_line_and_no_traceback(untouched: Shop, tmp_path: Path) -> None:
    """As a process, without ``--json``: the line is on the terminal, the exit code is the process'."""
    ended = untouched.process("--train", "--source", str(tmp_path / "nowhere"))
    assert ended.returncode == WRONG_USE
    said = [line for line in (ended.stdout + ended.stderr).splitlines() if "There is no source" in line]
    assert len(said) == 1
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_full_disk_is_told_with_the_folder_and_the_same_command_goes_on(
    untouched: Shop, open_shop: Callable[[str], Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4, what was written and where, and nothing registered; with room the same command trains."""
    shop = open_shop("full-disk")
    with monkeypatch.context() as patch:
        patch.setattr(
            "materializers.blobs.os.fsync", Mock(side_effect=OSError(errno.ENOSPC, "No space left"))
        )
        outcome = shop.run(train=True, source=str(shop.delivery))
    assert (outcome.exit_code, shop.versions()) == (UNREACHABLE, {})
    [reason] = outcome.last["reasons"]
    assert re.search(r"^/.* takes no more: \S+ could not be written \(No space left; [\d,]+ b", reason)
    assert "What was stored before is as it was" in reason
    assert "run the same command again" in reason
    assert shop.train() == 1


def a_class_of_no_picture(folder: Path) -> Path:
    for name in ("tops", f"tops{CLEARS}"):
        (folder / name).mkdir(parents=True)
    (folder / "tops" / "a.png").write_bytes(encode(gradient(28, 28)))
    return folder


CLEARS = "\x1b[2J\x07\u202e"
"""Clears a terminal, rings its bell, and turns what follows."""
OBEYED: dict[str, tuple[Callable[[Path], Path], int]] = {
    "a label": (lambda folder: packed(folder / "a.zip", relabelled(f"hats{CLEARS}", 20)), REFUSED),
    "a header": (
        lambda folder: with_labels(folder / "a", f"image_path,category{CLEARS}\na.png,tops\n".encode()),
        WRONG_USE,
    ),
    "the name of a folder": (a_class_of_no_picture, WRONG_USE),
}


@pytest.mark.parametrize("what", OBEYED)
def test_what_a_terminal_would_obey_is_printed_as_an_escape(
    untouched: Shop, tmp_path: Path, what: str
) -> None:
    """A delivery colours nothing, clears nothing and hides nothing, wherever its texts are printed."""
    make, exit_code = OBEYED[what]
    ended = untouched.process("--train", "--source", str(make(tmp_path)))
    assert ended.returncode == exit_code
    assert r"\x1b[2J\x07\u202e" in ended.stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(ended.stdout + ended.stderr)


def test_ctrl_c_ends_the_run_and_nothing_else(untouched: Shop) -> None:
    """Interrupted in training: exit code 130, no run is left ``running`` in ZenML or MLflow."""
    import mlflow
    from zenml.client import Client

    running = subprocess.Popen(
        [
            *("env", "--default-signal=INT"),  # also where these tests are a background job that ignores it
            *untouched.command(
                *("--json", "--set", "train.epochs=5000", "--set", "train.early_stopping_patience=5000"),
                *("--train", "--source", str(untouched.delivery)),
            ),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if re.match("ingest: ", line):
            break
    client = mlflow.MlflowClient(f"sqlite:///{registry_file()}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    while not client.search_runs(experiments, "attributes.status = 'RUNNING'"):
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == INTERRUPTED, out + err
    assert "Interrupted" in err
    assert "Traceback" not in out + err
    assert not client.search_runs(experiments, "attributes.status = 'RUNNING'")
    runs = Client().list_pipeline_runs(tags=f"model:{untouched.model}", sort_by="desc:created", size=1)
    assert str(runs.items[0].status) == "failed"
    assert untouched.train(SEED_1) == 2

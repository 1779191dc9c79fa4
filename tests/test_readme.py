"""The README and the pages of docs/: every command is run, in the order of the pages, on shrunk data."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from benchmarks.main.home import free_port, own_variables
from tests.pages import commands_of, make_recipe, rows_of, source_of, text_of
from tests.shrunk.delivery import PROJECT, SHRUNK_CONFIG, cut_delivery
from tests.terminal import run_py

if TYPE_CHECKING:
    from zenml.client import Client

PAGES = (
    "README.md",
    "docs/data.md",
    "docs/keeping.md",
    "docs/gate.md",
    "docs/serving.md",
    "docs/architecture.md",
    "docs/training.md",
)
"""In this order their commands are run; each page finds what the ones before it left."""
STACK = MODEL = "readme"

ELSEWHERE = {
    "zenml stack set local": (
        "tests/stacks/test_apply.py",
        "test_the_commands_of_the_docs_run",
        "(PROJECT / 'docs' / 'stacks.md').read_text()",
    ),
    "make dashboard": (
        "tests/test_readme.py",
        "test_the_dashboard_starts_says_where_and_stops",
        "run_shell(f\"{make_recipe('dashboard')} ",
    ),
    "make mlflow": (
        "tests/test_readme.py",
        "test_mlflow_shows_what_the_local_stack_tracks",
        "make_recipe('mlflow')",
    ),
    "zenml logout --local": (
        "tests/test_readme.py",
        "test_the_dashboard_starts_says_where_and_stops",
        "run_shell('zenml logout --local',",
    ),
    "python run.py --config configs/demo --readmit IMAGE_ID": (
        "tests/whole/test_data_acts.py",
        "test_a_picture_is_readmitted_and_the_next_training_has_it",
        "trained.shop.run(readmit=digest[:12])",
    ),
    "python run.py --config configs/demo --data-diff A B": (
        "tests/whole/test_data_acts.py",
        "test_a_picture_is_readmitted_and_the_next_training_has_it",
        "trained.shop.run(data_diff=(trained.data[:12], details['data'][:12]))",
    ),
    'python run.py --config configs/demo --forget images/a.jpg --by "Ada" --reason "the customer asked"': (
        "tests/whole/test_data_acts.py",
        "test_a_forgotten_picture_is_gone_and_the_model_is_still_released",
        "shop.run(forget=True, photos=(path,), by='Ada', reason='the customer asked')",
    ),
    "python run.py --config configs/demo --set tune.trials=3 --set cross_validate.folds=3 "
    "--train --source data/first-delivery.zip": (
        "tests/whole/test_tuning.py",
        "test_a_run_tunes_validates_and_trains_with_the_best",
        "shop.run(*ASKED, 'product.experiment=tuned', train=True, source=str(shop.delivery))",
    ),
    "python run.py --config configs/demo --set deployment.production.mode=canary --deploy --version 2 "
    "--environment production --wait": (
        "tests/whole/test_rollouts.py",
        "test_waiting_ends_with_the_rollout",
        "shop.run(*CANARY, deploy=True, version=3, environment='production', wait=True)",
    ),
    "python run.py --config configs/demo --continuous --source 'incoming/*'": (
        "tests/whole/test_continuous.py",
        "test_a_watched_delivery_is_learnt_from_once_by_two_commands_at_once",
        "'--continuous', '--source', f'{place}/*')",
    ),
    "python run.py --config configs/demo --continuous --source 'incoming/*' --schedule \"0 1 * * *\"": (
        "tests/actions/test_schedules.py",
        "test_a_watched_place_is_scheduled_where_it_is_there_though_nothing_is_in_it",
        "shop.run(continuous=True, source=f'{place}/*', schedule='0 1 * * *')",
    ),
}
"""Commands that another test runs: its file, its name, and what it calls, quoted as by ``ast.unparse``."""
BY_CI = "make test"
"""The command that no test can run, for it would run itself."""

EXPECTED: list[tuple[str, str, int, str]] = [
    # page, a part of the command, exit code, what is printed
    ("", "make demo", 0, "live in staging: http://127.0.0.1:"),
    ("", "source .venv/bin/activate", 0, ""),
    ("", "--stack local --status", 0, "stack: local"),
    ("", "--why latest", 0, ": deployment, completed, began "),
    ("", "--observe --environment production", 0, "Nothing is rolling out in production"),
    ("README.md", "--status", 0, "staging: version 1, healthy"),
    ("docs/serving.md", "--status", 0, "staging: version 2, healthy"),
    ("", "--approve 1", 0, "approved by Ada"),
    ("", "--reject 1", 0, "rejected by Ada"),
    ("", "--deploy --version 1 --environment production", 0, "live in production"),
    ("docs/data.md", "trigger.manual=true", 0, "a person asked for it"),
    ("docs/data.md", "--continuous", 0, "version 2 learnt from exactly this data"),
    ("README.md", "--continuous", 0, "continuous: completed, version 2, verdict passed"),
    ("", "--rollback --environment production", 2, "nothing to roll back to"),
    ("", "--rollback", 0, "Version 1 is live in staging again"),
    ("", "--predict data/photos", 0, "predict: done"),
    ("", "--infer", 0, "predictions written to"),
    ("", "--reproduce 1", 0, "Version 1 was trained again: equal"),
    ("", "--audit", 0, "Read to entry "),
    ("", "--lineage 1", 0, "Version 1 of readme, registered "),
    ("README.md", "--monitor", 0, "monitoring: completed"),
    ("", "--compact", 0, "compact: done"),
    ("", "--collect", 0, "collect: done"),
    ("", "--stop", 0, "staging: readme version"),
    ("", "shop.yaml --train", 0, "live in staging: http://127.0.0.1:"),
    ("", "data/third-delivery.zip", 2, "There is no source data/third-delivery.zip"),
    ("", "policy.rules.accuracy.limit=0.7 --train", 3, "nobody approved that"),
    ("", "--approve-change", 0, "The same command now trains"),
    ("", "--train --source data/first-delivery.zip", 0, "verdict passed"),
    ("docs/gate.md", "--deploy", 0, "live in staging"),
    ("docs/serving.md", "--deploy", 0, "live in staging"),
    ("", "/health/status", 0, '"model_name":"readme"'),
    ("", "@LICENSE", 0, '"code":400'),
    ("", "no picture", 0, '"reason":"not_base64"'),
    ("", "/api/v1.0/predictions", 0, '"probability"'),
]
"""What each command must come to; the first line that fits counts, and one must fit."""


@dataclass
class Reader:
    """Someone who types what the pages say, on the shrunk data and a stack of their own."""

    home: Path
    port: int
    said: str = ""
    outcomes: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    def substituted(self, command: str) -> str:
        """The command as it is run: this is all that differs from the page."""
        digest = re.search(r"--approve-change ([0-9a-f]{16})", self.said)
        table = {
            "make demo": make_recipe("demo"),
            "python run.py": "python run.py" if " --stack " in command else f"python run.py --stack {STACK}",
            "--config configs/demo": f"--config {self.home / 'demo.yaml'}",
            "--config shop.yaml": f"--config {self.home / 'shop.yaml'}",
            "data/first-delivery.zip": str(self.home / "first-delivery.zip"),
            "data/second-delivery.zip": str(self.home / "second-delivery.zip"),
            "--source photographs": f"--source {self.home / 'photographs'}",
            "predictions.parquet": str(self.home / "predictions.parquet"),
            "127.0.0.1:8090": f"127.0.0.1:{self.port}",
            "product-classifier-demo": MODEL,
            "--approve-change DIGEST": f"--approve-change {digest[1] if digest else 'none'}",
        }
        for written, meant in table.items():
            command = command.replace(written, meant)
        return command

    def type(self, page: str, command: str) -> None:
        """Run one command and keep its exit code and all that it printed."""
        meant = self.substituted(command)
        run = run_py if meant.startswith("python run.py ") else run_shell
        code, printed = run(meant)
        self.said += printed
        self.outcomes[page, command] = code, printed


def needs(page: str) -> list[pytest.MarkDecorator]:
    """The marks of a page's test: where a command of it calls curl, there has to be one."""
    if not any("curl " in command for command in commands_of(page)):
        return []
    absent = shutil.which("curl") is None
    return [pytest.mark.debian("curl"), pytest.mark.skipif(absent, reason="apt-get install curl")]


def run_shell(command: str, **environment: str) -> tuple[int, str]:
    """Run a command in a shell, in the project."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=PROJECT,
        env={**os.environ, "no_proxy": "127.0.0.1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


def yaml_of(page: str) -> dict[str, Any]:
    """A page's one YAML block."""
    found = re.search(r"^```yaml\n(.*?)^```", (PROJECT / page).read_text(encoding="utf-8"), re.M | re.S)
    assert found
    content: dict[str, Any] = yaml.safe_load(found[1])
    return content


def write_shop(home: Path, archive: Path) -> None:
    """The README's example of own pictures: its configuration, shrunk, and a folder with its classes."""
    shop, shrunk = yaml_of("README.md"), yaml.safe_load(SHRUNK_CONFIG.read_text())
    classes = dict(zip(shrunk["product"]["classes"], shop["product"]["classes"], strict=False))
    (home / "shop.yaml").write_text(yaml.safe_dump({**shrunk, "product": shop["product"]}))
    with zipfile.ZipFile(archive) as delivery:
        rows = csv.DictReader(io.StringIO(delivery.read("labels.csv").decode()))
        kept = [(row["image_path"], classes[row["label"]]) for row in rows if row["label"] in classes]
        delivery.extractall(home / "photographs", members=[path for path, _ in kept])
    lines = [f"{path},{label},product-{number}" for number, (path, label) in enumerate(kept)]
    (home / "photographs" / "labels.csv").write_text("\n".join(["image_path,label,group", *lines]) + "\n")


@pytest.fixture(scope="module")
def reader(local_stack: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Has typed every command of every page, on a stack whose services are no other test's."""
    from zenml.enums import StackComponentType as Kind

    home, port = tmp_path_factory.mktemp("readme"), free_port()
    parts = local_stack.active_stack_model.components
    settings = {
        **parts[Kind.MODEL_DEPLOYER][0].configuration,
        "state_directory": str(home / "deployer"),
        "port": port,
    }
    local_stack.create_stack_component(STACK, "seldon-local", Kind.MODEL_DEPLOYER, settings)
    local_stack.create_stack(
        STACK, {**{kind: parts[kind][0].id for kind in parts}, Kind.MODEL_DEPLOYER: STACK}
    )
    demo = yaml.safe_load(SHRUNK_CONFIG.read_text())
    demo["product"]["model"] = MODEL
    (home / "demo.yaml").write_text(yaml.safe_dump(demo))
    first = cut_delivery(home / "first-delivery.zip")
    cut_delivery(home / "second-delivery.zip", archive="second-delivery.zip", per_class=20)
    write_shop(home, first)
    typed = Reader(home, port)
    try:
        for page in PAGES:
            for command in commands_of(page):
                if command not in {*ELSEWHERE, BY_CI}:
                    typed.type(page, command)
        yield typed
    finally:
        run_py(f"python run.py --stack {STACK} --stop")


@pytest.mark.parametrize("page", [pytest.param(page, marks=needs(page)) for page in PAGES])
def test_every_command_of_a_page_does_what_the_page_says(reader: Reader, page: str) -> None:
    """Each ends with the exit code and prints the words that are expected of it."""
    for (where, command), (code, printed) in reader.outcomes.items():
        if where != page:
            continue
        found = [(c, text) for p, part, c, text in EXPECTED if p in {"", page} and part in command]
        assert found, f"{page} has a command that no test expects: {command}"
        assert (code, "Traceback" in printed) == (found[0][0], False), f"{command}\n{printed}"
        assert found[0][1] in printed, f"{command}\n{printed}"


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_is_not_run_here_is_run_elsewhere(command: str) -> None:
    """The test that is named does call it."""
    path, function, call = ELSEWHERE[command]
    assert call in source_of(path, function)


def test_the_commands_of_the_stacks_page_are_run_with_the_registrar() -> None:
    """They need a checkout of their own; what the README takes over from that page is run there too."""
    ours = {command for command, (path, *_) in ELSEWHERE.items() if path == "tests/stacks/test_apply.py"}
    assert ours <= set(commands_of("docs/stacks.md"))


def test_the_command_that_runs_every_test_is_run_by_ci() -> None:
    """.ci/run calls it, and the tests of the remote stack after it."""
    script = (PROJECT / ".ci" / "run").read_text()
    call = BY_CI.removeprefix("make ")
    assert f"\nfor target in {call} test-kubeflow; do\n" in script
    assert '\n    SHUTTERLINE_CI=1 make --no-print-directory "$target" 2>&1' in script


def test_predictions_are_where_the_page_says(reader: Reader) -> None:
    """``--infer`` wrote the columns that docs/serving.md lists, for each photograph."""
    import pandas as pd

    rows = pd.read_parquet(reader.home / "predictions.parquet")
    assert len(rows) == 3
    promised = {"path", "model_version", "label", "probability", "abstained", "error", "probability_bags"}
    assert promised <= set(rows.columns)


def test_nothing_is_printed_after_the_next_commands(reader: Reader) -> None:
    """The demo ends with what one would type next, with the caller's own configuration in it."""
    _, printed = reader.outcomes["README.md", "make demo"]
    before, _, after = printed.partition("next:\n")
    assert "sneaker.png" in before
    assert f"python run.py --config {reader.home / 'demo.yaml'} --stack {STACK} --approve 1 " in after
    assert all(line.startswith("  ") for line in after.splitlines())


def test_the_dashboard_starts_says_where_and_stops(tmp_path: Path) -> None:
    """``make dashboard`` comes back with an address that answers, until ``zenml logout --local``.

    While it runs, ``make stack``, which every other target begins with, and ``make dashboard`` go through it.
    """
    port = free_port()
    own = {**own_variables(tmp_path), "ZENML_AUTO_OPEN_DASHBOARD": "false"}
    try:
        code, printed = run_shell(f"{make_recipe('dashboard')} --port {port}", **own)
        assert code == 0, printed
        assert f"http://127.0.0.1:{port}" in printed
        assert "<title>ZenML Dashboard" in httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text
        for said in ("stack local: (none) → ", "local: no change"):
            code, printed = run_shell(make_recipe("stack"), **own)
            assert (code, said in printed) == (0, True), printed
        code, printed = run_shell(f"{make_recipe('dashboard')} --port {port}", **own)
        assert (code, f"http://127.0.0.1:{port}" in printed) == (0, True), printed
    finally:
        code, printed = run_shell("zenml logout --local", **own)
    assert code == 0, printed
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)


def test_mlflow_shows_what_the_local_stack_tracks(tmp_path: Path) -> None:
    """``make mlflow`` serves the active stack's runs on loopback until it is ended."""
    port = free_port()
    own = {**own_variables(tmp_path), "no_proxy": "127.0.0.1"}
    code, printed = run_shell(make_recipe("stack"), **own)
    assert code == 0, printed
    command = make_recipe("mlflow").replace("$$", "$").replace("$(ARGS)", f"--port {port}")
    serving = subprocess.Popen(
        ["bash", "-c", command],
        cwd=PROJECT,
        env={**os.environ, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        asked = {"experiment_name": "Default"}
        address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name"
        ends = time.monotonic() + 120
        while True:
            try:
                answer = httpx.get(address, params=asked, trust_env=False)
                break
            except httpx.TransportError:
                assert time.monotonic() < ends, "it never answered"
                time.sleep(0.5)
    finally:
        os.killpg(serving.pid, signal.SIGTERM)
        serving.wait(timeout=60)
    assert answer.json()["experiment"]["name"] == "Default"
    assert (tmp_path / "zenml" / "shutterline" / "artifacts" / "mlflow.db").is_file()


def test_the_table_of_gates_is_the_policy() -> None:
    """Every rule of configs/policy.yaml, once, with its limit, direction and requirement, and no other."""
    from steps.evaluation.catalogue import CATALOGUE

    rows = rows_of(text_of("README.md").partition("\n## The gate\n")[2].partition("\n## ")[0])
    said = [
        (name, sign, float(limit.replace("−", "-")), requirement)
        for _, required, advisory in rows
        for requirement, cell in (("required", required), ("advisory", advisory))
        for name, sign, limit in re.findall(r"`(\w+)` ([≥≤]) (−?[\d.]+)", cell)
    ]
    rules = policy_rules("configs/policy.yaml")
    signs = {">=": "≥", "<=": "≤"}
    assert sorted(said) == sorted(
        (name, signs[CATALOGUE[name].direction], float(rule["limit"]), rule["requirement"])
        for name, rule in rules.items()
    )
    (declared,) = (" ".join(row) for row in rows if row[0].startswith("where it is declared"))
    assert set(re.findall(r"`(\w+)`", declared)) == {
        name for name, rule in rules.items() if rule.get("where_declared")
    }


def policy_rules(path: str) -> dict[str, dict[str, Any]]:
    """The rules of a file of the policy."""
    rules: dict[str, dict[str, Any]] = yaml.safe_load(text_of(path))["policy"]["rules"]
    return rules


def test_what_the_demo_changes_of_the_policy_is_said() -> None:
    """Two limits, which are its margin, and one requirement."""
    changed = policy_rules("configs/demo/policy.yaml")
    margin = yaml.safe_load(text_of("configs/demo/policy.yaml"))["policy"]["comparison"]["margin"]
    assert changed == {
        "accuracy_difference_to_champion": {"limit": -margin},
        "accuracy_difference_to_anchor": {"limit": -margin},
        "unlisted_advisories": {"requirement": "advisory"},
    }
    text = text_of("README.md")
    assert f"the loss that is excluded is {100 * margin:g} points" in text
    assert "so that `unlisted_advisories` advises" in text


def test_the_exit_codes_are_those_of_the_help() -> None:
    """The README and ``run.py --help`` say the same of every exit code."""
    from run import EXAMPLES

    rows = re.findall(r"^\| (\d+) \| (.+) \|$", (PROJECT / "README.md").read_text(), re.M)
    assert [int(code) for code, _ in rows] == [0, 1, 2, 3, 4, 130]
    said = " ".join(EXAMPLES.split())
    assert all(f"{code} {meaning}" in said for code, meaning in rows)


def test_the_examples_of_own_pictures_are_accepted(tmp_path: Path) -> None:
    """The README's configuration has no unknown key, and its ``labels.csv`` can be read."""
    from pipelines.config import load_config
    from steps.data.labels import read_labels

    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(yaml_of("README.md")))
    config = load_config(tmp_path / "shop.yaml", ())
    found = re.search(r"^```\n(image_path.*?)^```", (PROJECT / "README.md").read_text(), re.M | re.S)
    assert found
    labels = read_labels(found[1].encode())
    assert {row.label for row in labels.rows} <= set(config.product.classes)


def test_the_examples_of_a_training_are_accepted(tmp_path: Path) -> None:
    """The YAML of docs/training.md has no unknown key, and the first of it is the overlay's."""
    from pipelines.config import load_config
    from steps.training.settings import FineTuning
    from steps.training.tuning.search import check_searchable

    page = (PROJECT / "docs" / "training.md").read_text(encoding="utf-8")
    network, weights, search = (
        load_config(_written(tmp_path / f"{number}.yaml", text), ())
        for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S))
    )
    overlay = load_config(PROJECT / "configs" / "backbones" / "efficientnet_lite0.yaml", ()).train
    assert network.train.model_copy(update={"fine_tuning": FineTuning()}) == overlay
    assert weights.train.weights_sha256 is not None
    check_searchable(search.train, search.tune)
    assert set(search.tune.searched) == {"learning_rate", "dropout", "head", "weight_decay"}
    assert load_config(None, ('tune.storage="{{SECRET.KEY}}"',)).tune.storage == "{{SECRET.KEY}}"


def test_weights_are_converted_as_the_page_says(tmp_path: Path) -> None:
    """The lines of docs/training.md, as they are, print the digest of a file that can be read."""
    import torch
    from safetensors.torch import load

    from steps.training.networks.weights import read_weights

    stored = {"layer.weight": torch.arange(6.0).reshape(2, 3).T}
    torch.save(stored, tmp_path / "resnet18.pth")
    page = (PROJECT / "docs" / "training.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    done = subprocess.run(
        [sys.executable, "-I", "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    data = read_weights(str(tmp_path / "resnet18.safetensors"), done.stdout.strip())
    assert torch.equal(load(data)["layer.weight"], stored["layer.weight"])


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_stored_dataset_is_read_without_this_project(tmp_path: Path) -> None:
    """The lines of docs/architecture.md, as they are, where nothing of the project can be imported."""
    from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer, picture_digest
    from tests.materializers.examples import picture, png
    from tests.materializers.stores import disk_store

    store = disk_store(tmp_path / "artifacts")
    stored = ImageDataset.from_pictures(
        [picture(1), picture(2, source="shop/images/bag.png"), picture(3, orientation=6)]
    )
    ImageDatasetMaterializer(f"{store.path}/validate/dataset/RUN/ID", store).save(stored)
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{lines}\nprint(image_id, picture.hex())"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [picture_digest(png(2)), png(2).hex()], done.stderr


def test_the_columns_of_the_index_are_those_of_the_page() -> None:
    """docs/architecture.md names every column that each index has, and no other."""
    from materializers.image_index import INDEX_COLUMNS

    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("| columns of the index | |\n|-|-|\n")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(INDEX_COLUMNS) - {"row_digest"}  # which is computed when the index is read


def test_the_checks_of_the_page_are_those_that_are_configured() -> None:
    """docs/data.md has a row for each check, with the limit and, where it says one, the severity."""
    page = (PROJECT / "docs" / "data.md").read_text(encoding="utf-8").partition("## Personal data")[0]
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+`) \| (.+) \|$", page, re.M)
    said = {name: text for names, text in rows for name in re.findall(r"`([\w.]+)`", names)}
    settings = yaml.safe_load((PROJECT / "configs" / "training.yaml").read_text())["validate"]
    pictures = settings.pop("pictures")
    configured = dict(limits_of(settings | pictures))
    assert set(said) == set(configured)
    for name, check in configured.items():
        limit = check["limit"]
        forms = {"none"} if limit is None else {f"{limit:g}", f"{100 * limit:g} %"}
        assert forms & set(re.findall(r"[\d.]+(?: %)?|none", said[name])), f"{name}: {said[name]}"
        assert re.findall(r"\brefuse|warn\b", said[name])[:1] in ([], [check["severity"]]), name


def limits_of(section: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The checks of a section and of those within, by their path."""
    for key, value in section.items():
        if isinstance(value, dict) and "limit" in value:
            yield f"{above}{key}", value
        elif isinstance(value, dict):
            yield from limits_of(value, f"{above}{key}.")


FURTHER = (
    *("stacks", "kubeflow", "servers", "schedules", "images", "security", "compliance", "rollouts"),
    *("alerts", "observability"),
)
FURTHER_PAGES = tuple(f"docs/{name}.md" for name in FURTHER)
"""Their commands are run by tests of their own."""


@pytest.mark.parametrize("page", [*PAGES, *FURTHER_PAGES, "data/README.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    """Every file or picture of the repository that is linked to is there, and the heading in it."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)", text):
        name, _, heading = target.partition("#")
        file = (PROJECT / page).parent / name if name else PROJECT / page
        if "://" not in target and not (file.exists() and heading in ("", *headings_of(file))):
            lost.append(target)
    assert lost == []


def headings_of(page: Path) -> list[str]:
    """The headings of a page, as GitHub makes addresses of them; none of another file."""
    if page.suffix != ".md":
        return []
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [
        re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in re.findall(r"^#+ (.+)$", text, re.M)
    ]


def test_what_the_pages_name_is_there() -> None:
    """The layout's files and folders exist, and so does every target of make that a page names."""
    readme = (PROJECT / "README.md").read_text()
    layout = re.findall(r"^([a-z]+(?:/|\.py)) {2,}\S", readme, re.M)
    assert len(layout) > 10
    assert [name for name in layout if not (PROJECT / name).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.M))
    pages = (*PAGES, *FURTHER_PAGES)
    named = {name for page in pages for name in re.findall(r"\bmake ([a-z-]+)\b[ `:]", code_of(page))}
    assert named <= targets


def code_of(page: str) -> str:
    """What stands in backticks on a page, inline and in blocks."""
    text = (PROJECT / page).read_text()
    return "\n".join(
        f"{code} " for code in re.findall(r"```\w*\n(.*?)```|`([^`\n]+)`", text, re.S) for code in code
    )

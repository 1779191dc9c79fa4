"""Laws that source can break: the import direction, one code for any stack, nothing stored executes."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]

# Imports go one way (docs/architecture.md): what each part may import of the others.
MAY_IMPORT = {
    "run": {"pipelines", "actions", "steps", "materializers", "serving"},
    "pipelines": {"steps", "materializers", "serving"},
    "actions": {"pipelines", "steps", "materializers", "serving"},
    "steps": {"materializers", "serving"},
    "stacks": {"materializers", "serving"},
    # It looks at all from outside: nothing imports it but the tests.
    "observability": {"pipelines", "actions", "steps", "materializers", "serving"},
    "materializers": set(),
    "serving": set(),
    "data": set(),
    # The tests' own servers and planted pictures are what some benchmarks measure on.
    "benchmarks": {
        *("data", "pipelines", "actions", "steps", "stacks", "materializers", "serving", "tests"),
    },
}
# Law 1: these never ask which stack is active.
STACK_AGNOSTIC = {"run", "pipelines", "actions", "steps", "materializers", "serving", "observability"}
STACK_COMPONENT = re.compile(
    r"(^Stack|StackComponent|Orchestrator|ArtifactStore|ModelDeployer|ExperimentTracker|ModelRegistry|Alerter"
    r"|ContainerRegistry|ImageBuilder|StepOperator|DataValidator)$"
)
STACK_NAME = re.compile(r"(^|\.)active_stack(_model)?\.name$|^stack\.name$")
SHOWS_ITS_NAME = "actions/status.py"  # to a person; nothing is decided by it
LOCAL_PATH = re.compile(r"(/(tmp|home|root|var|opt|usr|etc|mnt|app|srv|data)(/|$)|~/)")
# Law 7: what the product must not do. The tests plant such files, the benchmarks measure peers that use them.
PICKLING_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
PICKLING_CALLS = {"torch.load", "torch.save", "pandas.read_pickle", "pd.read_pickle"}
# A package's file whose sha256 stands there; tensors only.
READS_KNOWN_BYTES = "steps/training/networks/weights.py"
UNSAFE_KEYWORDS = {("weights_only", False), ("allow_pickle", True)}


def part_of(path: str) -> str:
    """Name the part of the project that a file belongs to: its top folder, or its own name."""
    return Path(path).parts[0].removesuffix(".py")


def imported_modules(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Find every import of a file with its line: statements, relative ones, and ``import_module("…")``."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, level=level):
                above = Path(path).parts[:-level] if level else ()
                yield node.lineno, ".".join([*above, *([module] if module else [])])
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]):
                if dotted(func).endswith(("import_module", "__import__")):
                    yield node.lineno, name


def dotted(node: ast.AST) -> str:
    """Write a name or an attribute chain as in the source; other expressions give an empty string."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            return f"{dotted(value)}.{attribute}"
    return ""


def wrong_imports(path: str, tree: ast.AST) -> Iterator[str]:
    """Find imports against the direction."""
    part = part_of(path)
    if part == "tests":
        return
    for line, module in imported_modules(path, tree):
        top = module.partition(".")[0]
        if top in (MAY_IMPORT.keys() | {"tests"}) - MAY_IMPORT.get(part, set()) - {part}:
            yield f"{path}:{line}: {part} must not import {module}"


def stack_questions(path: str, tree: ast.AST, stack_names: set[str]) -> Iterator[str]:
    """Find code that asks which stack, flavor or kind of component is active."""
    if part_of(path) not in STACK_AGNOSTIC:
        return
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="flavor", ctx=ast.Load()):
                yield f"{path}:{node.lineno}: reads a flavor"
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr"), args=[_, ast.Constant(value="flavor"), *_]
            ):
                yield f"{path}:{node.lineno}: reads a flavor"
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
                names = [dotted(kind).rpartition(".")[2] for kind in ast.walk(kinds)]
                if any(STACK_COMPONENT.search(name) for name in names):
                    yield f"{path}:{node.lineno}: asks for the kind of a stack component"
            case ast.Attribute(attr="name") if STACK_NAME.search(dotted(node)) and path != SHOWS_ITS_NAME:
                yield f"{path}:{node.lineno}: reads the stack's name"
            case ast.Constant(value=str(text)) if text in stack_names:
                yield f"{path}:{node.lineno}: names the stack {text!r}"
            case ast.Constant(value=str(text)) if LOCAL_PATH.match(text):
                yield f"{path}:{node.lineno}: names a path of one machine, {text!r}"


def is_load_of_tensors(call: ast.Call) -> bool:
    """Whether this is ``torch.load(…, weights_only=True)``, which takes nothing but tensors."""
    given = [(each.arg, getattr(each.value, "value", None)) for each in call.keywords]
    return dotted(call.func) == "torch.load" and ("weights_only", True) in given


def pickling(path: str, tree: ast.AST) -> Iterator[str]:
    """Find what stores or loads objects that execute."""
    if part_of(path) in ("tests", "benchmarks"):
        return
    for line, module in imported_modules(path, tree):
        if module.partition(".")[0] in PICKLING_MODULES:
            yield f"{path}:{line}: imports {module}"
    for node in ast.walk(tree):
        match node:
            case ast.Call() if path == READS_KNOWN_BYTES and is_load_of_tensors(node):
                pass
            case ast.Call(func=func) if dotted(func) in PICKLING_CALLS or dotted(func).endswith(".to_pickle"):
                yield f"{path}:{node.lineno}: calls {dotted(func)}"
            case ast.keyword(arg=str(name), value=ast.Constant(value=value)) if (
                name,
                value,
            ) in UNSAFE_KEYWORDS:
                yield f"{path}:{node.lineno}: sets {name}={value!r}"
            case ast.ImportFrom(module="torch", names=names) if {alias.name for alias in names} & {
                "load",
                "save",
            }:
                yield f"{path}:{node.lineno}: imports torch's load or save"


def violations(path: str, source: str, stack_names: set[str]) -> list[str]:
    """List what a source file at ``path`` (relative to the project) does against the laws."""
    tree = ast.parse(source, filename=path)
    return [
        *wrong_imports(path, tree),
        *stack_questions(path, tree, stack_names),
        *pickling(path, tree),
    ]


def test_the_project_keeps_its_laws() -> None:
    """No Python file imports against the direction, asks which stack is active, or pickles."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    paths = sorted({path for path in listed if path and (ROOT / path).is_file()})
    assert {"data/make_sample.py", "stacks/environments.py", "tests/test_imports.py"} <= set(paths)
    stack_files = [yaml.safe_load(path.read_text()) for path in (ROOT / "stacks").glob("*.yaml")]
    stack_names = {content["name"] for content in stack_files}
    assert stack_names
    found = [line for path in paths for line in violations(path, (ROOT / path).read_text(), stack_names)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("steps/data/ingest.py", "import stacks.kubeflow"),
        ("steps/data/ingest.py", "from stacks import apply"),
        ("steps/data/ingest.py", "from pipelines.training import training"),
        ("steps/data/ingest.py", "def step():\n    from actions import approve"),
        ("steps/data/ingest.py", "from ...actions import approve"),
        ("serving/predictor.py", "from materializers.classifier import Classifier"),
        ("materializers/verdict.py", "import serving.predictor"),
        ("materializers/verdict.py", "importlib.import_module('steps.data.ingest')"),
        ("pipelines/training.py", "import run"),
        ("benchmarks/main.py", "from run import main"),
        ("stacks/apply.py", "from steps.data.ingest import ingest"),
        ("actions/approve.py", "from tests.conftest import client"),
        ("actions/status.py", "from observability.reading import read_runs"),
        ("stacks/apply.py", "import observability.site"),
        ("observability/site.py", "from stacks.local_deployer import processes"),
        ("observability/reading.py", "name = Client().active_stack_model.name"),
        ("steps/deployment/release.py", "seldon = Client().active_stack.model_deployer.flavor"),
        ("actions/rollback.py", "seldon = getattr(deployer, 'flavor') == 'seldon'"),
        ("actions/rollback.py", "isinstance(deployer, SeldonModelDeployer)"),
        ("steps/data/ingest.py", "isinstance(store, (str, zenml.artifact_stores.LocalArtifactStore))"),
        ("run.py", "if name == 'kubeflow': pass"),
        ("pipelines/launch.py", "name = Client().active_stack_model.name"),
        ("steps/data/ingest.py", "if client.active_stack.name: pass"),
        ("steps/data/ingest.py", "path = '/tmp/pictures'"),
        ("materializers/classifier.py", "import pickle"),
        ("stacks/apply.py", "from joblib import dump"),
        ("steps/training/train.py", "torch.load(path, weights_only=True)"),
        ("steps/training/networks/weights.py", "torch.load(path)"),
        ("steps/training/networks/weights.py", "torch.load(path, weights_only=chosen)"),
        ("steps/training/train.py", "from torch import load"),
        ("steps/training/train.py", "read(path, weights_only=False)"),
        ("steps/training/train.py", "np.load(path, allow_pickle=True)"),
        ("steps/data/ingest.py", "index.to_pickle(path)"),
    ],
)
def test_a_planted_violation_is_found(path: str, source: str) -> None:
    """Each rule catches what it is there for, and only once."""
    assert len(violations(path, source, {"local", "kubeflow"})) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("run.py", "from pipelines.training import training\nfrom actions.approve import approve"),
        (
            "steps/data/ingest.py",
            "from materializers.splits import Splits\nfrom serving.preprocess import decode",
        ),
        ("steps/data/ingest.py", "from . import validate"),
        ("observability/reading.py", "from steps.monitoring import history\nimport pipelines.results"),
        ("stacks/deployer.py", "isinstance(x, Stack)\nx.flavor == 'local'\nfrom serving import service"),
        ("tests/test_run.py", "import run\nimport stacks.apply\nimport pickle"),
        ("run.py", '"""Runs on kubeflow and on a local stack."""\nlocal = isinstance(x, dict)'),
        ("steps/training/train.py", "loaded = safetensors.torch.load(content)"),
        ("steps/training/networks/weights.py", "torch.load(file, weights_only=True)"),
        ("actions/status.py", "shown = client.active_stack_model.name"),
        ("steps/inference/predict.py", "url = base + '/health/status'\nname = model.name"),
    ],
)
def test_what_is_allowed_is_left_alone(path: str, source: str) -> None:
    """The rules refuse nothing that the design allows."""
    assert violations(path, source, {"local", "kubeflow"}) == []

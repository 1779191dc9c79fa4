"""Stack files: what they may hold, and what a wrong one is answered."""

from pathlib import Path

import pytest

from materializers.errors import UsageError
from stacks.rules import leaves
from stacks.stack_file import load_stack_file

PROJECT = Path(__file__).resolve().parents[2]
WHOLE = """\
name: small
components:
  orchestrator:
    flavor: local
  artifact_store:
    name: shared
    flavor: local
    configuration:
      path: ${HOME_FOLDER:-${BASE}/shutterline}/artifacts
      port: 8090
"""


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    return tmp_path / "stack.yaml"


def refusal(path: Path, content: str, variables: dict[str, str] | None = None) -> str:
    """Give what the loader says against ``content``."""
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        load_stack_file(path, {"BASE": "/base"} if variables is None else variables)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_component_is_called_like_the_stack_unless_it_has_a_name(stack_file: Path) -> None:
    """Only a component that several stacks share needs a name in the file."""
    stack_file.write_text(WHOLE)
    stack = load_stack_file(stack_file, {"BASE": "/base"})
    assert list(stack.present()) == ["orchestrator", "artifact_store"]
    assert stack.name_of("orchestrator") == "small"
    assert stack.name_of("artifact_store") == "shared"


def test_a_placeholder_takes_its_variable_before_its_default(stack_file: Path) -> None:
    """The environment wins, an empty variable counts as unset, a default may hold a placeholder."""
    stack_file.write_text(WHOLE)
    for variables, path in (
        ({"BASE": "/base", "HOME_FOLDER": "/mine"}, "/mine/artifacts"),
        ({"BASE": "/base", "HOME_FOLDER": ""}, "/base/shutterline/artifacts"),
        ({"BASE": "/base"}, "/base/shutterline/artifacts"),
    ):
        stack = load_stack_file(stack_file, variables)
        assert stack.components.artifact_store.configuration == {"path": path, "port": 8090}


@pytest.mark.parametrize("variables", [{}, {"PASSWORD": "{{mine.password}}"}], ids=["unset", "set"])
@pytest.mark.parametrize(
    ("written", "own", "unset"),
    [
        ("${PASSWORD:-}", "", None),
        ("${PASSWORD:-${OTHER:-}}", "", None),
        ("${PASSWORD:-hunter2}", "hunter2", "hunter2"),
        ("${PASSWORD:-${OTHER:-hunter2}}", "hunter2", "hunter2"),
        ("${PASSWORD:-{{team.password}}}", "{{team.password}}", "{{team.password}}"),
        ("${PASSWORD:-${OTHER:-{{team.password}}}}", "{{team.password}}", "{{team.password}}"),
    ],
)
def test_what_the_file_itself_says_does_not_depend_on_the_environment(
    stack_file: Path, written: str, own: str, unset: str | None, variables: dict[str, str]
) -> None:
    """A default is the file's own words also where a variable takes its place; it may refer to a secret."""
    stack_file.write_text(WHOLE + f"      password: {written}\n")
    stack = load_stack_file(stack_file, {"BASE": "/base", **variables})
    assert stack.own_text("components", "artifact_store", "configuration", "password") == own
    found = stack.components.artifact_store.configuration.get("password")
    assert found == (variables["PASSWORD"] if variables else unset)


def test_a_setting_that_its_placeholders_leave_empty_is_left_out(stack_file: Path) -> None:
    """With a mapping that has only such settings; an empty text that the file writes itself stays."""
    optional = """\
      empty: ""
      endpoint: ${ENDPOINT:-}
      client:
        address: ${ENDPOINT:-}${PORT:-}
      list: ["${ENDPOINT:-}"]
"""
    stack_file.write_text(WHOLE + optional)
    left = load_stack_file(stack_file, {"BASE": "/base"})
    configuration = left.components.artifact_store.configuration
    assert configuration == {"path": "/base/shutterline/artifacts", "port": 8090, "empty": "", "list": [""]}
    keys = ("components", "artifact_store", "configuration")
    assert left.written(*keys) == ["path", "port", "empty", "endpoint", "client", "list"]
    assert left.where(*keys, "endpoint") == f"{stack_file}:12"
    given = load_stack_file(stack_file, {"BASE": "/base", "ENDPOINT": "https://s3"})
    assert given.components.artifact_store.configuration["endpoint"] == "https://s3"
    assert given.components.artifact_store.configuration["client"] == {"address": "https://s3"}


def test_a_flavor_that_a_placeholder_leaves_empty_is_missing(stack_file: Path) -> None:
    """What must be there is asked for with its line."""
    message = refusal(stack_file, WHOLE.replace("flavor: local", "flavor: ${FLAVOR:-}", 1))
    assert message == f"{stack_file}:3: 'components.orchestrator' is missing: add it"


def test_what_a_variable_holds_is_not_expanded_again(stack_file: Path) -> None:
    """A variable's value is data: placeholders in it stay as they are."""
    stack_file.write_text(WHOLE)
    stack = load_stack_file(stack_file, {"BASE": "/base", "HOME_FOLDER": "/${BASE}"})
    assert stack.components.artifact_store.configuration["path"] == "/${BASE}/artifacts"


def test_a_variable_without_default_that_is_not_set_is_refused(stack_file: Path) -> None:
    """The message names the line, the variable and the command that sets it."""
    message = refusal(stack_file, WHOLE, {})
    assert message.startswith(f"{stack_file}:9: BASE is not set")
    assert "export BASE=" in message


def test_a_malformed_placeholder_is_refused(stack_file: Path) -> None:
    """A forgotten brace is not taken as a folder's name."""
    message = refusal(stack_file, WHOLE.replace("}/artifacts", "/artifacts"))
    assert f"{stack_file}:9" in message and "${NAME:-default}" in message


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("name: small", "nmae: small", 1, "unknown key 'nmae': did you mean 'name'?"),
        ("  orchestrator:", "  orchestrater:", 3, "'components.orchestrater': did you mean 'orchestrator'?"),
        ("    flavor: local\n  art", "    flavour: local\n  art", 4, "did you mean 'flavor'?"),
        (
            "    flavor: local\n  art",
            "    secrets: local\n  art",
            4,
            "known: configuration, flavor, name",
        ),
        ("    configuration:", "    config:", 8, "did you mean 'configuration'?"),
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_right_one(
    stack_file: Path, old: str, new: str, line: int, said: str
) -> None:
    """A typo never becomes a silent default."""
    assert old in WHOLE
    message = refusal(stack_file, WHOLE.replace(old, new, 1))
    assert message.startswith(f"{stack_file}:{line}: ")
    assert said in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has the keys name, components"),
        ("- a\n- b\n", "has the keys name, components"),
        ("name: x\n  : y: z\n", ":2: not YAML"),
        ("name: x\nname: y\n", ":2: 'name' is given twice"),
        ("name: x\ncomponents:\n  orchestrator: {flavor: local}\n", "'components.artifact_store' is missing"),
        (
            WHOLE.replace("flavor: local", "flavor: [local]", 1),
            ":4: 'components.orchestrator.flavor' refused",
        ),
    ],
)
def test_a_file_that_describes_no_stack_is_refused(stack_file: Path, content: str, said: str) -> None:
    """Each says what is wrong and, where it can be told, on which line."""
    assert said in refusal(stack_file, content)


def test_a_missing_file_is_refused(stack_file: Path) -> None:
    """The message names a file that is there."""
    with pytest.raises(UsageError, match=r"stacks/local\.yaml"):
        load_stack_file(stack_file, {})


def test_all_that_the_local_stack_keeps_lies_under_one_folder() -> None:
    """SHUTTERLINE_HOME moves everything; without it, it is the folder of ZenML's configuration."""
    path = PROJECT / "stacks" / "local.yaml"
    for variables, home in (
        ({"ZENML_CONFIG_DIRECTORY": "/config"}, "/config/shutterline/"),
        ({"ZENML_CONFIG_DIRECTORY": "/config", "SHUTTERLINE_HOME": "/home"}, "/home/"),
    ):
        stack = load_stack_file(path, variables)
        settings = [
            value
            for component in stack.present().values()
            for _, value in leaves({"": component.configuration})
        ]
        paths = [value for value in [*settings, stack.demo_keys or ""] if "/" in value]
        assert len(paths) == 8
        assert all(value.startswith(home) for value in paths)

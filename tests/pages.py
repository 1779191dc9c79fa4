"""The pages of docs/ as tests read them: their commands, and what the tests that try these call."""

from __future__ import annotations

import ast
import re

from tests.shrunk.delivery import PROJECT


def text_of(page: str) -> str:
    """A page, by its path in the project."""
    return (PROJECT / page).read_text(encoding="utf-8")


def commands_of(page: str) -> list[str]:
    """The commands of a page's ``sh`` blocks, one a line; a line that ends with a backslash goes on."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text_of(page), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def make_recipe(target: str) -> str:
    """The one command of a target of the Makefile."""
    found = re.search(rf"^{target}:[^\n]*\n\t([^\n]+)$", text_of("Makefile"), re.M)
    assert found, f"the Makefile has no target {target} of one command"
    return found[1]


def yaml_blocks_of(page: str) -> list[str]:
    """A page's YAML blocks, each as it stands there."""
    return re.findall(r"^```yaml\n(.*?)^```", text_of(page), re.M | re.S)


def rows_of(text: str) -> list[list[str]]:
    """The cells of each row of the Markdown tables in a text; their heads are none."""
    bodies = re.findall(r"^\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in "".join(bodies).splitlines()]


def source_of(path: str, function: str) -> str:
    """What one function of a file does, without its docstring and comments."""
    tree = ast.parse((PROJECT / path).read_text(encoding="utf-8"))
    (found,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return "\n".join(ast.unparse(statement) for statement in found.body[1:])

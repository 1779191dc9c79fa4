"""What a Dockerfile says, as far as these files go: stages, and instructions with their text in one line."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRAINING = "stacks/docker/training.Dockerfile"
SERVING = "serving/Dockerfile"
MLSERVER = "serving/mlserver/Dockerfile"


@dataclass(frozen=True)
class Instruction:
    """One instruction: ``RUN``, ``COPY`` …, and all that follows the word."""

    word: str
    text: str


def stages(dockerfile: str) -> list[list[Instruction]]:
    """Read a Dockerfile, named by its path under the project's root.

    Returns:
        what stands before the first FROM, then each stage, its FROM first.
    """
    lines = [line for line in (ROOT / dockerfile).read_text().splitlines() if not line.startswith("#")]
    found: list[list[Instruction]] = [[]]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).split("\n"):
        word, _, text = line.strip().partition(" ")
        if word == "FROM":
            found.append([])
        if word:
            found[-1].append(Instruction(word, text))
    return found


def texts(stage: list[Instruction], word: str) -> list[str]:
    """Give the texts of a stage's instructions of this name."""
    return [instruction.text for instruction in stage if instruction.word == word]


def copied(dockerfile: str) -> dict[str, list[Path]]:
    """Give the files of the project that a build copies, by the path of each COPY's target."""
    found: dict[str, list[Path]] = {}
    for stage in stages(dockerfile):
        for text in texts(stage, "COPY"):
            *sources, target = text.split()
            if not text.startswith("--from"):
                found[target] = [path for source in sources for path in sorted(ROOT.glob(source))]
                assert all(any(ROOT.glob(source)) for source in sources), text
    return found

"""Kept specifications that somebody altered, so that they would start something else."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

Json = dict[str, Any]
ELSEWHERE = "elsewhere.example"
"""Stands in whatever is foreign."""


def _serving(predictor: Json) -> Json:
    [container] = predictor["componentSpecs"][0]["spec"]["containers"]
    return dict(container)


def _changed(part: str, **changes: Any) -> Callable[[Json], None]:
    """Change the one container of a kind."""

    def change(predictor: Json) -> None:
        [container] = predictor["componentSpecs"][0]["spec"][part]
        container.update(changes)

    return change


def _with_variable(part: str) -> Callable[[Json], None]:
    def change(predictor: Json) -> None:
        [container] = predictor["componentSpecs"][0]["spec"][part]
        container["env"] = [*container["env"], {"name": "PYTHONPATH", "value": f"/{ELSEWHERE}"}]

    return change


def _other_bucket(predictor: Json) -> None:
    [container] = predictor["componentSpecs"][0]["spec"]["initContainers"]
    container["args"] = [container["args"][0], f":s3:{ELSEWHERE}/7", *container["args"][2:]]


def _second_container(predictor: Json) -> None:
    other = {**_serving(predictor), "name": "other", "image": f"{ELSEWHERE}/other:1"}
    predictor["componentSpecs"][0]["spec"]["containers"].append(other)


def _other_path(predictor: Json) -> None:
    [container] = predictor["componentSpecs"][0]["spec"]["containers"]
    container["readinessProbe"]["httpGet"]["path"] = f"/{ELSEWHERE}"


_CHANGES: dict[str, Callable[[Json], None]] = {
    "image": _changed("containers", image=f"{ELSEWHERE}/serving:1"),
    "image of another port": _changed("containers", image=f"registry.example:5000/{ELSEWHERE}/serving:1"),
    "image whose repository begins alike": _changed(
        "containers", image=f"registry.example/serving-{ELSEWHERE}"
    ),
    "command": _changed("containers", command=["python", "-m", ELSEWHERE]),
    "arguments": _changed("containers", args=["--host", ELSEWHERE]),
    "variable": _with_variable("containers"),
    "init image": _changed("initContainers", image=f"{ELSEWHERE}/rclone:1"),
    "init command": _changed("initContainers", command=["sh", "-c", ELSEWHERE]),
    "init variable": _with_variable("initContainers"),
    "bucket": _other_bucket,
    "second container": _second_container,
    "probe": _other_path,
    "annotation": lambda predictor: predictor.update(annotations={"seldon.io/engine": ELSEWHERE}),
    "unknown key": lambda predictor: predictor.update(engine=ELSEWHERE),
}
FOREIGN = sorted(_CHANGES)
"""The names of the changes."""


def altered(specification: Json, change: str) -> Json:
    """The specification with one change."""
    copy = deepcopy(specification)
    [predictor] = copy["predictors"]
    _CHANGES[change](predictor)
    return copy

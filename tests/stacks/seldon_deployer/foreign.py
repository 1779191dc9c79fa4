"""Kept specifications that somebody altered, so that they would start something else."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

Json = dict[str, Any]
ELSEWHERE = "elsewhere.example"
"""Stands in whatever is foreign."""


SERVICE, SHIPPER = 0, 1
"""The places of a pod's containers."""


def _changed(part: str, place: int = SERVICE, **changes: Any) -> Callable[[Json], None]:
    """Change one container of a kind."""

    def change(predictor: Json) -> None:
        predictor["componentSpecs"][0]["spec"][part][place].update(changes)

    return change


def _with_variable(part: str, place: int = SERVICE) -> Callable[[Json], None]:
    def change(predictor: Json) -> None:
        container = predictor["componentSpecs"][0]["spec"][part][place]
        container["env"] = [*container["env"], {"name": "PYTHONPATH", "value": f"/{ELSEWHERE}"}]

    return change


def _other_bucket(predictor: Json) -> None:
    [container] = predictor["componentSpecs"][0]["spec"]["initContainers"]
    container["args"] = [container["args"][0], f":s3:{ELSEWHERE}/7", *container["args"][2:]]


def _another_container(predictor: Json) -> None:
    containers = predictor["componentSpecs"][0]["spec"]["containers"]
    containers.append({**containers[SERVICE], "name": "other", "image": f"{ELSEWHERE}/other:1"})


def _other_store(predictor: Json) -> None:
    container = predictor["componentSpecs"][0]["spec"]["containers"][SHIPPER]
    container["args"][container["args"].index("--to") + 1] = f"s3://{ELSEWHERE}"


def _other_path(predictor: Json) -> None:
    container = predictor["componentSpecs"][0]["spec"]["containers"][SERVICE]
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
    "another container": _another_container,
    "shipper's image": _changed("containers", SHIPPER, image=f"{ELSEWHERE}/shipper:1"),
    "shipper's variable": _with_variable("containers", SHIPPER),
    "shipper's store": _other_store,
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

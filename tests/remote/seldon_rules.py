"""What the stub refuses of a SeldonDeployment: the schema where it is there, the webhook's rules always.

Written from the rules beside ../shared/data/seldon, not from the deployer's own types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ANNOTATION_LIMIT = 262_144
DNS_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"


def refusals(resource: dict[str, Any], schema: Path | None) -> list[str]:
    """Why this resource is not taken; empty where it is."""
    found = list(_of_schema(resource, schema)) if schema is not None and schema.exists() else []
    return found or list(_of_webhook(resource))


def _of_schema(resource: dict[str, Any], schema: Path) -> Iterator[str]:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    for error in Draft202012Validator(json.loads(schema.read_text())).iter_errors(resource):
        yield f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message}"


def _of_webhook(resource: dict[str, Any]) -> Iterator[str]:
    annotations = resource["metadata"].get("annotations", {})
    if sum(len(key) + len(value.encode()) for key, value in annotations.items()) > ANNOTATION_LIMIT:
        yield f"metadata.annotations: must have at most {ANNOTATION_LIMIT} bytes"
    predictors = resource.get("spec", {}).get("predictors", [])
    if not predictors:
        yield "spec: Graph contains no predictors"
    names = [one["name"] for one in predictors]
    if len(set(names)) < len(names):
        yield "spec.predictors: Duplicate predictor name"
    shadows = [one for one in predictors if one.get("shadow")]
    if len(shadows) > 1 or (shadows and len(predictors) == 1):
        yield "spec.predictors: at most one shadow, and never alone"
    traffic = [one.get("traffic", 0) for one in predictors if not one.get("shadow")]
    if len(predictors) == 1 and 0 < sum(traffic) < 100:
        yield "spec.predictors: Traffic must sum be 100 for a single predictor when set"
    if len(traffic) > 1 and sum(traffic) != 100:
        yield f"spec.predictors: Traffic must sum to 100, not {sum(traffic)}"
    for one in predictors:
        containers = {
            part["name"]
            for component in one.get("componentSpecs", [])
            for part in component["spec"]["containers"]
        }
        yield from _of_units(one["graph"], containers)
        if one["graph"].get("children") and "seldon.io/no-engine" in one.get("annotations", {}):
            yield f"{one['name']}: Running without engine only valid for single element graphs"


def _of_units(unit: dict[str, Any], containers: set[str]) -> Iterator[str]:
    if unit.get("implementation"):
        if not unit.get("modelUri"):
            yield f"graph {unit['name']}: Predictive unit modelUri required"
    elif unit["name"] not in containers:
        yield f"graph {unit['name']}: Can't find container for Predictive Unit"
    for child in unit.get("children", []):
        yield from _of_units(child, containers)

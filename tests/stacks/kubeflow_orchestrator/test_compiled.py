"""The compiled pipeline says all that a step's settings say, and no credential."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from zenml.config.retry_config import StepRetryConfig

from pipelines.config import load_config
from stacks.kubeflow_orchestrator.compiled import SHARED_MEMORY, CompiledStep, compile_pipeline
from stacks.kubeflow_orchestrator.flavor import ShutterlineKubeflowSettings

IMAGE = "registry.example.com/shutterline-training:1"


def compiled(*steps: CompiledStep) -> tuple[dict[str, Any], Any]:
    """Compile, and read both documents back: the pipeline, and what its containers ask of Kubernetes."""
    text = compile_pipeline("training-1", steps, image=IMAGE)
    pipeline, platform = yaml.safe_load_all(text)
    return pipeline, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def a_step(
    name: str = "train",
    *after: str,
    retry: StepRetryConfig | None = None,
    secrets: dict[str, str] | None = None,
    **settings: Any,
) -> CompiledStep:
    """A step with these settings, as ZenML hands them to the orchestrator."""
    return CompiledStep(
        name=name,
        arguments=("--step_name", name),
        environment={"PLAIN": "1"},
        secrets=secrets or {},
        upstream=after,
        settings=ShutterlineKubeflowSettings(**settings),
        retry=retry,
    )


def test_the_products_resources_are_in_the_compiled_pipeline() -> None:
    """Requests, limits, GPU, node pool and time-out of ``train`` and of a light step, as in configs/."""
    options = load_config(None, ()).running.options()
    light, learning = (
        options["settings"]["orchestrator"],
        options["steps"]["train"]["settings"]["orchestrator"],
    )
    pipeline, platform = compiled(
        a_step("split", **light), a_step("train", "split", retry=options["retry"], **learning)
    )
    containers = {key: value["container"] for key, value in pipeline["deploymentSpec"]["executors"].items()}
    expected = {"resourceCpuRequest": "2", "resourceCpuLimit": "4"}
    split, train = containers["exec-split"]["resources"], containers["exec-train"]["resources"]
    assert expected.items() <= split.items()
    assert (split["resourceMemoryRequest"], split["resourceMemoryLimit"]) == ("4G", "8G")
    assert "accelerator" not in split
    assert expected.items() <= train.items()
    assert (train["resourceMemoryRequest"], train["resourceMemoryLimit"]) == ("32G", "32G")
    assert (train["accelerator"]["resourceType"], train["accelerator"]["resourceCount"]) == (
        "nvidia.com/gpu",
        "1",
    )
    assert platform["exec-train"]["nodeSelector"]["labels"] == {"gpu-type": "v100"}
    assert platform["exec-train"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert "nodeSelector" not in platform["exec-split"]
    assert {entry["activeDeadlineSeconds"] for entry in platform.values()} == {"3600"}
    retries = pipeline["root"]["dag"]["tasks"]["train"]["retryPolicy"]
    assert (retries["maxRetryCount"], retries["backoffDuration"], retries["backoffFactor"]) == (3, "60s", 2.0)
    assert "retryPolicy" not in pipeline["root"]["dag"]["tasks"]["split"]


def test_several_gpus_get_shared_memory_of_their_own() -> None:
    """``/dev/shm`` is a volume in memory where a step has more than one GPU, and nowhere else."""
    _, platform = compiled(a_step("split", gpus=1), a_step("train", "split", gpus=2))
    mounts = {
        name: [each["mountPath"] for each in entry["emptyDirMounts"] if each.get("medium") == "Memory"]
        for name, entry in platform.items()
    }
    assert mounts == {"exec-split": [], "exec-train": [SHARED_MEMORY]}


def test_steps_run_after_those_that_they_need() -> None:
    """The order is that of ZenML's graph."""
    tasks = compiled(a_step("ingest"), a_step("split", "ingest"), a_step("train", "ingest", "split"))[0]
    after = {name: task.get("dependentTasks", []) for name, task in tasks["root"]["dag"]["tasks"].items()}
    assert after == {"ingest": [], "split": ["ingest"], "train": ["ingest", "split"]}


def test_a_container_starts_one_step_of_the_image() -> None:
    """Image, command and arguments, and the variable by which a step knows its run."""
    container = compiled(a_step())[0]["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["image"] == IMAGE
    assert [*container["command"], *container["args"]] == [
        "python",
        "-m",
        "shutterline_step",
        "--step_name",
        "train",
    ]
    assert container["env"] == [{"name": "PLAIN", "value": "1"}]
    (entry,) = compiled(a_step())[1]["exec-train"]["fieldPathAsEnv"]
    assert entry == {"name": "KFP_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"}


def test_credentials_come_from_kubernetes_secrets() -> None:
    """The pipeline names the secret and its key, not what it holds."""
    platform = compiled(a_step(secrets={"ZENML_STORE_API_KEY": "shutterline-zenml.api_key"}))[1]
    (entry,) = platform["exec-train"]["secretAsEnv"]
    assert entry["secretName"] == "shutterline-zenml"
    assert entry["keyToEnv"] == [{"secretKey": "api_key", "envVar": "ZENML_STORE_API_KEY"}]


@pytest.mark.parametrize("memory", ["8GB", "8 G", "much", "-1G"])
def test_an_amount_that_kubernetes_does_not_know_is_refused(memory: str) -> None:
    """Before anything is compiled."""
    with pytest.raises(ValidationError, match="memory_limit"):
        ShutterlineKubeflowSettings(memory_limit=memory)

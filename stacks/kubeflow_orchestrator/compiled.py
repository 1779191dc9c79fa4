"""Compile a ZenML snapshot to a Kubeflow pipeline: one container a step, with all that its settings say.

kfp reads the annotations of what it decorates, so that this file does not defer them.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zenml.config.retry_config import StepRetryConfig

from stacks.kubeflow_orchestrator.flavor import ShutterlineKubeflowSettings

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask

KUBEFLOW_RUN = "KFP_RUN_ID"
"""The variable by which a step knows which run of Kubeflow it is part of."""
RUN_LABEL = "metadata.labels['pipeline/runid']"
"""Where a pod has it. In the value of a variable Kubeflow fills no placeholder in, so that all runs of one
schedule would be the same run."""
GPU = "nvidia.com/gpu"
"""The resource name, and the taint, of nodes with NVIDIA GPUs."""
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where NCCL lets the GPUs of a container meet
SCRATCH = "/tmp"  # noqa: S108 - a path of the container, on a volume of its own
COMMAND = ("python", "-m", "shutterline_step")
"""What the training image starts; see stacks/docker/shutterline_step.py."""


class CompiledStep(NamedTuple):
    """One step: what its container is given, and what comes before it."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    """Variable → ``SECRET.KEY`` of Kubernetes."""
    upstream: Sequence[str]
    settings: ShutterlineKubeflowSettings
    retry: StepRetryConfig | None


def compile_pipeline(name: str, steps: Sequence[CompiledStep], *, image: str) -> str:
    """Compile the steps of one run.

    Args:
        name: of the pipeline, and of its runs.
        steps: each after those that it depends on.
        image: of every container.

    Returns:
        Kubeflow's intermediate representation with its platform specification, as YAML.
    """
    from kfp import dsl
    from kfp.compiler import Compiler

    def all_steps() -> None:
        tasks: dict[str, PipelineTask] = {}
        for step in steps:
            task = _component(step, image)()
            tasks[step.name] = task.after(*(tasks[before] for before in step.upstream))
            _configure(task, step)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        Compiler().compile(dsl.pipeline(all_steps, name=name), str(file))
        return file.read_text(encoding="utf-8")


def _component(step: CompiledStep, image: str) -> Any:
    from kfp import dsl

    def container() -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image=image, command=list(COMMAND), args=list(step.arguments))

    container.__name__ = step.name
    return dsl.container_component(container)


def _configure(task: "PipelineTask", step: CompiledStep) -> None:
    """Give the task all that ZenML's orchestrator drops."""
    from kfp import kubernetes

    task.set_display_name(step.name)
    task.set_caching_options(enable_caching=False)  # ZenML caches, by the digests of what goes in
    kubernetes.use_field_path_as_env(task, KUBEFLOW_RUN, RUN_LABEL)
    for variable, value in sorted(step.environment.items()):
        task.set_env_variable(variable, value)
    for variable, reference in sorted(step.secrets.items()):
        secret, _, key = reference.partition(".")
        kubernetes.use_secret_as_env(task, secret, {key: variable})
    kubernetes.empty_dir_mount(task, volume_name="scratch", mount_path=SCRATCH)
    if step.retry is not None:
        task.set_retry(
            num_retries=step.retry.max_retries,
            backoff_duration=f"{step.retry.delay}s",
            backoff_factor=float(step.retry.backoff),
        )
    _set_resources(task, step.settings)


def _set_resources(task: "PipelineTask", settings: ShutterlineKubeflowSettings) -> None:
    from kfp import kubernetes

    if settings.cpu_request is not None:
        task.set_cpu_request(f"{settings.cpu_request:g}")
    if settings.cpu_limit is not None:
        task.set_cpu_limit(f"{settings.cpu_limit:g}")
    if settings.memory_request is not None:
        task.set_memory_request(settings.memory_request)
    if settings.memory_limit is not None:
        task.set_memory_limit(settings.memory_limit)
    if settings.gpus:
        task.set_accelerator_type(GPU)
        task.set_accelerator_limit(settings.gpus)
        # Nodes with GPUs are kept free of other work by this taint.
        kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    if settings.gpus > 1:
        # A container has 64 MB of it, of which GPUs that exchange gradients need more.
        kubernetes.empty_dir_mount(
            task, volume_name="shared-memory", mount_path=SHARED_MEMORY, medium="Memory"
        )
    for label, value in sorted((settings.node_pool or {}).items()):
        kubernetes.add_node_selector(task, label, value)
    if settings.step_timeout_s is not None:
        kubernetes.set_timeout(task, settings.step_timeout_s)

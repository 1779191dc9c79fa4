"""The shipper of a pod: a container beside the service that carries what it captured to the artifact store.

Seldon leaves a container that is no unit of the graph as it is. Both containers are told to end at once, the
service after the 10 s for which Seldon has it wait: so the shipper waits as long, and then until the service
writes no more. A pod is ready only while all its containers are, so that the shipper has memory to spare.
"""

from __future__ import annotations

from zenml.client import Client

from materializers.errors import UsageError
from serving.part_store import S3
from stacks.seldon_deployer.flavor import SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.resource import (
    S3_KEYS,
    Container,
    Execution,
    Handler,
    Lifecycle,
    Mount,
    Resources,
    Variable,
    secret_variables,
)

SHIPPER = "shipper"
SPOOL_FOLDER = "/mnt/spool"
SPOOL = Mount(name="spool", mount_path=SPOOL_FOLDER)
SELDON_WAITS_S = 10
"""How long Seldon has a unit wait before it is asked to end, while the ingress learns that it goes."""
PATIENCE_S = 35
"""For the service, which gives requests in flight 30 s."""
# Measured in the serving environment: 73 MB at rest, up to 336 MB and 2.8 s of CPU for a file of 32 MB, after
# which a service begins another. One that a single write made larger, of 120 MB at most, took 850 MB.
RESOURCES = Resources(requests={"cpu": "100m", "memory": "256M"}, limits={"cpu": "1", "memory": "1536M"})


def shipper(config: SeldonClusterModelDeployerConfig, scratch: Mount) -> Container:
    """The container, of the service's own image; the keys are Kubernetes' secret, never a text of ours.

    Args:
        config: the settings.
        scratch: a folder that it may write.

    Raises:
        UsageError: the active stack's artifact store is none that a pod can write.
    """
    variables = {
        "AWS_REGION": config.s3_region,
        **({"AWS_ENDPOINT_URL_S3": config.s3_endpoint} if config.s3_endpoint else {}),
    }
    return Container(
        name=SHIPPER,
        image=config.image,
        command=("python", "-m", "serving.shipper"),
        args=("--spool", SPOOL_FOLDER, "--to", captures_root(), "--patience-s", str(PATIENCE_S)),
        env=(
            *(Variable(name=name, value=value) for name, value in variables.items()),
            *secret_variables(config.s3_secret, S3_KEYS),
        ),
        resources=RESOURCES,
        volume_mounts=(SPOOL, scratch),
        lifecycle=Lifecycle(pre_stop=Handler(exec=Execution(command=("sleep", str(SELDON_WAITS_S))))),
    )


def captures_root() -> str:
    """Where pods ship to: the root of the active stack's artifact store, ``s3://bucket/folder``.

    Raises:
        UsageError: it is none that a pod can write.
    """
    root = str(Client().active_stack.artifact_store.path)
    if not root.startswith(S3):
        raise UsageError(
            f"What services capture goes to the stack's artifact store, and that is {root}, which no pod can "
            "write: give the stack one in S3, or its model deployer the setting `capture: false`, and run "
            "python -m stacks.apply STACK_FILE"
        )
    return root

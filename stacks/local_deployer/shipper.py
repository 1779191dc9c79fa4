"""The site's shipper: the process that carries what its services captured to the stack's artifact store.

One serves all models and environments of a site, as Envoy does. It ends after the services: it waits until
none writes any more, which their locks on the spool's files tell.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenml.client import Client
from zenml.utils.io_utils import is_remote

from stacks.local_deployer import processes
from stacks.local_deployer.flavor import PROJECT, SeldonLocalModelDeployerConfig

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

SHIPPER = "shipper"
PATIENCE_S = 8.0
"""What it gets to ship the rest; less than a site has patience with its processes."""
S3_SETTINGS = (
    ("key", "AWS_ACCESS_KEY_ID"),
    ("secret", "AWS_SECRET_ACCESS_KEY"),
    ("token", "AWS_SESSION_TOKEN"),
)
S3_CLIENT = (("endpoint_url", "AWS_ENDPOINT_URL_S3"), ("region_name", "AWS_REGION"))
"""ZenML's settings of an artifact store in S3, and the variables by which boto3 takes them."""


def spool_of(config: SeldonLocalModelDeployerConfig) -> Path:
    """Where the site's services leave what they captured."""
    return config.site / "spool"


def log_of_shipper(config: SeldonLocalModelDeployerConfig) -> Path:
    """Where the shipper writes."""
    return config.site / "logs" / f"{SHIPPER}.log"


def shipper_is_missing(config: SeldonLocalModelDeployerConfig) -> bool:
    """Whether the site's services capture, and no shipper runs."""
    return config.capture and SHIPPER not in processes.running(config.site)


def ensure_shipper(config: SeldonLocalModelDeployerConfig, *, patience_s: float) -> None:
    """Have the shipper run to the active stack's artifact store; nothing where nothing is captured.

    Args:
        config: of the site.
        patience_s: with one that ships to another store, which ends first.
    """
    if not config.capture:
        return
    store = Client().active_stack.artifact_store
    command = [str(config.serving_python), "-m", "serving.shipper"]
    command += ["--spool", str(spool_of(config)), "--to", str(store.path), "--patience-s", str(PATIENCE_S)]
    running = processes.running(config.site).get(SHIPPER, [])
    if any(process.cmdline() == command for process in running):
        return
    processes.stop([SHIPPER], site=config.site, patience_s=patience_s)
    processes.start(
        SHIPPER,
        command,
        site=config.site,
        log=log_of_shipper(config),
        cwd=PROJECT,
        environment=_environment(store),
    )


def _environment(store: BaseArtifactStore) -> dict[str, str]:
    """By which variables the shipper is let into a store: this process's, and what the stack says."""
    if not is_remote(str(store.path)):
        return {}
    ours = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    client: dict[str, Any] = getattr(store.config, "client_kwargs", None) or {}
    said = {variable: getattr(store.config, name, None) for name, variable in S3_SETTINGS}
    said |= {variable: client.get(name) for name, variable in S3_CLIENT}
    return ours | {variable: str(value) for variable, value in said.items() if value}

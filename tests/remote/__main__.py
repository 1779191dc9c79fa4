"""Start or end the remote stack on this machine: ``python -m tests.remote up``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tests.remote.servers import Containers
from tests.remote.site import Site


def _default_home() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "shutterline" / "remote"


HOME = click.option("--home", type=click.Path(path_type=Path), help="Keeps all data, logs and credentials.")


@click.group()
def main() -> None:
    """S3, MLflow, ZenML, a registry and stubs of Kubeflow and Kubernetes, all on loopback."""


@main.command()
@HOME
@click.option("--ports-from", type=int, help="The first of 16 ports of a new site; without it, free ones.")
@click.option(
    "--docker-host", help="Each step is a container of this Docker daemon: unix:///var/run/docker.sock."
)
@click.option("--docker-image", help="Its image for the steps, where it does not have that of the stack.")
def up(home: Path | None, ports_from: int | None, docker_host: str | None, docker_image: str | None) -> None:
    """Start what does not run yet, and print the file that a shell sources to use it."""
    if docker_image and not docker_host:
        raise click.UsageError("--docker-image is an image of a Docker daemon: give --docker-host too")
    try:
        site = Site.make(home or _default_home(), first_port=ports_from)
        site.containers = Containers(docker_host, docker_image) if docker_host else None
        running = site.kubeflow.process()
        if running is not None and running.cmdline()[1:] != list(site.kubeflow.command[1:]):
            raise click.ClickException(
                "Kubeflow runs with other options: python -m tests.remote down, then up"
            )
        already = site.running()
        site.up()
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{'runs already' if already else 'started'}. In each terminal that is to use it:")
    click.echo(f"  source {site.home / 'environment.sh'}")
    click.echo("  python -m stacks.apply stacks/kubeflow.yaml    once; make kubeflow-down ends it all")


@main.command()
@HOME
def down(home: Path | None) -> None:
    """End all servers; the data stays."""
    folder = home or _default_home()
    try:
        site = Site.load(folder)
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    except FileNotFoundError as error:
        raise click.ClickException(f"nothing was started below {folder}: give --home") from error
    site.down()
    click.echo(f"ended; rm -r {site.home} removes its data")


if __name__ == "__main__":
    main()

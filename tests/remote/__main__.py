"""Start or end the remote stack on this machine: ``python -m tests.remote up``."""

from __future__ import annotations

import os
from pathlib import Path

import click

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
def up(home: Path | None, ports_from: int | None) -> None:
    """Start what does not run yet, and print what a shell needs to use it."""
    site = Site.make(home or _default_home(), first_port=ports_from)
    try:
        already = site.running()
        site.up()
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"# {'runs already' if already else 'started'}: source {site.home / 'environment.sh'}")
    click.echo((site.home / "environment.sh").read_text(), nl=False)


@main.command()
@HOME
def down(home: Path | None) -> None:
    """End all servers; the data stays."""
    folder = home or _default_home()
    try:
        site = Site.load(folder)
    except FileNotFoundError as error:
        raise click.ClickException(f"nothing was started below {folder}: give --home") from error
    site.down()
    click.echo(f"ended; rm -r {site.home} removes its data")


if __name__ == "__main__":
    main()

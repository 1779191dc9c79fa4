"""Start or end Prometheus and Alertmanager on this machine: ``python -m observability up``."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from pydantic import ValidationError

from materializers.errors import ShutterlineError

if TYPE_CHECKING:
    from observability.rendering import Times
    from pipelines.config import Config

WRONG_USE = 2


def _default_home() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "shutterline" / "monitoring"


def _fail(message: str, exit_code: int) -> NoReturn:
    """Say one line and end."""
    click.echo(f"Error: {message}", err=True)
    sys.exit(exit_code)


HOME = click.option("--home", type=click.Path(path_type=Path), help="Keeps all data, logs and settings.")
CONFIG = click.option("--config", type=click.Path(path_type=Path), help="As of run.py: limits and model.")
ASSIGNMENTS = click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="As of run.py.")
INTERVAL = click.option("--interval", default="15s", show_default=True, help="Between two looks.")
WINDOW = click.option("--window", default="5m", show_default=True, help="Of rates and quantiles.")
PATIENCE = click.option("--patience", default="5m", show_default=True, help="Before it is an alert.")
SILENCE = click.option("--silence", default="1h", show_default=True, help="Without a prediction.")


@click.group()
def main() -> None:
    """Prometheus, Alertmanager and the exporter, all on loopback."""


@main.command()
@HOME
@CONFIG
@ASSIGNMENTS
@INTERVAL
@WINDOW
@PATIENCE
@SILENCE
@click.option("--stack", metavar="NAME", help="Use this ZenML stack.")
@click.option(
    "--ports-from",
    type=click.IntRange(1, 65533),
    help="The first of 3 ports of a new site; without it, free ones.",
)
@click.option("--webhook", metavar="URL", help="Gets every alert.")
@click.option("--critical-webhook", metavar="URL", help="Gets the critical ones in its place.")
@click.option("--targets", type=click.Path(path_type=Path), help="A file_sd list instead of the deployer's.")
def up(
    home: Path | None,
    config: Path | None,
    assignments: tuple[str, ...],
    interval: str,
    window: str,
    patience: str,
    silence: str,
    stack: str | None,
    ports_from: int | None,
    webhook: str | None,
    critical_webhook: str | None,
    targets: Path | None,
) -> None:
    """Start what does not run yet, anew what runs with other settings, and print the addresses."""
    from observability.site import PACKAGES, MonitoringSite, Options, program

    # A service that is down answers 404 to the question who it is, which is no fault of this command.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        for package in PACKAGES:
            program(package)
        loaded = _load(config, assignments)
        if targets is None:
            from pipelines.session import prepare

            prepare(stack=stack)
        options = Options(
            times=_times(interval, window, patience, silence),
            webhook=webhook,
            critical_webhook=critical_webhook,
            targets=targets,
            exporter=_exporter_arguments(config, assignments, stack),
        )
        site = MonitoringSite.make(home or _default_home(), options, first_port=ports_from)
        already = site.up(loaded)
    except ShutterlineError as error:
        _fail(str(error), error.exit_code)
    except ValidationError as error:
        _fail(_said(error), WRONG_USE)
    except (RuntimeError, TimeoutError) as error:
        _fail(str(error), 1)
    click.echo("runs already:" if already else "started:")
    for server in reversed(site.servers):
        click.echo(f"  {server.name.removeprefix('The '):<12} {server.url}")
    click.echo(
        f"  pages        {site.prometheus.url}/classic/alerts and {site.prometheus.url}/classic/targets"
    )
    click.echo(f"Alertmanager has no page: amtool alert --alertmanager.url={site.alertmanager.url}")
    click.echo(f"In reports of --monitor too: --set monitor.prometheus.url={site.prometheus.url}")
    click.echo("make monitoring-down ends it all")


@main.command()
@HOME
def down(home: Path | None) -> None:
    """End all of them; what was measured stays."""
    from observability.site import MonitoringSite

    folder = home or _default_home()
    try:
        site = MonitoringSite.load(folder)
        ended = site.down()
    except FileNotFoundError:
        _fail(f"nothing was started below {folder}: give --home", WRONG_USE)
    except ShutterlineError as error:
        _fail(str(error), error.exit_code)
    except TimeoutError as error:
        _fail(str(error), 1)
    click.echo(f"{'ended' if ended else 'nothing ran'}; rm -r {site.home} removes what was measured")


@main.command()
@CONFIG
@ASSIGNMENTS
@INTERVAL
@WINDOW
@PATIENCE
@SILENCE
@click.option("--to", type=click.Path(path_type=Path), required=True, help="A folder; made.")
def render(
    config: Path | None,
    assignments: tuple[str, ...],
    interval: str,
    window: str,
    patience: str,
    silence: str,
    to: Path,
) -> None:
    """Write the rules, with your limits, and the dashboards, for a Prometheus and a Grafana of your own."""
    from observability.rendering import copy_dashboards, rendered_rules, write_rendered

    try:
        times = _times(interval, window, patience, silence)
        write_rendered(to, rendered_rules(_load(config, assignments), times))
        copy_dashboards(to / "dashboards")
    except ShutterlineError as error:
        _fail(str(error), error.exit_code)
    except ValidationError as error:
        _fail(_said(error), WRONG_USE)
    except OSError as error:
        _fail(f"{to} cannot be written: {error.strerror}", WRONG_USE)
    click.echo(f"written to {to}")


def _load(config: Path | None, assignments: tuple[str, ...]) -> Config:
    from pipelines.config import load_config

    return load_config(config, assignments)


def _times(interval: str, window: str, patience: str, silence: str) -> Times:
    from observability.rendering import Times

    return Times(interval=interval, window=window, patience=patience, silence=silence)


def _exporter_arguments(
    config: Path | None, assignments: tuple[str, ...], stack: str | None
) -> tuple[str, ...]:
    given = ["--config", str(config.absolute())] if config is not None else []
    for assignment in assignments:
        given += ["--set", assignment]
    return (*given, *(("--stack", stack) if stack is not None else ()))


def _said(error: ValidationError) -> str:
    first = error.errors()[0]
    name = "--" + str(first["loc"][-1]).replace("_", "-")
    return f"{name} {first['input']!r} cannot be used: {first['msg']}"


if __name__ == "__main__":
    sys.exit(main())

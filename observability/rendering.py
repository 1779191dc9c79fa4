"""Fill in what the files of this folder leave open: addresses, intervals, and the limits of ``configs/``.

The files are those of Prometheus and Alertmanager but for ``${name}``; what is rendered is what they read.
"""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from materializers.blobs import write_file
from materializers.report import Record

if TYPE_CHECKING:
    from pipelines.config import Config

FOLDER = Path(__file__).resolve().parent
RULES = ("recording.yml", "alerts.yml")
PROMETHEUS, ALERTMANAGER = "prometheus.yml", "alertmanager.yml"
DASHBOARDS = FOLDER / "dashboards"
DURATION = r"^[1-9][0-9]*(ms|s|m|h|d)$"


class _Template(string.Template):
    """``${name}`` alone: ``$labels`` is Prometheus' own."""

    pattern = r"\$\{(?P<braced>[a-z][a-z0-9_]*)\}|(?P<escaped>(?!))|(?P<named>(?!))|(?P<invalid>(?!))"  # type: ignore[assignment]


class Times(Record):
    """How often is looked, over how long, and for how long something has to be so."""

    interval: str = Field(default="15s", pattern=DURATION)
    """Between two scrapes, two evaluations of the rules; before a first message."""
    window: str = Field(default="5m", pattern=DURATION)
    """Over which rates and quantiles are formed."""
    patience: str = Field(default="5m", pattern=DURATION)
    """For which a condition holds before it is an alert."""
    silence: str = Field(default="1h", pattern=DURATION)
    """Without a prediction, after which people are told."""


class Addresses(Record):
    """Who talks to whom: ``host:port``, a file of targets, URLs of webhooks."""

    alertmanager: str
    exporter: str
    targets: str
    webhook: str | None = None
    """Gets every alert as Alertmanager's JSON; None: they are only shown."""
    critical_webhook: str | None = None
    """Gets the critical ones in its place."""


def rendered_rules(config: Config, times: Times) -> dict[str, str]:
    """The rules by file name, with the limits that the configuration has."""
    limits = {
        "latency_p99_s": f"{config.monitor.prometheus.latency_p99_ms / 1_000:g}",
        "error_rate": f"{config.monitor.prometheus.error_rate:g}",
        "max_age_days": f"{config.trigger.max_age_days:g}",
    }
    return {name: _fill(f"rules/{name}", {**times.model_dump(), **limits}) for name in RULES}


def rendered_servers(times: Times, addresses: Addresses) -> dict[str, str]:
    """Prometheus' and Alertmanager's own configuration, by file name."""
    values = {
        **times.model_dump(),
        "alertmanager": addresses.alertmanager,
        "exporter": addresses.exporter,
        "targets": addresses.targets,
        "warning": _hooks(addresses.webhook),
        "critical": _hooks(addresses.critical_webhook or addresses.webhook),
    }
    return {name: _fill(name, values) for name in (PROMETHEUS, ALERTMANAGER)}


def write_rendered(folder: Path, files: dict[str, str]) -> bool:
    """Write files into a folder; whether any is new or another one than before."""
    changed = False
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_file(path, text.encode())
            changed = True
    return changed


def copy_dashboards(folder: Path) -> None:
    """Put Grafana's dashboards into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(DASHBOARDS.glob("*.json")):
        shutil.copyfile(path, folder / path.name)


def _hooks(url: str | None) -> str:
    """Alertmanager's ``webhook_configs``: YAML reads JSON."""
    hooks: list[dict[str, Any]] = [] if url is None else [{"url": url, "send_resolved": True}]
    return json.dumps(hooks)


def _fill(name: str, values: dict[str, Any]) -> str:
    return _Template((FOLDER / name).read_text(encoding="utf-8")).substitute(values)

"""What the stub of Kubeflow Pipelines keeps and does: experiments, runs and recurring runs."""

from __future__ import annotations

import json
import re
import secrets
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apscheduler.triggers.cron import CronTrigger

from tests.remote.kubeflow_runs import Executor, KubernetesSecrets, Run, Runner, now
from tests.remote.kubeflow_spec import Task, Unsupported, read_pipeline

Record = dict[str, Any]
KINDS = ("experiments", "runs", "recurringruns")
LISTS = {"experiments": "experiments", "runs": "runs", "recurringruns": "recurringRuns"}
IDS = {"experiments": "experiment_id", "runs": "run_id", "recurringruns": "recurring_run_id"}
ENDED = {"SUCCEEDED", "FAILED", "CANCELED"}
PAGE_SIZE = 20
EQUALS = {1, "EQUALS"}
CRON_FIELDS = ("second", "minute", "hour", "day", "month", "day_of_week")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""Kubeflow's cron begins with seconds, and counts days from Sunday; APScheduler counts them from Monday."""


class ApiError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def cron_trigger(schedule: Mapping[str, Any]) -> CronTrigger:
    """Read a cron schedule as Kubeflow does: six fields, of which the last, the weekday, may be left out.

    Raises:
        ApiError: 400, it is none.
    """
    fields = str(schedule.get("cron", "")).replace("?", "*").split()
    if len(fields) == len(CRON_FIELDS) - 1:
        fields.append("*")
    if len(fields) != len(CRON_FIELDS):
        raise ApiError(400, f"the cron expression {schedule.get('cron')!r} has not 5 or 6 fields")
    fields[-1] = re.sub(r"(?<![/\d])[0-6]", lambda day: WEEKDAYS[int(day[0])], fields[-1])
    bounds = {"start_date": schedule.get("start_time"), "end_date": schedule.get("end_time")}
    try:
        return CronTrigger(**dict(zip(CRON_FIELDS, fields, strict=True)), **bounds, timezone="UTC")
    except ValueError as error:
        raise ApiError(400, f"the cron expression {schedule.get('cron')!r}: {error}") from error


class Kubeflow:
    """What the API acts on: experiments, runs and recurring runs, each a JSON file below ``home``."""

    def __init__(
        self,
        home: Path,
        *,
        executor: Executor,
        kubernetes: KubernetesSecrets | None,
        time_scale: float,
        parallel: int,
    ) -> None:
        self._home = home
        self._lock = threading.RLock()
        self._records: dict[str, dict[str, Record]] = {kind: self._read(kind) for kind in KINDS}
        self._live: dict[str, Run] = {}
        self._due: dict[str, tuple[CronTrigger, datetime | None]] = {}
        self._runner = Runner(
            home,
            executor,
            secrets=kubernetes,
            time_scale=time_scale,
            parallel=parallel,
            changed=self._changed,
        )
        for record in self._records["runs"].values():
            if record["state"] not in ENDED:
                record.update(
                    state="FAILED", finished_at=now(), error=_status("the stub ended before the run")
                )
                self._write("runs", record)
        for record in self._records["recurringruns"].values():
            self._set_due(record)

    def _read(self, kind: str) -> dict[str, Record]:
        (self._home / kind).mkdir(parents=True, exist_ok=True)
        records = [json.loads(path.read_text()) for path in sorted((self._home / kind).glob("*.json"))]
        return {record[IDS[kind]]: record for record in records}

    def _write(self, kind: str, record: Record) -> Record:
        """Keep a record, in a file that only this user reads: a pipeline may hold a token."""
        self._records[kind][record[IDS[kind]]] = record
        path = self._home / kind / f"{record[IDS[kind]]}.json"
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(record, indent=1))
        new.replace(path)
        return record

    def record(self, kind: str, name: str) -> Record:
        """One record.

        Raises:
            ApiError: 404, there is none.
        """
        if name not in self._records[kind]:
            raise ApiError(404, f"{kind} {name} not found")
        return self._records[kind][name]

    def page(self, kind: str, query: Mapping[str, str]) -> Record:
        """One page of the records that a query asks for, oldest first unless it says otherwise."""
        with self._lock:
            found = list(self._records[kind].values())
        if "experiment_id" in query:
            found = [record for record in found if record.get("experiment_id") == query["experiment_id"]]
        for wanted in json.loads(query.get("filter") or "{}").get("predicates", []):
            value = wanted.get("stringValue", wanted.get("string_value"))
            if wanted.get("operation") not in EQUALS or value is None:
                raise ApiError(400, "only filters that ask for an equal string are imitated")
            found = [record for record in found if record.get(wanted["key"]) == value]
        key, _, direction = (query.get("sort_by") or "created_at").partition(" ")
        found.sort(key=lambda record: str(record.get(key, "")), reverse=direction == "desc")
        begin = int(query.get("page_token") or 0)
        end = begin + int(query.get("page_size") or PAGE_SIZE)
        page: Record = {LISTS[kind]: found[begin:end], "total_size": len(found)}
        return page | ({"next_page_token": str(end)} if end < len(found) else {})

    def create_experiment(self, body: Record) -> Record:
        """A new experiment; names are unique."""
        with self._lock:
            if any(
                known["display_name"] == body["display_name"]
                for known in self._records["experiments"].values()
            ):
                raise ApiError(409, f"experiment {body['display_name']} already exists")
            new = {"experiment_id": str(uuid.uuid4()), "created_at": now(), "storage_state": "AVAILABLE"}
            return self._write("experiments", body | new)

    def create_run(self, body: Record) -> Record:
        """Begin a run of the pipeline in the body."""
        self.record("experiments", body.get("experiment_id", ""))
        run = Run(str(uuid.uuid4()), body["display_name"], _tasks(body))
        new = {"run_id": run.run_id, "created_at": now(), "state": run.state, "attempts": []}
        with self._lock:
            record = self._write("runs", body | new)
            self._live[run.run_id] = run
        self._runner.start(run)
        return record

    def terminate_run(self, run_id: str) -> Record:
        """End a run and what it executes."""
        with self._lock:
            record = self.record("runs", run_id)
            if record["state"] in ENDED:
                raise ApiError(400, f"run {run_id} has ended: {record['state']}")
            self._live[run_id].cancelled.set()
            self._write("runs", record | {"state": "CANCELING"})
        return {}

    def create_recurring_run(self, body: Record) -> Record:
        """A recurring run, whose first run begins at the next time of its schedule."""
        self.record("experiments", body.get("experiment_id", ""))
        _tasks(body)
        if "cron_schedule" not in (body.get("trigger") or {}):
            raise ApiError(400, "only cron schedules are imitated")
        cron_trigger(body["trigger"]["cron_schedule"])
        enabled = body.get("mode") == "ENABLE"
        new = {
            "recurring_run_id": str(uuid.uuid4()),
            "created_at": now(),
            "updated_at": now(),
            "status": "ENABLED" if enabled else "DISABLED",
            "fired": 0,
        }
        with self._lock:
            record = self._write("recurringruns", body | new)
            self._set_due(record)
        return record

    def enable(self, name: str, status: str) -> Record:
        """Make a recurring run ``ENABLED`` or ``DISABLED``; what it missed meanwhile is not made up for."""
        with self._lock:
            record = self.record("recurringruns", name)
            mode = status.removesuffix("D")
            changed = {"status": status, "mode": mode, "updated_at": now()}
            self._set_due(self._write("recurringruns", record | changed))
        return {}

    def delete_recurring_run(self, name: str) -> Record:
        """Forget a recurring run; runs that it began go on."""
        with self._lock:
            self.record("recurringruns", name)
            del self._records["recurringruns"][name]
            self._due.pop(name, None)
            (self._home / "recurringruns" / f"{name}.json").unlink()
        return {}

    def fire(self, name: str) -> Record:
        """Begin a run of a recurring run now, with a name of its own; that updates the recurring run."""
        with self._lock:
            record = self.record("recurringruns", name)
            count = record["fired"] + 1
            self._write("recurringruns", record | {"fired": count, "updated_at": now()})
        keys = ("experiment_id", "pipeline_spec", "runtime_config", "service_account")
        run = {key: record[key] for key in keys if key in record}
        title = f"{record['display_name']}-{count}-{secrets.token_hex(4)}"
        return self.create_run(run | {"display_name": title, "recurring_run_id": name})

    def fire_what_is_due(self) -> None:
        """Begin what the clock says; where as many of its runs go on as it allows, once one has ended."""
        for name, (trigger, due) in list(self._due.items()):
            if due is None or due > datetime.now(UTC):
                continue
            with self._lock:
                record = self._records["recurringruns"].get(name, {})
                runs = self._records["runs"].values()
                going = [
                    run for run in runs if run.get("recurring_run_id") == name and run["state"] not in ENDED
                ]
            if record and len(going) < int(record.get("max_concurrency") or 1):
                self._due[name] = (trigger, trigger.get_next_fire_time(None, datetime.now(UTC)))
                self.fire(name)

    def _set_due(self, record: Record) -> None:
        trigger = cron_trigger(record["trigger"]["cron_schedule"])
        due = trigger.get_next_fire_time(None, datetime.now(UTC)) if record["status"] == "ENABLED" else None
        self._due[record["recurring_run_id"]] = (trigger, due)

    def _changed(self, run: Run) -> None:
        with self._lock:
            record = dict(self._records["runs"][run.run_id])
            canceling = run.cancelled.is_set() and run.state not in ENDED
            tasks = [
                {"run_id": run.run_id, "task_id": name, "display_name": name, "state": state}
                for name, state in run.states.items()
            ]
            record.update(
                state="CANCELING" if canceling else run.state,
                run_details={"task_details": tasks},
                attempts=[dict(attempt) for attempt in run.attempts],
            )
            if run.error:
                record["error"] = _status(run.error)
            if run.state in ENDED:
                record["finished_at"] = now()
            self._write("runs", record)

    def close(self) -> None:
        """End all runs."""
        self._runner.close()


def _tasks(body: Record) -> list[Task]:
    try:
        return read_pipeline(body.get("pipeline_spec") or {})
    except Unsupported as error:
        raise ApiError(400, f"this stub does not imitate {error}") from error


def _status(message: str) -> Record:
    return {"code": 13, "message": message, "details": []}

"""The flags of one call of ``run.py``, and the combinations of them that cannot be meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from materializers.errors import UsageError

PIPELINES = ("train", "deploy", "continuous", "infer", "monitor", "reproduce")
PERSONAL = frozenset(
    {"approve", "reject", "approve-change", "forget", "release-brake", "rebase-reference", "set-baseline"}
)
"""What a named person decides."""
MAY_BE_SIGNED = PERSONAL | {"rollback", "stop"}
"""What a person may give name and reason to, for the audit log; without them it is the account's."""
CHANGES_DATA = frozenset({"readmit", "forget", "compact", "collect"})
"""Acts that wait for a run that is going on: it may be about to store what they change."""
WITH_PICTURES = ("predict", "forget")
"""What takes the arguments that stand without a flag."""
NOT_REPEATED = frozenset({"assignments", "schedule", "compile", "stack", "as_json", "photos"})


@dataclass(frozen=True)
class Request:
    """The flags of one call of ``run.py``."""

    train: bool = False
    deploy: bool = False
    observe: bool = False
    continuous: bool = False
    infer: bool = False
    monitor: bool = False
    status: bool = False
    why: str | None = None
    audit: bool = False
    lineage: int | None = None
    predict: bool = False
    stop: bool = False
    rollback: bool = False
    approve: int | None = None
    reject: int | None = None
    approve_change: str | None = None
    release_brake: bool = False
    rebase_reference: bool = False
    set_baseline: int | None = None
    by: str | None = None
    reason: str | None = None
    source: str | None = None
    data: str | None = None
    version: int | None = None
    wait: bool = False
    input: str | None = None
    output: str | None = None
    reproduce: int | None = None
    environment: Literal["staging", "production"] = "staging"
    data_diff: tuple[str, str] | None = None
    forget: bool = False
    readmit: str | None = None
    export_uncertain: str | None = None
    compact: bool = False
    collect: bool = False
    apply: bool = False
    photos: tuple[str, ...] = ()
    """Photographs to ask about, or the ids or paths of pictures to forget."""
    schedule: str | None = None
    schedules: bool = False
    pause: str | None = None
    unschedule: str | None = None
    scheduler: bool = False
    compile: Path | None = None
    config: Path | None = None
    assignments: tuple[str, ...] = field(default=())
    stack: str | None = None
    no_cache: bool = False
    as_json: bool = False

    @property
    def wanted(self) -> list[str]:
        """What is asked for, in the order in which it is done."""
        flags = {
            "approve-change": self.approve_change is not None,
            "release-brake": self.release_brake,
            "train": self.train,
            "approve": self.approve is not None,
            "reject": self.reject is not None,
            "deploy": self.deploy,
            "observe": self.observe,
            "continuous": self.continuous,
            "infer": self.infer,
            "monitor": self.monitor,
            "reproduce": self.reproduce is not None,
            "rollback": self.rollback,
            "rebase-reference": self.rebase_reference,
            "set-baseline": self.set_baseline is not None,
            "readmit": self.readmit is not None,
            "forget": self.forget,
            "compact": self.compact,
            "collect": self.collect,
            "data-diff": self.data_diff is not None,
            "export-uncertain": self.export_uncertain is not None,
            "predict": self.predict,
            "status": self.status,
            "why": self.why is not None,
            "audit": self.audit,
            "lineage": self.lineage is not None,
            "stop": self.stop,
            "pause": self.pause is not None,
            "unschedule": self.unschedule is not None,
            "schedules": self.schedules,
            "scheduler": self.scheduler,
        }
        return [name for name, asked in flags.items() if asked]

    @property
    def repeated(self) -> tuple[str, ...]:
        """The arguments of run.py that ask for the same without a schedule, on whichever stack is active."""
        arguments: list[str] = []
        for name, given in vars(self).items():
            if name in NOT_REPEATED or given in (None, False, ()):
                continue
            flag = f"--{name.replace('_', '-')}"
            arguments += [flag] if given is True else [flag, str(given)]
        for assignment in self.assignments:
            arguments += ["--set", assignment]
        return tuple(arguments)

    @property
    def look(self) -> tuple[str, ...]:
        """The arguments that look once at what this call leaves rolling out, but for ``--environment``."""
        arguments = ["--observe", *(["--config", str(self.config)] if self.config is not None else [])]
        for assignment in self.assignments:
            arguments += ["--set", assignment]
        return tuple(arguments)


def check_flags(request: Request) -> None:
    """Refuse combinations that cannot be meant.

    Raises:
        UsageError: naming the flag that is missing or too much.
    """
    _check_text(request)
    if not request.wanted:
        raise UsageError("Nothing was asked for: python run.py --help")
    if request.train or request.continuous:
        if (request.source is None) == (request.data is None):
            raise UsageError("--train and --continuous take one of --source PATH and --data VERSION")
    elif request.source is not None or request.data is not None:
        raise UsageError("--source and --data go with --train or --continuous")
    if request.infer and (request.input is None or request.output is None):
        raise UsageError("--infer takes --input FOLDER and --output FILE.parquet")
    if not request.infer and (request.input is not None or request.output is not None):
        raise UsageError("--input and --output go with --infer")
    if request.version is not None and not request.deploy:
        raise UsageError("--version goes with --deploy")
    if request.apply and not (request.collect or request.schedules):
        raise UsageError(
            "--apply goes with --collect or --schedules: without it, they only show what they would do"
        )
    changing = [f"--{name}" for name in request.wanted if name in CHANGES_DATA]
    if request.data_diff is not None and changing:
        raise UsageError(
            f"--data-diff and {' and '.join(changing)} do not go together: one looks at stored versions, "
            "the other changes what is stored. Ask for one after the other"
        )
    _check_one_delivery(request)
    _check_decision(request)
    _check_photos(request)
    _check_schedule(request)


def _check_one_delivery(request: Request) -> None:
    from materializers.watched import is_watched

    if request.train and request.source is not None and is_watched(request.source):
        raise UsageError(
            f"--source {request.source!r} is a place with deliveries in it, which --continuous takes "
            "one after another; --train takes one delivery"
        )


def _check_schedule(request: Request) -> None:
    if request.wait and not (request.deploy or request.observe):
        raise UsageError("--wait goes with --deploy or --observe")
    if request.scheduler and request.wanted != ["scheduler"]:
        raise UsageError("--scheduler goes alone: it runs until it is ended")
    asked = {"--schedule": request.schedule, "--compile": request.compile}
    instead = [flag for flag, value in asked.items() if value is not None]
    if instead and request.wait:
        raise UsageError(
            f"--wait and {instead[0]} do not go together: nothing rolls out that could be waited for"
        )
    if len(instead) > 1:
        raise UsageError("--schedule and --compile do not go together: one keeps a pipeline, one only looks")
    if instead and (len(request.wanted) != 1 or request.wanted[0] not in PIPELINES):
        raise UsageError(
            f"{instead[0]} goes with exactly one of {', '.join(f'--{name}' for name in PIPELINES)}"
        )
    if request.schedule is not None:
        from materializers.schedule import check_cron

        check_cron(request.schedule)


def _check_text(request: Request) -> None:
    """Everything given is kept as text, in the registry or in a run: it has to be some."""
    given = [value for value in vars(request).values() if isinstance(value, str | Path)]
    for value in (*given, *request.assignments, *request.photos):
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{str(value)!r} is not UTF-8: rename it, or write it in UTF-8") from error


def _check_decision(request: Request) -> None:
    decided = PERSONAL.intersection(request.wanted)
    given = {"--by WHO": request.by, '--reason "…"': request.reason}
    missing = [flag for flag, value in given.items() if not (value or "").strip()]
    if decided and missing:
        raise UsageError(f"A decision is a named person's: give {' and '.join(missing)}")
    told = MAY_BE_SIGNED.intersection(request.wanted)
    if not told and (request.by is not None or request.reason is not None):
        *flags, last = (f"--{name}" for name in sorted(MAY_BE_SIGNED))
        raise UsageError(f"--by and --reason go with {', '.join(flags)} or {last}")


def _check_photos(request: Request) -> None:
    if request.predict and request.forget:
        raise UsageError("--predict and --forget do not go together: both take pictures")
    if request.photos and not {*WITH_PICTURES}.intersection(request.wanted):
        if request.source is not None:
            raise UsageError(
                f"Unexpected argument {request.photos[0]!r}: --source takes one address; a watched place is "
                "written in quotation marks, --source 'PATH/*', so that the shell leaves it as it is"
            )
        raise UsageError(
            f"Unexpected argument {request.photos[0]!r}: photographs go with --predict, ids and paths with "
            "--forget"
        )
    if request.forget and not request.photos:
        raise UsageError(
            'Which pictures? python run.py --forget ID|PATH … --by WHO --reason "…": the path as it was '
            "delivered, such as images/a.jpg, or the id, as the page of a quarantine shows it"
        )
    if request.predict and not request.photos:
        raise UsageError("--predict takes photographs: python run.py --predict photo.jpg")
    for photo in request.photos if request.predict else ():
        if not Path(photo).is_file():
            raise UsageError(f"There is no photograph at {photo}")

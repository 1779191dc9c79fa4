"""Read a delivery, or fetch a stored version, and join it to what was there.

Whatever asks the world is asked here, once: the clock, the model's last runs, what was erased.
"""

import logging
from datetime import UTC, datetime
from typing import Annotated

from zenml import step

from materializers.data_report import Check, Screening
from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset
from materializers.quarantine import Quarantine
from materializers.splits import Splits
from materializers.watched import is_watched
from steps.data.checks.delivery_drift import DriftSettings
from steps.data.checks.freshness import FreshnessSettings, check_freshness
from steps.data.checks.judging import not_assessed
from steps.data.checks.limits import CheckLimit
from steps.data.class_changes import NO_CHANGES, ClassChanges
from steps.data.intake import IngestSettings, Intake, take_delivery, take_stored, tell_left_behind
from steps.data.parent import Past, first_stored_at, past_of
from steps.data.personal_data.settings import PersonalDataSettings
from steps.data.take_watched import take_watched
from steps.data.validate import ValidateSettings
from steps.monitoring.alerts.late_delivery import tell_late_delivery
from steps.past_runs import wait_for_earlier

logger = logging.getLogger("shutterline")

USUAL_AGE, USUAL_DRIFT = FreshnessSettings(), DriftSettings()
USUAL_POLICY = PersonalDataSettings()
USUAL_CHECKS = ValidateSettings()


def unreadable_past(past: Past) -> list[Check]:
    """Say in the log and in the report what of a model's past cannot be read, so that it is done without."""
    for damage in past.damages.values():
        logger.warning("%s", damage)
    bound = CheckLimit(limit=0, severity="warn")
    return [not_assessed(f"previous_{name}", bound, damage) for name, damage in past.damages.items()]


@step(enable_cache=False)
def ingest(
    model_name: str,
    source_name: str,
    settings: IngestSettings,
    source: str | None = None,
    data_version: str | None = None,
    join_parent: bool = False,
    classes: list[str] | None = None,
    class_changes: ClassChanges = NO_CHANGES,
    freshness: FreshnessSettings = USUAL_AGE,
    drift: DriftSettings = USUAL_DRIFT,
    personal_data: PersonalDataSettings = USUAL_POLICY,
    checks: ValidateSettings = USUAL_CHECKS,
) -> tuple[
    Annotated[ImageDataset, "delivery"],
    Annotated[Screening, "screening"],
    Annotated[Quarantine, "quarantine"],
    Annotated[ImageDataset | None, "previous_dataset"],
    Annotated[Splits | None, "previous_splits"],
]:
    """Read ``source`` or fetch ``data_version``; join it to the model's last accepted dataset if asked.

    Of a watched place each delivery is held to ``checks`` by itself, as far as that can be, before it joins.

    Raises:
        UsageError: not exactly one of the two is given, or it cannot be used.
        Refused: an earlier run that joins as well goes on for too long.
        ServiceUnreachable: the bucket does not answer.
        DamagedArtifact: the stored version, or what it is joined to, cannot be read.
    """
    if (source is None) == (data_version is None):
        raise UsageError("Give either a source or a stored version: --source PATH, or --data VERSION.")
    if join_parent:
        wait_for_earlier(model_name, patience_s=settings.earlier_run_s)
    now, past = datetime.now(UTC), past_of(model_name, joined=join_parent)
    previous = past.dataset
    parent = previous if join_parent else None
    intake = Intake(
        model_name, source_name, settings, classes, class_changes, drift, personal_data, past, parent
    )
    if source is None:
        taken = take_stored(str(data_version), intake)
    elif is_watched(source):
        taken = take_watched(source, intake, checks, now=now)
    else:
        taken = take_delivery(source, intake, now=now)
    dataset = taken.dataset
    last_delivery_at = None if past.version is None else first_stored_at(past.version)
    found = taken.checks + check_freshness(
        dataset.index, freshness, now=now, arrived_at=taken.arrived_at, last_delivery_at=last_delivery_at
    )
    found += unreadable_past(past)
    tell_late_delivery(found, model_name, source_name, now=now)
    if not join_parent:
        tell_left_behind(dataset, previous, source)
    screening = taken.screening.model_copy(update={"checks": tuple(found)})
    # On the same data nothing is compared: what was found in it before is taken from the cache.
    compared = None if previous is None or previous.version == dataset.version else previous
    return dataset, screening, taken.quarantine, compared, past.splits

"""The runs of a pipeline for one model, as ZenML lists them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

PAGE_SIZE = 100


def past_runs(model_name: str, pipeline: str, *, since: datetime) -> Iterator[PipelineRunResponse]:
    """Those that were created since then, with their steps, the newest first.

    Args:
        model_name: the registered model.
        pipeline: its name.
        since: the first moment, with its time zone.
    """
    from zenml.client import Client

    number, pages = 1, 1
    while number <= pages:
        page = Client().list_pipeline_runs(
            tags=f"model:{model_name}",
            pipeline_name=pipeline,
            created=f"gte:{since.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            sort_by="desc:created",
            page=number,
            size=PAGE_SIZE,
            hydrate=True,
        )
        yield from page.items
        number, pages = number + 1, page.total_pages

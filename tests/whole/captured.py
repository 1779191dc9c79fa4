"""Requests to a model over HTTP, and what its services captured of them, as the artifact store has it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from serving.capture_layout import CAPTURES, folder_of, folder_of_hour, part_name, to_parquet
from serving.launching import PREDICTIONS
from tests.whole.shop import Shop

RAW = {"content-type": "application/octet-stream"}


@dataclass
class Traffic:
    """What users send to an environment of a shop, and what they got.

    Args:
        shop: whose.
        environment: where.
        pictures: encoded pictures, in turn.
        answers: one row a request, as it is captured.
    """

    shop: Shop
    environment: str
    pictures: list[bytes]
    answers: list[dict[str, Any]] = field(default_factory=list)

    def send(self, n: int) -> dict[str, int]:
        """Send n requests one after another; how many each version answered. All have to be answered."""
        digests = {str(number): tags["model_digest"] for number, tags in self.shop.versions().items()}
        counts: dict[str, int] = {}
        with httpx.Client(trust_env=False, timeout=30) as client:
            for number in range(n):
                picture = self.pictures[number % len(self.pictures)]
                at, begun = datetime.now(UTC), time.perf_counter()
                url = f"{self.shop.url(self.environment)}{PREDICTIONS}"
                data = client.post(url, content=picture, headers=RAW).raise_for_status().json()["jsonData"]
                version, (answer,) = str(data["model_version"]), data["predictions"]
                counts[version] = counts.get(version, 0) + 1
                self.answers.append(
                    {
                        "request_id": data["request_id"],
                        "position": 0,
                        "at": at,
                        "latency_ms": (time.perf_counter() - begun) * 1000,
                        "model_name": self.shop.model,
                        "model_version": version,
                        "model_digest": digests[version],
                        "status": 200,
                        "label": answer["label"],
                        "probability": answer["probability"],
                        "abstained": answer["abstained"],
                    }
                )
        return counts

    def capture(self, **changed: Any) -> None:
        """Store what was answered so far, as the shipper does.

        Args:
            changed: other values of the rows of one version, which ``model_version`` names.
        """
        of = changed.pop("model_version", None)
        rows = [row | changed if row["model_version"] == of else row for row in self.answers]
        content = to_parquet(CAPTURES, rows)
        place = folder_of(CAPTURES, self.environment, self.shop.model)
        folder = store_folder() / place / folder_of_hour(rows[0]["at"])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / part_name(hashlib.sha256(content).hexdigest(), pictures=False)).write_bytes(content)
        self.answers.clear()


def store_folder() -> Path:
    """The root of the local stack's artifact store."""
    from zenml.client import Client

    return Path(Client().active_stack.artifact_store.path)

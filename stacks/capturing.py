"""What a model deployer is told of what its services keep of their traffic; see docs/captures.md."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from zenml.model_deployers.base_model_deployer import BaseModelDeployerConfig

from serving.capture_options import (
    DEFAULT_FLUSH_S,
    DEFAULT_PICTURES,
    LONGEST_S,
    SHORTEST_S,
    CaptureSettings,
)
from serving.spool import DEFAULT_LIMIT_BYTES, DEFAULT_ROTATE_S


class CapturingModelDeployerConfig(BaseModelDeployerConfig):
    """The settings of a model deployer whose services capture.

    Attributes:
        capture: whether services keep what they are asked and answer.
        capture_pictures: share of the requests whose pictures are kept, less their metadata.
        capture_embeddings: whether embeddings are kept.
        capture_flush_s: how long what was answered may stay in memory; a kill -9 loses that.
        capture_rotate_s: how long a file of the spool is written before it is shipped.
        capture_limit_bytes: of the spool of a model in an environment; beyond it the oldest is dropped.
    """

    capture: bool = True
    capture_pictures: float = Field(default=DEFAULT_PICTURES, ge=0, le=1, allow_inf_nan=False)
    capture_embeddings: bool = True
    capture_flush_s: float = Field(default=DEFAULT_FLUSH_S, ge=SHORTEST_S, le=LONGEST_S)
    capture_rotate_s: float = Field(default=DEFAULT_ROTATE_S, ge=SHORTEST_S, le=LONGEST_S)
    capture_limit_bytes: int = Field(default=DEFAULT_LIMIT_BYTES, ge=1)

    def capture_settings(self, environment: str, spool: Path) -> CaptureSettings | None:
        """What a service of an environment keeps of its traffic, and in which spool; None: nothing."""
        if not self.capture:
            return None
        return CaptureSettings(
            spool=spool,
            environment=environment,
            pictures=self.capture_pictures,
            embeddings=self.capture_embeddings,
            flush_s=self.capture_flush_s,
            rotate_s=self.capture_rotate_s,
            limit_bytes=self.capture_limit_bytes,
        )

"""How a model and its libraries are examined for what could do harm."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from materializers.report import Record
from steps.evaluation.security.accepted import AcceptedAdvisory, refuse_duplicates
from steps.evaluation.security.scan import STANDARD_DOMAINS

LOCKS = ("requirements.lock", "serving/requirements.lock", "serving/mlserver/requirements.lock")
"""Of every environment that a model is made or served in: the pipelines', the microservice's, MLServer's."""


class SecuritySettings(Record):
    """What may be in a model, and what is asked of whom about its libraries."""

    operator_domains: tuple[str, ...] = STANDARD_DOMAINS
    """Domains of ONNX operators that a model may use: those that onnxruntime has without another library."""
    largest_model_mb: int = Field(default=2048, ge=1, le=1_048_576)
    """MiB of ``model.onnx``."""
    locks: tuple[str, ...] = Field(default=LOCKS, min_length=1)
    """The lock files, relative to the project."""
    accepted: tuple[AcceptedAdvisory, ...] = ()
    """The reviewed list of advisories that do no harm here; any other one counts."""
    audit_advisories: bool = True
    """Whether pip-audit is asked; one request for each locked package, some hundreds."""
    advisory_source: Literal["pypi", "osv"] = "pypi"
    """Whom pip-audit asks: pypi.org or api.osv.dev."""
    audit_timeout_s: float = Field(default=300.0, gt=0, le=3600)
    """Seconds for each lock file."""
    audit_again_after_hours: float = Field(default=24.0, ge=0, le=168)
    """An audit of the same lock files that is younger is taken as it is."""
    oldest_audit_days: float = Field(default=7.0, gt=0, le=7)
    """An older audit does not count."""

    @field_validator("accepted")
    @classmethod
    def _each_once(cls, accepted: tuple[AcceptedAdvisory, ...]) -> tuple[AcceptedAdvisory, ...]:
        refuse_duplicates(accepted)
        return accepted

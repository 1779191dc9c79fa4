"""What is asked about a model's libraries, and what a configuration of it must not say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.config import load_config
from stacks.environments import ENVIRONMENTS
from steps.evaluation.security.settings import SecuritySettings

ACCEPTED = {"id": "CVE-2020-1", "package": "a", "reason": "not reachable", "expires": "2030-01-01"}


@pytest.mark.parametrize("settings", [SecuritySettings(), load_config(None, ()).evaluate.security])
def test_every_environment_and_onnx_alone_are_the_default(settings: SecuritySettings) -> None:
    """What each environment of the project is built from, standard operators, an audit of a week at most."""
    assert settings.locks == tuple(environment.lock for environment in ENVIRONMENTS)
    assert settings.operator_domains == ("", "ai.onnx", "ai.onnx.ml")
    assert settings.oldest_audit_days == 7


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"locks": []}, "locks"),
        ({"oldest_audit_days": 8}, "oldest_audit_days"),
        ({"audit_again_after_hours": 200}, "audit_again_after_hours"),
        ({"advisory_source": "rumours"}, "'pypi' or 'osv'"),
        ({"accepted": [{**ACCEPTED, "reason": ""}]}, "reason"),
        ({"accepted": [{**ACCEPTED, "expires": "soon"}]}, "expires"),
        ({"accepted": [ACCEPTED, ACCEPTED]}, "CVE-2020-1"),
        ({"lock": ["requirements.lock"]}, "Extra inputs"),
    ],
)
def test_what_would_examine_less_than_it_says_is_refused(given: dict[str, Any], said: str) -> None:
    """No library at all, an audit older than the product allows, an acceptance without a reason."""
    with pytest.raises(ValidationError, match=said):
        SecuritySettings.model_validate(given)

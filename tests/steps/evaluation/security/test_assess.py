"""The section holds what was scanned and what is known of the libraries, and decides nothing by itself."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import numpy as np
import pytest

from materializers.classifier import Classifier
from materializers.evaluation.security import AdvisoryAudit
from serving.predictor import Predictor
from steps.evaluation.examined import Examined
from steps.evaluation.security.assess import assess_directory, assess_security, bills_of_materials
from steps.evaluation.security.locks import lock_digests
from steps.evaluation.security.settings import SecuritySettings
from tests.steps.training.examples import dataset, trained

TODAY = datetime.now(UTC)
SETTINGS = SecuritySettings(locks=("serving/requirements.lock",))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A model that training exported."""
    return trained(tmp_path_factory.mktemp("model"))


def clean_audit() -> AdvisoryAudit:
    """An audit of today that found nothing."""
    return AdvisoryAudit(at=TODAY, source="pypi", locks=lock_digests(SETTINGS.locks), packages=45)


def values(classifier: Classifier, audit: AdvisoryAudit | None) -> dict[str, float | None]:
    """The numbers that the gate is given."""
    section = assess_directory(classifier.serving_directory, SETTINGS, audit=audit)
    return {each.metric: each.value.value if each.value else None for each in section.measured()}


def test_a_clean_model_with_a_clean_audit_has_zeros(classifier: Classifier) -> None:
    """Of its signature nothing: the gate signs after its verdict."""
    assert values(classifier, clean_audit()) == {
        "unexpected_files": 0.0,
        "unlisted_advisories": 0.0,
    }


def test_an_examined_model_has_the_section_and_no_pictures(classifier: Classifier) -> None:
    """Of the directory that is served, whatever pictures it was examined on."""
    examined = Examined(
        classifier=classifier,
        predictor=Predictor.load(classifier.serving_directory),
        dataset=dataset(),
        image_ids=(),
        true=np.array([], np.int64),
        predicted=np.array([], np.int64),
        probabilities=np.zeros((0, 3)),
    )
    section, pictures = assess_security(examined, SETTINGS, audit=clean_audit())
    assert section == assess_directory(classifier.serving_directory, SETTINGS, audit=clean_audit())
    assert pictures == {}


def test_an_audit_that_was_not_run_leaves_the_scan_as_it_is(classifier: Classifier) -> None:
    """One part that cannot be assessed takes no other with it."""
    audit = clean_audit().model_copy(update={"not_run": "not run: no network"})
    found = values(classifier, audit)
    assert (found["unexpected_files"], found["unlisted_advisories"]) == (0.0, None)


def test_the_bills_are_named_after_their_lock_files(classifier: Classifier) -> None:
    """The report keeps their digests; a bill of other libraries than it names is nobody's."""
    section = assess_directory(classifier.serving_directory, SETTINGS, audit=clean_audit())
    (bill,) = section.bills
    assert bill.lock_digest == lock_digests(SETTINGS.locks)["serving/requirements.lock"]
    (name, text), *_ = bills_of_materials(section.bills).items()
    assert (name, hashlib.sha256(text).hexdigest()) == (
        "serving-requirements.lock.cdx.json",
        bill.sbom_digest,
    )
    assert bills_of_materials([bill.model_copy(update={"lock_digest": "0" * 64})]) == {}


def test_without_its_lock_files_the_model_is_still_scanned(classifier: Classifier) -> None:
    """Such as in an image that was built without them: no bill, no audit, and why."""
    settings = SecuritySettings(locks=("none.lock",))
    section = assess_directory(classifier.serving_directory, settings, audit=clean_audit())
    assert (section.bills, section.files, section.unexpected) == ((), 2, ())
    assert str(section.advisories_not_assessed).startswith("a lock file cannot be read")

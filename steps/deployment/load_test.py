"""Judge the rules of serving again, on the release that really answers in staging."""

from __future__ import annotations

from materializers.errors import DamagedArtifact, Refused
from materializers.evaluation.cost import Cost
from materializers.evaluation.metric import Measured
from materializers.evidence import read_version, run_output
from materializers.image_dataset import ImageDataset
from materializers.load_test import LoadTest
from materializers.release import Release
from materializers.splits import TEST, Splits
from materializers.verdict import derive_outcome
from steps.deployment.deployer import active_deployer
from steps.evaluation.cost.settings import CostSettings
from steps.evaluation.gate import apply_policy
from steps.evaluation.policy import Policy

RULES = tuple(measured.metric for measured in Cost().measured())
"""Every metric of what serving costs. What an address does not show is listed, with the reason."""


def put_under_load(applied: Release, policy: Policy, settings: CostSettings) -> LoadTest | None:
    """Measure a release by its URL and judge what the policy says of serving.

    Args:
        applied: live in its environment.
        policy: the rules.
        settings: how much is sent; ``requests`` of 0: nothing.

    Returns:
        None where nothing is measured, or no rule is about it.

    Raises:
        ServiceUnreachable: the registry or the artifact store cannot be read.
    """
    deployer = active_deployer()
    settings = settings.scaled(deployer.scaling("production"))
    rules = {name: rule for name, rule in policy.rules.items() if rule.metric in RULES}
    arm, url = applied.candidate, applied.url
    if not settings.requests or not rules or arm is None or url is None:
        return None
    from steps.evaluation.cost.assess import measure_service

    with deployer.connect(applied) as client:
        authorization = client.headers.get("authorization")
    sent = stored_pictures(applied, settings.pictures)
    cost, pictures = measure_service(url, sent, settings, authorization=authorization)
    found: dict[str, list[Measured]] = {}
    for measured in cost.measured():
        found.setdefault(measured.metric, []).append(measured)
    results = apply_policy(policy.model_copy(update={"rules": rules}), found)
    required = any(result.requirement == "required" for result in results)
    report = LoadTest(
        model_name=applied.model_name,
        version=arm.version,
        model=arm.model_digest,
        environment=applied.environment,
        url=url,
        outcome=derive_outcome(results) if required else "passed",
        rules=results,
        cost=cost,
    )
    return report.with_pictures(pictures)


def stored_pictures(applied: Release, count: int) -> list[bytes]:
    """Test pictures of the version that is released, as they are stored.

    Args:
        applied: the release.
        count: how many at most.

    Raises:
        Refused: they are gone.
    """
    version = applied.candidate.version if applied.candidate else 0
    entry = read_version(applied.model_name, version)
    dataset: ImageDataset = run_output(entry.run_id, "dataset")
    splits: Splits = run_output(entry.run_id, "splits")
    known = set(dataset.index["image_id"])
    image_ids = [image_id for image_id in splits.image_ids(TEST) if image_id in known][:count]
    if not image_ids:
        raise Refused(
            f"Version {version} has no test picture left to be asked about: train again: python "
            "run.py --train"
        )
    try:
        return list(dataset.pictures(image_ids))
    except DamagedArtifact as error:
        raise Refused(f"The test pictures of version {version} cannot be read: {error}") from error

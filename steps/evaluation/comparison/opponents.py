"""The versions that a model is compared with: what is in production, and the anchor that does not move."""

from __future__ import annotations

from collections.abc import Sequence

from materializers.audit_entry import Act, AuditEntry
from materializers.audit_log import read_log
from materializers.errors import DamagedArtifact, Refused
from materializers.evidence import RegisteredVersion, run_output, was_live_tag
from materializers.splits import Splits
from steps.deployment.deployer import active_deployer
from steps.evaluation.comparison.settings import Anchor
from steps.registry.aliases import CHAMPION

RELEASES: tuple[Act, ...] = ("release", "rollback")


def find_champion(model_name: str, versions: Sequence[RegisteredVersion]) -> RegisteredVersion | None:
    """The version that is in production by the registry; None where none ever was.

    Raises:
        Refused: a version was in production, by the registry or the audit log, and the registry does not say
            which is now.
        ServiceUnreachable: the audit log cannot be read.
    """
    named = next((entry for entry in versions if CHAMPION in entry.aliases), None)
    if named is not None:
        return named
    if lost := _were_live(versions):
        raise Refused(
            f"Version {lost[0].version} was in production, but the registry's alias {CHAMPION!r} names none: "
            "put the alias back, or: python run.py --status"
        )
    released = [entry.subject["version"] for entry in releases_to_production(model_name)]
    if released:
        raise Refused(
            f"Version {released[-1]} was released to production by the audit log, and the registry knows of "
            "none: put the registry back, or: python run.py --audit"
        )
    return None


def find_anchor(
    model_name: str, versions: Sequence[RegisteredVersion], which: Anchor
) -> RegisteredVersion | None:
    """The version that small losses are summed up against; None where none was ever in production.

    What went to production is what the audit log says, which nobody edits unseen.

    Args:
        model_name: the registered model.
        versions: of the model.
        which: the first that went to production, or the one of them whose accuracy was best then.

    Raises:
        Refused: the log cannot be trusted, or the registry has lost what it names.
        ServiceUnreachable: the audit log cannot be read.
    """
    known = {str(entry.version): entry for entry in versions}
    named = (entry.subject["version"] for entry in releases_to_production(model_name))
    released = [known[version] for version in named if version in known]
    if not released:
        return None
    if which == "first":
        return released[0]
    return max(released, key=lambda entry: (float(entry.tag("accuracy")), -entry.version))


def splits_of(entry: RegisteredVersion) -> Splits:
    """The splits that a version learnt from, as they are stored now.

    Raises:
        DamagedArtifact: they are not what was registered.
        Refused: they are gone, or its entry was altered.
    """
    splits: Splits = run_output(entry.run_id, "splits")
    if splits.digest != entry.tag("splits_digest"):
        raise DamagedArtifact(
            f"The splits of version {entry.version} are not those that it learnt from: nobody can tell which "
            "pictures it knows. Put the previous release back: python run.py --rollback"
        )
    return splits


def releases_to_production(model_name: str) -> list[AuditEntry]:
    """The audit log's entries of what went to production, the first one first, each as often as it did.

    Raises:
        Refused: an entry of a release cannot be read, or was not signed by who is said to have acted.
    """
    wanted, found = {"model": model_name, "environment": "production"}, list[AuditEntry]()
    trusted = active_deployer().trusted_keys()
    for act in RELEASES:
        for logged in read_log(act):
            if logged.entry is None:
                raise Refused(
                    f"Entry {logged.version} of the audit log cannot be read ({logged.fault}): nobody can "
                    "tell what was in production. See python run.py --audit"
                )
            if wanted.items() <= logged.entry.subject.items():
                logged.entry.verify_signature(trusted)
                found.append(logged.entry)
    return sorted(found, key=lambda entry: entry.number)


def _were_live(versions: Sequence[RegisteredVersion]) -> list[RegisteredVersion]:
    return [entry for entry in versions if entry.tags.get(was_live_tag("production")) == "true"]

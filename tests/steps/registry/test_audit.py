"""The audit log on a real ZenML store: no number twice, no gap, whoever races and whoever is killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sqlmodel import Session, col, update
from zenml import save_artifact
from zenml.client import Client
from zenml.config.global_config import GlobalConfiguration
from zenml.zen_stores.schemas import ArtifactVersionSchema

from benchmarks.warm import PROJECT
from materializers.audit_entry import Head, LoggedEntry, verify_chain
from materializers.audit_log import log_name, read_log, sound_entries
from materializers.errors import Refused, UsageError
from materializers.signatures import ACTOR_KEY, PrivateKey, make_key_pair
from steps.registry import audit
from steps.registry.audit import read_head, record, require_entry, verify_log
from tests.keys import ACTOR, TRUSTED

RACERS, ENTRIES = 4, 3
SUBJECT = {"model": "shop", "version": "3"}


def released(version: int, **known: Any) -> int | None:
    """Append that a version was released; the entry's number."""
    entry = record("release", SUBJECT | {"version": str(version)}, by="Ada", reason="it passed", **known)
    return None if entry is None else entry.number


def stored(artifacts: Path) -> list[Path]:
    """The folders of entries that lie in the artifact store."""
    return sorted(file.parent for file in artifacts.rglob("report.json"))


def delete(number: int) -> None:
    """Remove an entry from ZenML's database, as who can write to it could."""
    page = Client().list_artifact_versions(artifact=log_name(), version=str(number))
    Client().zen_store.delete_artifact_version(page.items[0].id)


def created(number: int, at: datetime) -> None:
    """Have ZenML's store say that it took an entry then."""
    with Session(Client().zen_store.engine) as session:  # type: ignore[attr-defined]
        statement = update(ArtifactVersionSchema).where(col(ArtifactVersionSchema.version) == str(number))
        of_log = col(ArtifactVersionSchema.artifact_id) == Client().get_artifact(log_name()).id
        session.execute(statement.where(of_log).values(created=at.replace(tzinfo=None)))
        session.commit()


def test_what_is_recorded_is_read_back_whole(artifacts: Path, tracker: MlflowClient) -> None:
    """Numbered from one, chained, signed by the account that is logged in, with who, what and why."""
    assert [released(version) for version in (1, 2, 3)] == [1, 2, 3]
    entries, findings = verify_log(TRUSTED)
    assert findings == []
    assert [entry.previous for entry in entries] == [None, entries[0].digest, entries[1].digest]
    last = entries[-1]
    assert (last.act, last.actor, last.by, last.reason) == ("release", "default", "Ada", "it passed")
    assert last.subject == SUBJECT | {"version": "3"}
    assert read_head() == Head(number=3, entry=last.digest)


def test_an_empty_log_is_whole(artifacts: Path, tracker: MlflowClient) -> None:
    """Nothing was logged, nothing is missing."""
    assert verify_log(TRUSTED) == ([], [])


def test_each_artifact_store_has_a_log_of_its_own(
    artifacts: Path, zenml_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stacks that share a ZenML store do not write into each other's log."""
    name = log_name()
    other = zenml_client.get_stack("default", allow_name_prefix_match=False)
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", str(other.id))
    assert log_name() != name


def test_without_a_key_nothing_is_recorded(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that nobody signed is none."""
    monkeypatch.delenv(ACTOR_KEY)
    with pytest.raises(UsageError, match=ACTOR_KEY):
        released(1)
    assert (read_log(), stored(artifacts)) == ([], [])


def test_a_retry_records_nothing_twice(artifacts: Path, tracker: MlflowClient) -> None:
    """With ``once`` the same act on the same subject has one entry; without, each time one."""
    assert [released(1, once=True), released(1, once=True), released(2, once=True)] == [1, None, 2]
    assert released(1) == 3


def test_a_retry_is_looked_for_since_its_run_began_alone(artifacts: Path, tracker: MlflowClient) -> None:
    """By clocks that differ by hours; what was long before cannot be of the same run."""
    now = datetime.now(UTC)
    assert [released(1, once=True), released(1, once=True, since=now + timedelta(hours=3))] == [1, None]
    created(1, now - timedelta(days=40))
    assert released(1, once=True, since=now) == 2


def test_a_number_that_another_took_meanwhile_is_not_taken(
    artifacts: Path, tracker: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lost takes the next number, and leaves nothing of the attempt in the store."""
    real, raced = audit._last, iter([True])

    def last_of_a_moment_ago() -> object:
        found = real()
        if next(raced, False):
            released(1)
        return found

    monkeypatch.setattr(audit, "_last", last_of_a_moment_ago)
    assert released(2) == 2
    assert verify_log(TRUSTED)[1] == []
    assert len(stored(artifacts)) == 2


def test_a_claim_whose_answer_was_lost_is_ours(
    artifacts: Path, tracker: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZenML's client asks a server again that did not answer, and is told that the number is taken: by us."""
    real = type(Client().zen_store).create_artifact_version

    def asked_twice(self: Any, artifact_version: Any) -> Any:
        real(self, artifact_version)
        return real(self, artifact_version)

    monkeypatch.setattr(type(Client().zen_store), "create_artifact_version", asked_twice)
    assert [released(1), released(2)] == [1, 2]
    assert verify_log(TRUSTED)[1] == []
    assert len(stored(artifacts)) == 2


def own_configuration(folder: Path) -> dict[str, str]:
    """The environment of another process of the same store; ZenML's configuration is not read atomically."""
    config = GlobalConfiguration()
    left_out = shutil.ignore_patterns("local_stores", "shutterline*")
    shutil.copytree(config.config_directory, folder / "zenml", ignore=left_out)
    (folder / "repository" / ".zen").mkdir(parents=True)
    return os.environ | {
        "ZENML_CONFIG_PATH": str(folder / "zenml"),
        "ZENML_REPOSITORY_PATH": str(folder / "repository"),
        "ZENML_STORE_TYPE": "sql",
        "ZENML_STORE_URL": str(config.store_configuration.url),
    }


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A process that waits to append."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.steps.registry.audit_process", *arguments],
        cwd=PROJECT,
        env=own_configuration(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_race_leave_a_chain_without_gaps(artifacts: Path, tmp_path: Path) -> None:
    """Each gets its numbers, no number goes twice, and every entry follows the one before."""
    racers = [start(tmp_path / f"racer-{number}", str(ENTRIES)) for number in range(RACERS)]
    got: list[int] = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        got += json.loads(racer.communicate()[0])
        assert racer.returncode == 0
    assert sorted(got) == list(range(1, RACERS * ENTRIES + 1))
    logged = read_log()
    assert verify_chain(logged, TRUSTED, end_of(logged)) == []
    assert len(stored(artifacts)) == RACERS * ENTRIES


def end_of(logged: list[LoggedEntry]) -> Head:
    """The end as a tracker would have noted it."""
    last = logged[-1].entry
    assert last is not None
    return Head(number=last.number, entry=last.digest)


@pytest.mark.parametrize(("point", "counts"), [("before", False), ("after", True)])
def test_who_is_killed_at_the_claim_leaves_no_gap(
    point: str, counts: bool, artifacts: Path, tmp_path: Path, tracker: MlflowClient
) -> None:
    """Killed before, its number is free; killed after, its entry is whole: the log goes on either way."""
    assert released(1) == 1
    killed = start(tmp_path / "killed", "1", point)
    killed.communicate("go\n")
    assert killed.returncode == -9
    assert len(stored(artifacts)) == 2
    assert released(2) == (3 if counts else 2)
    entries, findings = verify_log(TRUSTED)
    assert findings == []
    assert [entry.reason == "to see who wins" for entry in entries] == [False, *[True] * counts, False]


def edit(file: Path) -> None:
    """Put another name in the place of who did it."""
    file.write_text(file.read_text().replace('"by": "Ada"', '"by": "Bob"'))


def test_an_entry_that_was_edited_in_the_store_is_found(artifacts: Path, tracker: MlflowClient) -> None:
    """The artifact store's bytes are not the signed ones."""
    for version in (1, 2, 3):
        released(version)
    (edited,) = [each for each in stored(artifacts) if '"number": 2' in (each / "report.json").read_text()]
    edit(edited / "report.json")
    found = verify_log(TRUSTED)[1]
    assert [line[:7] for line in found] == ["Entry 2", "Entry 2", "Entry 3"]
    assert "was altered" in found[0]


@pytest.mark.parametrize("damage", ["gone", "cut off"])
def test_an_entry_whose_file_cannot_be_read_is_named_and_the_log_goes_on(
    damage: str, artifacts: Path, tracker: MlflowClient
) -> None:
    """The next entry follows the digest that ZenML recorded."""
    released(1)
    (folder,) = stored(artifacts)
    if damage == "gone":
        shutil.rmtree(folder)
    else:
        (folder / "report.json").write_text("{")
    assert released(2) == 2
    (found,) = verify_log(TRUSTED)[1]
    assert found.startswith("Entry 1 cannot be read: its file is ")


def test_a_removed_entry_is_found(artifacts: Path, tracker: MlflowClient) -> None:
    """In the middle by its number, and the numbers behind it are not given again."""
    for version in (1, 2, 3):
        released(version)
    delete(2)
    assert released(4) == 4
    assert verify_log(TRUSTED)[1] == [
        "Entry 2 is missing: whatever they recorded, the log does not show it any more."
    ]


def test_an_end_that_was_cut_off_is_found(artifacts: Path, tracker: MlflowClient) -> None:
    """The chain itself does not know of it; the tracker does."""
    for version in (1, 2, 3):
        released(version)
    delete(3)
    delete(2)
    assert [line[:31] for line in verify_log(TRUSTED)[1]] == ["Entries 2–3 are cut off at the "]


def test_a_cut_off_end_stays_found_after_further_entries(artifacts: Path, tracker: MlflowClient) -> None:
    """A later entry takes the free number, and does not make the tracker forget what was there."""
    for version in (1, 2, 3):
        released(version)
    delete(3)
    assert [released(4), released(5)] == [3, 4]
    (found,) = verify_log(TRUSTED)[1]
    assert found.startswith("Entry 3 has digest") and found.endswith("the end of the log was replaced.")


def test_a_version_that_somebody_made_by_hand_is_found(artifacts: Path, tracker: MlflowClient) -> None:
    """It is no entry, and does not stop the next one."""
    released(1)
    save_artifact("text", name=log_name(), version="final")
    assert released(2) == 2
    assert verify_log(TRUSTED)[1] == ["Version 'final' is no entry of the log."]


def test_an_account_with_another_key_is_found(
    artifacts: Path, tracker: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the stack file does not list signs nothing that counts."""
    monkeypatch.setenv(ACTOR_KEY, make_key_pair()[0])
    released(1)
    (found,) = verify_log(TRUSTED)[1]
    assert found.startswith("Entry 1 has no valid signature")


def test_an_act_that_stands_in_the_log_is_found_by_part_of_its_subject(
    artifacts: Path, tracker: MlflowClient
) -> None:
    """Its own act on exactly this; another version's, or another act on it, is none."""
    released(3)
    require_entry("release", {"version": "3"}, TRUSTED, mend="again")
    for act, version in (("rollback", "3"), ("release", "4")):
        with pytest.raises(Refused, match=f"no sound entry of the act '{act}' on version {version}: .*again"):
            require_entry(act, {"version": version}, TRUSTED, mend="again")  # type: ignore[arg-type]


def test_entries_before_a_time_are_left_out(artifacts: Path, tracker: MlflowClient) -> None:
    """By what they say themselves, however near; the rest is as without it."""
    released(1)
    time.sleep(0.01)
    since = datetime.now(UTC)
    released(2)
    assert [entry.subject["version"] for entry in sound_entries("release", {}, TRUSTED)] == ["1", "2"]
    later = sound_entries("release", {}, TRUSTED, since=since)
    assert [entry.subject["version"] for entry in later] == ["2"]
    assert sound_entries("release", {"version": "1"}, TRUSTED, since=since) == []


def test_old_entries_are_not_even_read(artifacts: Path, tracker: MlflowClient) -> None:
    """Of a log of years only the part that is asked for; clocks that differ by hours lose nothing."""
    for version in (1, 2, 3):
        released(version)
    now = datetime.now(UTC)
    created(1, now - timedelta(days=40))
    created(2, now - timedelta(hours=12))
    logged = read_log("release", created_since=now - timedelta(days=1))
    assert [each.version for each in logged] == ["2", "3"]
    found = sound_entries("release", {}, TRUSTED, since=now - timedelta(minutes=10))
    assert [entry.number for entry in found] == [2, 3]


@pytest.mark.parametrize("what", ["removed", "altered", "gone", "signed with another key"])
def test_an_entry_that_is_not_sound_counts_as_none(
    artifacts: Path, tracker: MlflowClient, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Whatever happened to it since, or however it came there."""
    if what == "signed with another key":
        monkeypatch.setenv(ACTOR_KEY, make_key_pair()[0])
    released(3)
    file = stored(artifacts)[0] / "report.json"
    if what == "removed":
        delete(1)
    elif what == "gone":
        file.unlink()
    elif what == "altered":
        file.write_text(json.dumps(json.loads(file.read_text()) | {"reason": "because"}))
    with pytest.raises(Refused, match="no sound entry of the act 'release'"):
        require_entry("release", SUBJECT, TRUSTED, mend="again")


def test_a_tracker_that_is_down_stops_nobody(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The entry is written and the missing note is said; the next entry with the tracker makes up for it."""

    def down() -> MlflowClient:
        raise OSError("connection refused")

    monkeypatch.setattr(audit, "registry_client", down)
    assert released(1) == 1
    assert "Entry 1 of the audit log is written; The model registry could not note" in caplog.text
    (found,) = verify_log(TRUSTED)[1]
    assert found.startswith(
        "Whether entries were cut off at the end cannot be told: The model registry could"
    )


def test_the_end_moves_forward_alone(artifacts: Path, tracker: MlflowClient) -> None:
    """Of two who write at the same time, the one with the lower number changes nothing."""
    released(1)
    released(2)
    first = read_log()[0].entry
    assert first is not None
    audit._keep_head(first)
    head = read_head()
    assert head is not None and head.number == 2


def test_an_end_that_lagged_behind_catches_up(artifacts: Path, tracker: MlflowClient) -> None:
    """What was recorded while nobody asked the tracker is covered by the next note."""
    assert [released(1), released(2, head=False), released(3, head=False), released(4)] == [1, 2, 3, 4]
    head = read_head()
    assert head is not None and head.number == 4


def test_what_stands_in_the_place_of_the_end_is_no_end(artifacts: Path, tracker: MlflowClient) -> None:
    """A tag that somebody wrote is not taken for a number."""
    released(1)
    experiment = tracker.get_experiment_by_name(log_name())
    assert experiment is not None
    tracker.set_experiment_tag(experiment.experiment_id, audit.HEAD, "-1")
    assert read_head() is None


def test_a_log_whose_end_nobody_noted_is_not_called_whole(artifacts: Path, tracker: MlflowClient) -> None:
    """Whether entries were cut off cannot be told, and that is said."""
    released(1, head=False)
    assert verify_log(TRUSTED)[1] == [
        "Whether entries were cut off at the end cannot be told: The tracker does not know the newest entry."
    ]


def test_the_private_key_is_nowhere_in_what_was_stored(artifacts: Path, tracker: MlflowClient) -> None:
    """Neither in the artifact store nor in ZenML's database."""
    released(1)
    secret = PrivateKey.from_pem(ACTOR.key.pem, named="the test").pem.splitlines()[1].encode()
    stores = [artifacts, Path(GlobalConfiguration().config_directory)]
    files = [file for folder in stores for file in folder.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if secret in file.read_bytes()]


def test_a_long_log_costs_no_more_to_append_to(artifacts: Path, tracker: MlflowClient) -> None:
    """A late entry is written like an early one: the chain is not read for it."""

    def cpu_s(count: int) -> float:
        begun = time.process_time()
        for version in range(count):
            released(version)
        return (time.process_time() - begun) / count

    cpu_s(3)
    early = cpu_s(5)
    cpu_s(30)
    assert cpu_s(5) < 2 * early

"""What a study leaves in the artifact store, and how another machine goes on with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.main.home import free_port
from materializers.blobs import read_blob, write_blob
from materializers.errors import ServiceUnreachable
from materializers.tuning_report import Fold
from steps.training.tuning import study_files
from steps.training.tuning.study import Study, Task, finish, work
from steps.training.tuning.study_files import StudyFiles
from steps.training.tuning.study_storage import Where
from tests.bucket import BucketServer
from tests.materializers.stores import disk_store, s3_store, s3_store_at
from tests.steps.training.studies import finished, point_material, task

FOLD = Fold(number=2, n=10, accuracy=0.5, f1_macro=0.4, epochs=3)


def test_on_a_disk_the_journal_lies_in_the_store(tmp_path: Path) -> None:
    """Nothing is copied: what is written is there."""
    files = StudyFiles(disk_store(tmp_path), "key")
    with files.folder() as folder:
        assert folder == tmp_path / "studies" / "key"
        files.keep(folder)


def test_another_machine_goes_on_with_a_study_of_a_bucket(
    bucket_server: BucketServer, tmp_path: Path
) -> None:
    """The finished trials are fetched and not repeated; what ran when the first one died is run again."""
    store = s3_store(bucket_server.endpoint)
    whole = finished(task(tmp_path / "whole", 6)).finished()
    template = task(tmp_path / "whole", 6)

    def here(folder: Path) -> Task:
        return Task(Where("study", folder=folder), template.search, template.settings)

    first = StudyFiles(store, "key")
    with first.folder() as folder:
        study = Study(here(folder))
        for _ in range(3):
            trial = study.claim()
            assert trial is not None
            study.run(trial, point_material())
            first.keep(folder)
        assert study.claim() is not None
        first.keep(folder)  # and here it dies
        study.place.close()
    assert not folder.exists()
    ran: list[int] = []
    second = StudyFiles(s3_store_at(str(store.path), bucket_server.endpoint), "key")
    with second.folder() as folder:
        study = Study(here(folder))
        assert study.finished() == whole[:3]
        work(study, point_material(), lambda: ran.append(1))
        second.keep(folder)
        study.place.close()
        assert study.finished() == whole
    assert len(ran) == 3


def test_a_bucket_that_takes_nothing_for_a_while_loses_no_trial(
    bucket_server: BucketServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and the next copy has all."""
    store = s3_store(bucket_server.endpoint)
    files = StudyFiles(store, "key")
    real = write_blob

    def fail(*_: object) -> None:
        raise OSError("no answer")

    with files.folder() as folder:
        study = Study(task(folder, 2))
        monkeypatch.setattr(study_files, "write_blob", fail)
        finish(study, point_material(), 2, lambda: files.keep(folder))
        monkeypatch.setattr(study_files, "write_blob", real)
        files.keep(folder)
        study.place.close()
        stored = read_blob(store, f"{store.path}/studies/key/journal.log")
        assert stored == (folder / "journal.log").read_bytes()
    assert caplog.text.count("cannot be copied") == 1


def test_a_bucket_that_is_gone_costs_a_study_only_its_copy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A closed port is no other error than the rest; to begin with, it is a store that does not answer."""
    store = s3_store_at("s3://bucket/store", f"http://127.0.0.1:{free_port()}", attempts=1)
    files = StudyFiles(store, "key")
    (tmp_path / "journal.log").write_bytes(b"a line\n")
    files.keep(tmp_path)
    assert "cannot be copied to the artifact store for now" in caplog.text
    with pytest.raises(ServiceUnreachable, match="could not give a study that was begun"), files.folder():
        pass


def test_a_fold_is_found_again(tmp_path: Path) -> None:
    """One that was never measured is not, nor one whose file is damaged."""
    files = StudyFiles(disk_store(tmp_path), "key")
    assert files.fold("fold-2") is None
    files.keep_fold("fold-2", FOLD)
    assert files.fold("fold-2") == FOLD
    (tmp_path / "studies" / "key" / "fold-2.json").write_bytes(b"{")
    assert files.fold("fold-2") is None

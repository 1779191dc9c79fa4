"""The shipper, as a process and step by step: what reaches the store, once, whoever is killed."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from materializers.erasure import Forgotten
from serving import shipper
from serving.capture_layout import is_part_name
from serving.captured_line import Said
from serving.part_store import DiskStore, StoreDownError, open_store
from serving.shipper import ASIDE_FILE, NICENESS, STATUS_FILE, Shipper
from serving.spool import SpoolWriter, Stream, files_of, folder_of_stream
from tests.bucket import BUCKET, BucketServer
from tests.captured import MODEL, NOON, answered, picture, said, shipped, spooled, wait_for
from tests.serving.conftest import ROOT, SERVING_PYTHON, serving_environment
from tests.serving.pictures import encode, gradient

PHOTOGRAPH = encode(gradient(64, 48), "JPEG")
STREAM = Stream("staging", MODEL.name)


def parts(store: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of every part of a store, by its path."""
    found = sorted(path for path in store.rglob("*.parquet"))
    return {str(path.relative_to(store)): pq.read_table(path).to_pylist() for path in found}


def rows(store: Path) -> list[dict[str, Any]]:
    """The rows of all parts of captures."""
    return [row for place, some in parts(store).items() if place.startswith("captures/") for row in some]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """The services write into it."""
    return tmp_path / "spool"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The root of an artifact store."""
    return tmp_path / "store"


@contextmanager
def running(
    spool: Path, to: str, *, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A shipper in the serving environment, as it ships in the image."""
    command = [str(SERVING_PYTHON), "-m", "serving.shipper", "--spool", str(spool), "--to", to]
    process = subprocess.Popen(
        [*command, "--interval-s", "0.1", "--patience-s", "5"],
        cwd=ROOT,
        env={**serving_environment(), **(environment or {})},
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_requests_reach_the_store_by_model_environment_kind_and_hour(spool: Path, store: Path) -> None:
    """One part each, and the spool is empty."""
    late = NOON + timedelta(hours=1)
    shipped(store, spool, [answered("a"), answered("b", at=late), said("a", Said(label="tops"), at=late)])
    shipped(store, spool, [answered("c")], environment="production")
    found = {
        place.rpartition("/")[0]: [row["request_id"] for row in some] for place, some in parts(store).items()
    }
    model = MODEL.name
    assert found == {
        f"captures/staging/{model}/date=2026-11-05/hour=12": ["a"],
        f"captures/staging/{model}/date=2026-11-05/hour=13": ["b"],
        f"feedback/staging/{model}/date=2026-11-05/hour=13": ["a"],
        f"captures/production/{model}/date=2026-11-05/hour=12": ["c"],
    }
    assert all(is_part_name(place.rpartition("/")[2]) for place in parts(store))
    assert files_of(folder_of_stream(spool, STREAM)) == []


def test_it_gives_way_to_whoever_answers(spool: Path, store: Path) -> None:
    """Its priority is below that of the service beside it: making parts takes seconds of CPU."""
    with running(spool, str(store)) as process:
        wait_for(lambda: os.getpriority(os.PRIO_PROCESS, process.pid) == os.nice(0) + NICENESS)


def test_only_parts_with_pictures_are_called_so(spool: Path, store: Path) -> None:
    """Of the two, whoever wants pictures opens one."""
    shipped(store, spool, [answered("a", picture(PHOTOGRAPH))], pictures=1)
    shipped(store, spool, [answered("b", picture(PHOTOGRAPH))], pictures=0)
    named = {"-pictures." in place: some[0]["picture"] for place, some in parts(store).items()}
    assert named == {True: PHOTOGRAPH, False: None}


def test_killed_between_storing_and_removing_doubles_nothing(
    spool: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same lines come to the same names."""
    spooled(spool, [answered("a"), said("a", Said(reward=1.0))])

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", die)
        with pytest.raises(Killed):
            Shipper(spool, CrashProofStore(store)).ship()
    first = parts(store)
    assert len(first) == 2
    Shipper(spool, open_store(str(store))).ship()
    assert parts(store) == first
    assert files_of(folder_of_stream(spool, STREAM)) == []


class CrashProofStore:
    """A store that needs no ``unlink`` of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: str, data: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def read_new(self, _: str) -> Iterator[bytes]:
        return iter(())


def refuse(*_: object) -> bytes:
    """What Arrow does with a value that fits no column."""
    raise ValueError("does not fit")


def test_damaged_lines_are_set_aside_and_counted(spool: Path, store: Path) -> None:
    """Everything around them is shipped."""
    spooled(spool, [answered("a"), answered("b"), answered("c")])
    (path,) = files_of(folder_of_stream(spool, STREAM))
    first, second, third = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, second[:40], b"\xff\x00", third[: len(third) // 2]]))
    ship = Shipper(spool, open_store(str(store)))
    ship.ship()
    assert [row["request_id"] for row in rows(store)] == ["a"]
    assert ship.status.damaged_lines == 3
    noted = [json.loads(line) for line in (path.parent / ASIDE_FILE).read_bytes().splitlines()]
    assert [(each["sha256"], each["bytes"]) for each in noted] == [
        (sha256(line).hexdigest(), len(line)) for line in (second[:40], b"\xff\x00", third[: len(third) // 2])
    ]
    assert all(each["reason"] for each in noted)
    assert files_of(path.parent) == []


@pytest.mark.parametrize("damage", ["cut short", "another version of the service", "a row that does not fit"])
def test_no_damaged_line_keeps_a_picture_in_the_spool(
    spool: Path, store: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Nor an embedding or a digest of it: no `--forget` and no limit of time reaches what is noted there."""
    spooled(spool, [answered("order-17", picture(PHOTOGRAPH))], pictures=1)
    (path,) = files_of(folder_of_stream(spool, STREAM))
    line = path.read_bytes().rstrip()
    said = json.loads(line)["pictures"][0]
    if damage == "cut short":
        path.write_bytes(line[:-2])
    elif damage == "another version of the service":
        path.write_bytes(json.dumps({**json.loads(line), "thumbnail": said["picture"]}).encode())
    else:
        monkeypatch.setattr(shipper, "to_parquet", refuse)
    ship = Shipper(spool, open_store(str(store)))
    ship.ship()
    assert (ship.status.damaged_lines, rows(store)) == (1, [])
    kept = (path.parent / ASIDE_FILE).read_text()
    for name in ("picture", "embedding", "input_digest", "image_id"):
        assert said[name] not in kept
    assert said["picture"][:40] not in kept
    if damage != "cut short":
        about = json.loads(kept)["line"]
        assert (about["request_id"], about["pictures"][0]["label"]) == ("order-17", "bags")
    assert files_of(path.parent) == []


def test_lines_that_no_column_takes_are_damaged(
    spool: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever Arrow says of them, the shipper lives on."""
    monkeypatch.setattr(shipper, "to_parquet", refuse)
    ship = shipped(store, spool, [answered("a")])
    assert ship.status.damaged_lines == 1
    assert files_of(folder_of_stream(spool, STREAM)) == []


def test_what_is_set_aside_is_bounded(spool: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More is only counted."""
    monkeypatch.setattr(shipper, "ASIDE_BYTES", 500)
    folder = folder_of_stream(spool, STREAM)
    writer = SpoolWriter(folder)
    writer.write([b"x" * 40 + b"\n"] * 10)
    writer.close()
    ship = Shipper(spool, open_store(str(store)))
    ship.ship()
    assert ship.status.damaged_lines == 10
    assert 0 < (folder / ASIDE_FILE).stat().st_size <= 500


@pytest.mark.parametrize("named", ["input_digest", "image_id"])
def test_a_forgotten_picture_reaches_no_store_again(spool: Path, store: Path, named: str) -> None:
    """Neither it, nor its embedding or digests; what the model answered stays, and other rows whole."""
    requests = [answered("a", picture(PHOTOGRAPH)), answered("b", picture(encode(gradient(64, 48, 1))))]
    (digest,) = {row[named] for row in rows_of_requests(store, spool / "before", requests[:1])}
    note = Forgotten(name="0" * 64, source_digests=(digest,), marks=(), shards=())
    elsewhere = store / "with-note"
    DiskStore(elsewhere).put(f"datasets/forgotten/{note.name}.json", note.model_dump_json().encode())
    DiskStore(elsewhere).put("datasets/forgotten/damaged.json", b"{")
    ship = shipped(elsewhere, spool, requests, pictures=1)
    first, second = rows(elsewhere)
    assert (first["label"], first["latency_ms"]) == ("bags", 12.5)
    assert {first[name] for name in ("input_digest", "image_id", "picture", "orientation")} == {None}
    assert first["embedding"] is None
    assert second["picture"] is not None
    assert ship.status.forgotten_rows == 1


class ForgottenMeanwhile:
    """A store in which somebody forgets a picture just after the first part that has it was stored.

    Whoever forgets it looked through the captures before: the note is all that is left to do.
    """

    def __init__(self, root: Path, digest: str, *, then: Callable[[], None] = lambda: None) -> None:
        self.store = DiskStore(root)
        self.note = Forgotten(name="0" * 64, source_digests=(digest,), marks=(), shards=())
        self.then = then

    def put(self, path: str, data: bytes) -> None:
        self.store.put(path, data)
        if PHOTOGRAPH in data:
            place = f"datasets/forgotten/{self.note.name}.json"
            self.store.put(place, self.note.model_dump_json().encode())
            self.then()

    def read_new(self, folder: str) -> Iterator[bytes]:
        return self.store.read_new(folder)


@pytest.mark.parametrize("ends", ["undisturbed", "killed"])
def test_a_picture_that_is_forgotten_while_its_part_is_stored_does_not_stay(
    spool: Path, store: Path, ends: str
) -> None:
    """The part is stored anew without it, in its place; whoever is killed before comes to the same."""
    late = NOON + timedelta(hours=1)
    requests = [answered("a", picture(PHOTOGRAPH)), answered("b", at=late)]
    (digest, *_) = [row["image_id"] for row in rows_of_requests(store.parent, spool / "before", requests[:1])]
    spooled(spool, requests, pictures=1)

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    if ends == "killed":
        with pytest.raises(Killed):
            Shipper(spool, ForgottenMeanwhile(store, digest, then=die)).ship()
    ship = Shipper(spool, ForgottenMeanwhile(store, digest))
    ship.ship()
    assert ship.status.forgotten_rows == 1
    first, second = sorted(rows(store), key=lambda row: str(row["request_id"]))
    assert (first["request_id"], first["label"], second["request_id"]) == ("a", "bags", "b")
    assert {first[name] for name in ("input_digest", "image_id", "picture", "embedding")} == {None}
    assert second["input_digest"] is not None
    assert not any(PHOTOGRAPH in path.read_bytes() for path in store.rglob("*") if path.is_file())
    assert files_of(folder_of_stream(spool, STREAM)) == []


def rows_of_requests(store: Path, spool: Path, requests: list[Any]) -> list[dict[str, Any]]:
    """What requests come to, in a store of their own."""
    shipped(store / "other", spool, requests)
    return rows(store / "other")


class Unsteady:
    """A store that is down as long as it is told."""

    def __init__(self, root: Path) -> None:
        self.down = True
        self.store = DiskStore(root)

    def put(self, path: str, data: bytes) -> None:
        if self.down:
            raise StoreDownError("nobody there")
        self.store.put(path, data)

    def read_new(self, folder: str) -> Iterator[bytes]:
        return self.store.read_new(folder)


def test_the_spool_keeps_everything_while_the_store_is_down(spool: Path, store: Path) -> None:
    """And says so in its status; then all of it is shipped."""
    unsteady = Unsteady(store)
    ship = Shipper(spool, unsteady)
    spooled(spool, [answered("a")])
    spooled(spool, [answered("b")])
    assert not shipper.attempt(ship, spool)
    assert json.loads((spool / STATUS_FILE).read_text())["error"] == "nobody there"
    assert len(files_of(folder_of_stream(spool, STREAM))) == 2
    unsteady.down = False
    assert shipper.attempt(ship, spool)
    status = json.loads((spool / STATUS_FILE).read_text())
    assert (status["error"], status["rows"], status["parts"]) == (None, 2, 2)
    assert sorted(row["request_id"] for row in rows(store)) == ["a", "b"]


def test_a_file_that_the_store_never_takes_stops_no_other(spool: Path, store: Path) -> None:
    """Neither of its stream nor of another, also after the store was down; and it is tried again."""

    class Refusing(Unsteady):
        refused: tuple[bytes, ...] = (b"refused-1", b"refused-2")

        def put(self, path: str, data: bytes) -> None:
            if any(name in data for name in self.refused):
                raise StoreDownError("the store does not take this")
            super().put(path, data)

    refusing = Refusing(store)
    ship = Shipper(spool, refusing)
    names = ["refused-1", "a", "refused-2", "b"]
    for environment in ("production", "staging"):
        for name in names:
            spooled(spool, [answered(name)], environment=environment)
    for _ in range(5):
        assert not shipper.attempt(ship, spool)
    refusing.down = False
    for _ in range(10):
        assert not shipper.attempt(ship, spool)
    assert sorted(row["request_id"] for row in rows(store)) == ["a", "a", "b", "b"]
    assert json.loads((spool / STATUS_FILE).read_text())["error"] == "the store does not take this"
    spooled(spool, [answered("late")])
    assert not shipper.attempt(ship, spool)
    assert "late" in [row["request_id"] for row in rows(store)]
    refusing.refused = ()
    assert shipper.attempt(ship, spool)
    assert sorted(row["request_id"] for row in rows(store)) == sorted([*names, *names, "late"])


def test_the_wait_grows_while_the_store_is_down(spool: Path, store: Path) -> None:
    """Twice as long each time, a minute at most, and short again once it is back."""

    class Ending:
        waits: list[float] = []  # noqa: RUF012 - of one test

        def wait(self, seconds: float) -> bool:
            self.waits.append(seconds)
            unsteady.down = len(self.waits) < 8
            return len(self.waits) == 10

    unsteady, ending = Unsteady(store), Ending()
    spooled(spool, [answered("a")])
    shipper.run(Shipper(spool, unsteady), spool, ending, interval_s=1.5, patience_s=0)  # type: ignore[arg-type]
    assert ending.waits == [1.5, 3, 6, 12, 24, 48, 60, 60, 1.5, 1.5]


def test_the_process_ships_and_ends_by_sigterm_with_all_that_was_written(spool: Path, store: Path) -> None:
    """It waits for a service that still writes."""
    spooled(spool, [answered("early")])
    folder = folder_of_stream(spool, STREAM)
    with running(spool, str(store)) as process:
        wait_for(lambda: rows(store))
        spooled(spool / "elsewhere", [answered("late")])
        (line,) = files_of(folder_of_stream(spool / "elsewhere", STREAM))
        writer = SpoolWriter(folder)
        writer.write([line.read_bytes()])
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
        writer.close()
        assert process.wait(20) == 0
    assert sorted(row["request_id"] for row in rows(store)) == ["early", "late"]


def test_a_service_that_never_ends_is_not_waited_for_for_ever(spool: Path, store: Path) -> None:
    """Nor is a store that stays down."""
    writer = SpoolWriter(folder_of_stream(spool, STREAM))
    writer.write([b"x\n"])
    store.write_text("a file where the store should be")
    with running(spool, str(store)) as process:
        wait_for((spool / STATUS_FILE).exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_process_ships_to_a_bucket(spool: Path, bucket: BucketServer) -> None:
    """By the keys of its environment; the part is what was written."""
    spooled(spool, [answered("a", picture(PHOTOGRAPH))], pictures=1)
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    keys = {name: os.environ[name] for name in names}
    prefix = "shipped"
    with running(spool, f"s3://{BUCKET}/{prefix}", environment=keys):
        wait_for(lambda: not files_of(folder_of_stream(spool, STREAM)))
    (entry,) = bucket.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/")["Contents"]
    data = bucket.client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
    (row,) = pq.read_table(io.BytesIO(data)).to_pylist()
    assert (row["request_id"], row["at"]) == ("a", NOON)
    assert row["picture"] is not None


@pytest.mark.parametrize("to", ["relative", "gs://bucket"])
def test_a_wrong_address_is_said_in_one_line(
    spool: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, before anything is read."""
    assert shipper.main(["--spool", str(spool), "--to", to]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_says_what_it_takes() -> None:
    """As the other servers'."""
    done = subprocess.run(
        [sys.executable, "-m", "serving.shipper", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(flag in done.stdout for flag in ("--spool", "--to", "--interval-s", "--patience-s"))

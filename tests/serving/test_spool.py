"""Files of a spool: whose they are, how much there may be, and what a full disk leaves."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.spool import (
    NEW_S,
    SpoolWriter,
    Stream,
    drop_oldest,
    files_of,
    folder_of_stream,
    is_written,
    remove_left,
    streams,
    taken,
)
from tests.captured import wait_for

WRITES_AND_WAITS = """
import sys, time
from pathlib import Path
from serving.spool import SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]))
writer.write([b"one\\n", b"two\\n"])
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of one stream."""
    return folder_of_stream(tmp_path / "spool", Stream("staging", "shoes"))


def content(path: Path) -> bytes | None:
    """What a shipper would get of a file."""
    with taken(path) as found:
        return found


def test_a_file_is_the_shippers_once_it_is_closed(folder: Path, tmp_path: Path) -> None:
    """While it is written nobody else gets it."""
    writer = SpoolWriter(folder)
    writer.write([b"one\n"])
    (path,) = files_of(folder)
    assert content(path) is None
    assert is_written(tmp_path / "spool")
    writer.close()
    assert content(path) == b"one\n"
    assert not is_written(tmp_path / "spool")
    assert streams(tmp_path / "spool") == [Stream("staging", "shoes")]


def test_who_may_still_write_is_waited_for(folder: Path, tmp_path: Path) -> None:
    """Before its first line and between two files, until it says that it has ended, or is dead."""
    spool = tmp_path / "spool"
    writer, dead = SpoolWriter(folder, rotate_s=0), SpoolWriter(folder)
    writer.begin()
    assert is_written(spool)
    writer.write([b"one\n"])
    assert [content(path) for path in files_of(folder)] == [b"one\n"]
    assert is_written(spool)
    writer.end()
    assert not is_written(spool)
    dead.begin()
    assert dead._mark is not None
    os.close(dead._mark[0])  # as the kernel does when its process ends
    assert not is_written(spool)
    remove_left(folder)
    assert list(folder.glob(".*")) == []


def test_two_shippers_never_get_the_same_file(folder: Path) -> None:
    """And one that was removed meanwhile is nobody's."""
    writer = SpoolWriter(folder)
    writer.write([b"one\n"])
    writer.close()
    (path,) = files_of(folder)
    with taken(path) as first:
        assert first == b"one\n"
        assert content(path) is None
        path.unlink()
    assert content(path) is None


def test_what_a_killed_process_wrote_is_there_and_free(folder: Path) -> None:
    """The lock ends with it: kill -9 loses nothing that was written."""
    process = subprocess.Popen([sys.executable, "-c", WRITES_AND_WAITS, str(folder)])
    try:
        wait_for(lambda: files_of(folder) and files_of(folder)[0].stat().st_size)
        (path,) = files_of(folder)
        assert content(path) is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert content(path) == b"one\ntwo\n"


def test_a_file_is_closed_when_its_time_has_come(folder: Path) -> None:
    """Also when nothing more is written into it."""
    writer = SpoolWriter(folder, rotate_s=0.05)
    writer.write([b"one\n"])
    time.sleep(0.06)
    writer.write([])
    (first,) = files_of(folder)
    assert content(first) == b"one\n"
    writer.write([b"two\n"])
    assert len(files_of(folder)) == 2


def test_the_oldest_go_when_there_is_too_much(folder: Path) -> None:
    """With their lines counted; what is written now stays."""
    writer = SpoolWriter(folder, rotate_s=0, limit_bytes=25)
    dropped = [writer.write([b"0123456\n", b"abc\n"]) for _ in range(4)]
    assert dropped == [0, 0, 0, 2]
    assert len(files_of(folder)) == 3
    assert drop_oldest(folder, 0) == 6
    assert files_of(folder) == []


def test_a_full_disk_leaves_whole_lines(folder: Path) -> None:
    """What did not fit is cut off again, and once there is room it goes on."""
    writer = SpoolWriter(folder)
    writer.write([b"one\n"])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.write([b"a line that is too long\n"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    writer.write([b"two\n"])
    writer.close()
    assert [content(path) for path in files_of(folder)] == [b"one\n", b"two\n"]


def test_what_was_left_while_a_file_was_opened_is_removed_in_time(folder: Path) -> None:
    """Not before: its process may live."""
    folder.mkdir(parents=True)
    left = folder / ".1-2-3.jsonl.new"
    left.touch()
    remove_left(folder)
    assert left.exists()
    os.utime(left, (time.time() - NEW_S - 1,) * 2)
    remove_left(folder)
    assert not left.exists()


def test_a_spool_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """A shipper may be started first."""
    assert streams(tmp_path / "none") == []
    assert files_of(tmp_path / "none") == []
    assert not is_written(tmp_path / "none")

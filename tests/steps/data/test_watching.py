"""Tests of steps/data/watching.py: what of a watched place is complete, new, changed, refused or late."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from materializers.errors import ServiceUnreachable, UsageError
from materializers.watched import WatchedDelivery, is_watched
from steps.data.watching import Place, WatchSettings, choose, look, require_place, tell_incomplete
from steps.monitoring.alerts.alert import open_alerts
from tests.bucket import BUCKET, BucketServer
from tests.steps.data.deliveries import good_delivery, zipped

SETTINGS = WatchSettings()


def put(place: Path, name: str, *, number: int = 0, complete: bool = True) -> Path:
    """A delivery of three pictures below a place: an archive, or a folder where the name has no ending."""
    place.mkdir(exist_ok=True)
    if name.endswith(".zip"):
        folder = good_delivery(place.parent / f"packed-{number}-{name}", per_class=1, first=number)
        path = zipped(folder, place / name)
    else:
        path = good_delivery(place / name, per_class=1, first=number)
    if complete:
        mark(place, name)
    return path


def mark(place: Path, name: str) -> None:
    """Say that a delivery is complete."""
    time.sleep(0.01)  # the clock of a file system goes in steps
    (place / f"{name}._COMPLETE").touch()


def names(place: Place) -> list[str]:
    """The names of what is complete, in their order."""
    return [one.address.rpartition("/")[2] for one in place.complete]


def known(place: Place, **changes: object) -> list[WatchedDelivery]:
    """What a report says of these deliveries after a run took them."""
    return [one.known_as.model_copy(update=changes) for one in place.complete]


def lacking(place: Iterable[object]) -> dict[str, str]:
    """What each thing lacks that is no delivery."""
    return {each.address.rpartition("/")[2]: each.lacks for each in place}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("address", "watched"),
    [("incoming/*", True), ("s3://shop/incoming/*", True), ("incoming", False), ("s3://shop/in*", False)],
)
def test_a_place_is_watched_where_its_address_says_so(address: str, watched: bool) -> None:
    """A folder or prefix as it is stays one delivery."""
    assert is_watched(address) is watched


def test_deliveries_with_a_marker_beside_them_are_complete_the_oldest_marker_first(tmp_path: Path) -> None:
    """Folders and archives alike, whatever their names; other files in the place are none."""
    place = tmp_path / "incoming"
    for name in ("z.zip", "a folder", "m.zip"):
        put(place, name, number=10 * len(name))
    (place / "README.txt").write_text("not a delivery")
    (place / ".DS_Store").write_text("nor this")
    seen = look(f"{place}/*", SETTINGS)
    assert names(seen) == ["z.zip", "a folder", "m.zip"]
    assert not seen.incomplete
    assert [one.known_as.files for one in seen.complete] == [1, 4, 1]
    assert all(one.known_as.size > 0 for one in seen.complete)


def test_what_has_no_marker_and_a_marker_that_has_no_delivery_are_named(tmp_path: Path) -> None:
    """With the time when the first file of it was written; nothing of them can be taken."""
    place = tmp_path / "incoming"
    put(place, "a.zip", complete=False)
    put(place, "b", number=3, complete=False)
    put(place, "c.zip", number=6)
    mark(place, "gone.zip")
    seen = look(f"{place}/*", SETTINGS)
    assert names(seen) == ["c.zip"]
    assert lacking(seen.incomplete.values()) == {"a.zip": "marker", "b": "marker", "gone.zip": "delivery"}
    now = datetime.now(UTC)
    assert all(timedelta(0) <= now - each.since < timedelta(minutes=5) for each in seen.incomplete.values())


def test_nothing_is_new_where_everything_was_taken_as_it_is(tmp_path: Path) -> None:
    """Also where a marker was written again, or cleared away: the delivery is the same."""
    place = tmp_path / "incoming"
    put(place, "a.zip")
    put(place, "b", number=3)
    seen = look(f"{place}/*", SETTINGS)
    mark(place, "a.zip")
    (place / "b._COMPLETE").unlink()
    choice = choose(look(f"{place}/*", SETTINGS), known(seen))
    assert (choice.waiting, choice.changed, choice.refused, choice.incomplete) == ((), frozenset(), (), ())


@pytest.mark.parametrize("change", ["size", "time", "more", "less"])
def test_a_delivery_that_changed_is_taken_again_and_named(tmp_path: Path, change: str) -> None:
    """Another size or time of a file, a file more or less; what a file manager writes is none."""
    place = tmp_path / "incoming"
    folder = put(place, "b")
    seen = look(f"{place}/*", SETTINGS)
    (folder / ".DS_Store").write_text("a file manager's")
    assert not choose(look(f"{place}/*", SETTINGS), known(seen)).waiting
    picture = folder / "images" / "00001.png"
    if change == "size":
        picture.write_bytes(picture.read_bytes() + b"\0")
    elif change == "time":
        os.utime(picture, (1, 1))
    elif change == "more":
        (folder / "images" / "more.png").write_bytes(b"one more")
    else:
        picture.unlink()
    choice = choose(look(f"{place}/*", SETTINGS), known(seen))
    assert [one.address for one in choice.waiting] == [str(folder)]
    assert choice.changed == {str(folder)}


def test_a_refused_delivery_waits_until_it_changed_or_somebody_asks(tmp_path: Path) -> None:
    """It is named each time; one that changed is no delivery that an earlier run had taken."""
    place = tmp_path / "incoming"
    path = put(place, "a.zip")
    before = known(look(f"{place}/*", SETTINGS), outcome="refused", reasons=("Too few.",))
    seen = look(f"{place}/*", SETTINGS)
    assert (choose(seen, before).waiting, choose(seen, before).refused) == ((), (str(path),))
    assert len(choose(seen, before, again=True).waiting) == 1
    path.write_bytes(path.read_bytes() + b"\0")
    choice = choose(look(f"{place}/*", SETTINGS), before)
    assert (len(choice.waiting), choice.changed, choice.refused) == (1, frozenset(), ())


def test_what_was_refused_with_others_is_taken_once_more_with_a_new_one(tmp_path: Path) -> None:
    """Too few pictures may be enough together with those that came since; alone they stay too few."""
    place = tmp_path / "incoming"
    put(place, "a.zip")
    before = known(look(f"{place}/*", SETTINGS), outcome="refused_together", reasons=("Too few.",))
    assert not choose(look(f"{place}/*", SETTINGS), before).waiting
    assert choose(look(f"{place}/*", SETTINGS), before).refused == (f"{place}/a.zip",)
    put(place, "b.zip", number=3)
    choice = choose(look(f"{place}/*", SETTINGS), before)
    assert [one.address.rpartition("/")[2] for one in choice.waiting] == ["a.zip", "b.zip"]
    assert choice.refused == ()


def test_a_place_is_known_again_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another folder, with a slash too many, through a link: the same deliveries."""
    place = tmp_path / "incoming"
    put(place, "a.zip")
    (tmp_path / "link").symlink_to(place)
    monkeypatch.chdir(tmp_path)
    addresses = (f"{place}/*", "incoming/*", f"{place}//*", "link/*", "./incoming/*")
    seen = [look(address, SETTINGS).complete[0].known_as for address in addresses]
    assert all(one == seen[0] for one in seen)


def test_a_name_that_is_not_utf_8_can_be_recorded_and_opened(tmp_path: Path) -> None:
    """The report escapes what it cannot store; the delivery is opened by its own name."""
    place = tmp_path / "incoming"
    put(place, "a.zip", complete=False)
    odd = os.fsdecode(b"\xff \n'\"*.zip")
    (place / "a.zip").rename(place / odd)
    mark(place, odd)
    [one] = look(f"{place}/*", SETTINGS).complete
    assert Path(one.address).is_file()
    assert one.known_as.model_dump_json().encode()
    assert one.known_as.address.startswith(f"{place}/\\xff")


def test_a_delivery_is_not_taken_for_a_place(tmp_path: Path) -> None:
    """Its folder of pictures would never get a marker: what to type is said."""
    folder = good_delivery(tmp_path / "delivery", per_class=1)
    with pytest.raises(UsageError, match="it is a delivery itself") as refused:
        look(f"{folder}/*", SETTINGS)
    assert f"--source {folder}" in str(refused.value)


def test_a_delivery_that_cannot_be_looked_into_keeps_none_of_the_others_out(tmp_path: Path) -> None:
    """Its folders lie deeper than a path can be long: whether it can be used is found when it is read."""
    place = tmp_path / "incoming"
    put(place, "deep")
    put(place, "good.zip", number=1)
    folder = os.open(place / "deep", os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=folder)
        folder, outer = os.open("d" * 200, os.O_RDONLY, dir_fd=folder), folder
        os.close(outer)
    os.close(folder)
    assert names(look(f"{place}/*", SETTINGS)) == ["deep", "good.zip"]


def test_a_folder_that_is_not_there_is_refused_and_an_empty_one_is_not(tmp_path: Path) -> None:
    """Whoever schedules a run on a place that does not exist made a mistake; an empty one waits."""
    with pytest.raises(UsageError, match=f"There is no folder {tmp_path}/nowhere to watch"):
        require_place(f"{tmp_path}/nowhere/*")
    require_place(f"{tmp_path}/*")
    assert look(f"{tmp_path}/*", SETTINGS) == Place(str(tmp_path), (), {})


@pytest.mark.parametrize("marker", ["", "_COMPLETE", ".zip", ".done.tar.gz", ".a/b", ".", ". done"])
def test_a_marker_is_an_ending_that_no_delivery_has(marker: str) -> None:
    """Otherwise an archive would be taken for the marker of another one."""
    with pytest.raises(ValidationError):
        WatchSettings(marker=marker)


def test_another_marker_can_be_agreed_on(tmp_path: Path) -> None:
    """The ending of the settings counts, and no other."""
    place = tmp_path / "incoming"
    put(place, "a.zip")
    put(place, "b.zip", number=3, complete=False)
    (place / "b.zip.done").touch()
    assert names(look(f"{place}/*", WatchSettings(marker=".done"))) == ["b.zip"]


def test_a_delivery_that_is_incomplete_for_too_long_is_told(
    own_stack: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One alert names all that are late, since when, and what is asked; before that it is silent."""
    place = tmp_path / "incoming"
    put(place, "a.zip", complete=False)
    put(place, "b.zip", number=3, complete=False)
    incomplete = look(f"{place}/*", SETTINGS).incomplete.values()
    now = datetime.now(UTC)
    tell_incomplete(incomplete, str(place), "shop", SETTINGS, now=now)
    assert "delivery_incomplete" not in caplog.text
    tell_incomplete(incomplete, str(place), "shop", SETTINGS, now=now + timedelta(hours=24))
    [line] = [line for line in caplog.text.splitlines() if "delivery_incomplete" in line]
    for said in ("shop", f"a.zip has no marker since {now:%Y-%m-%d}", f"{place}/b.zip", "within 24 hours"):
        assert said in line


def test_two_watched_places_are_told_apart(
    own_stack: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That all is well in one neither ends nor repeats what is told of the other; no alert tells a token."""
    model, late = f"shop-{tmp_path.name}".lower().replace("_", "-"), datetime.now(UTC) + timedelta(hours=25)
    good, bad = tmp_path / "good", tmp_path / "bad_token=pLanted"
    put(good, "a.zip")
    put(bad, "b.zip", complete=False)
    for _ in range(2):
        for place in (bad, good):
            seen = look(f"{place}/*", SETTINGS)
            tell_incomplete(seen.incomplete.values(), seen.address, model, SETTINGS, now=late)
    lines = [line for line in caplog.text.splitlines() if "delivery_incomplete" in line]
    assert len(lines) == 1
    (state,) = open_alerts(model).open
    assert state.alert.subject == f"{tmp_path}/bad_token=***"
    assert "pLanted" not in state.model_dump_json() + lines[0]
    mark(bad, "b.zip")
    tell_incomplete((), str(bad), model, SETTINGS, now=late)
    assert open_alerts(model).open == ()


def test_a_thousand_deliveries_are_seen_in_seconds(tmp_path: Path) -> None:
    """Each has its marker; nothing is opened."""
    place = tmp_path / "incoming"
    for number in range(1000):
        (place / f"{number:04d}").mkdir(parents=True)
        (place / f"{number:04d}" / "labels.csv").write_text("image_path,label\n")
        (place / f"{number:04d}._COMPLETE").touch()
    began = time.monotonic()
    seen = look(f"{place}/*", SETTINGS)
    assert len(seen.complete) == 1000
    assert not choose(seen, known(seen)).waiting
    assert time.monotonic() - began < 10


def test_a_prefix_is_watched_like_a_folder(bucket: BucketServer, tmp_path: Path) -> None:
    """Folders, archives and markers; a prefix that only begins alike is another place."""
    place = tmp_path / "incoming"
    put(place, "b + c #1.zip", complete=False)
    put(place, "a folder", number=3, complete=False)
    put(place, "half", number=6, complete=False)
    bucket.upload(place, "watched/incoming")
    bucket.upload(place, "watched/incoming-too")
    for name in ("a folder", "b + c #1.zip", "gone"):
        bucket.client.put_object(Bucket=BUCKET, Key=f"watched/incoming/{name}._COMPLETE", Body=b"")
        time.sleep(1.1)  # S3 tells whole seconds
    seen = look(f"s3://{BUCKET}/watched/incoming/*", SETTINGS)
    assert names(seen) == ["a folder", "b + c #1.zip"]
    assert lacking(seen.incomplete.values()) == {"half": "marker", "gone": "delivery"}
    assert not choose(look(f"s3://{BUCKET}/watched/incoming/*", SETTINGS), known(seen)).waiting


def test_an_object_that_was_uploaded_again_has_changed(bucket: BucketServer, tmp_path: Path) -> None:
    """Also where its bytes are the same: what was read in between may have lacked it."""
    put(tmp_path / "incoming", "a")
    address = f"{bucket.upload(tmp_path / 'incoming', 'watched/again')}/*"
    seen = look(address, SETTINGS)
    time.sleep(1.1)
    bucket.upload(tmp_path / "incoming" / "a" / "images", "watched/again/a/images")
    choice = choose(look(address, SETTINGS), known(seen))
    assert [one.address.rpartition("/")[2] for one in choice.waiting] == ["a"]


def test_a_bucket_that_is_not_there_is_refused_and_an_empty_prefix_is_not(bucket: BucketServer) -> None:
    """A place in a bucket is there with its bucket: nothing has to be put into it first."""
    with pytest.raises(UsageError, match="There is no bucket"):
        require_place("s3://no-such-bucket/incoming/*")
    address = f"s3://{BUCKET}/watched/nothing-yet/*"
    require_place(address)
    assert look(address, SETTINGS) == Place(address.removesuffix("/*"), (), {})


def test_a_bucket_that_this_machine_may_not_ask_is_left_to_the_steps(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have another key; a step that may not is told by the bucket itself."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    require_place(f"s3://{BUCKET}/watched/*")
    with pytest.raises(ServiceUnreachable):
        look(f"s3://{BUCKET}/watched/*", SETTINGS)

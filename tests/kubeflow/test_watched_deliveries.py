"""A watched prefix on the remote stack: what was taken is known to whoever runs next, on any machine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.kubeflow.story import Teller
from tests.remote.site import BUCKET, Site
from tests.shrunk.delivery import cut_delivery

PREFIX = "watched/incoming"
PLACE = f"s3://{BUCKET}/{PREFIX}/*"


@pytest.mark.timeout(900)
def test_a_watched_prefix_is_scheduled_empty_and_each_delivery_is_taken_once(
    remote_site: Site, on_kubeflow: Callable[[str], Teller], tmp_path: Path
) -> None:
    """Of two runs at once from two machines one trains on it, and none the next time."""
    teller, client = on_kubeflow("watching"), remote_site.s3_client()
    teller.done("--continuous", "--source", PLACE, "--schedule", "0 1 * * *")
    teller.done("--unschedule", "continuous-watching")

    client.upload_file(str(cut_delivery(tmp_path / "first.zip")), BUCKET, f"{PREFIX}/first.zip")
    client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/first.zip._COMPLETE", Body=b"")
    client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/half/labels.csv", Body=b"image_path,label\n")
    elsewhere = {"ZENML_CONFIG_PATH": str(tmp_path / "another-machine")}
    command = ("--continuous", "--source", PLACE, "--stack", "kubeflow")
    at_once = (*command, "--set", "ingest.earlier_run_s=0")
    with ThreadPoolExecutor() as machines:
        begun = [machines.submit(teller.run, *at_once, environment=where) for where in (None, elsewhere)]
        told = sorted((each.result() for each in begun), key=lambda each: each.exit_code)
    first, second = told
    assert [each.exit_code for each in told] == [0, 3], [(each.results, each.stderr) for each in told]
    assert (first.last["status"], first.last["version"], first.last["verdict"]) == ("completed", 1, "passed")
    assert f"Taken from s3://{BUCKET}/{PREFIX}: first.zip." in first.last["reasons"]
    assert f"Run {first.last['run']} for watching began on " in second.said
    assert "this one took nothing in" in second.said

    again = teller.run(*command, environment=elsewhere)
    assert (again.exit_code, again.last["status"]) == (0, "skipped"), (again.results, again.stderr)
    assert "learnt from exactly this data" in again.said
    assert f"Nothing new is complete in s3://{BUCKET}/{PREFIX}." in again.last["reasons"]
    assert "Not complete: half has no marker since 20" in again.said
    assert [entry["version"] for entry in teller.done("--status").last["models"]] == [1]

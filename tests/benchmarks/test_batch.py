"""What the benchmark of bulk inference counts is what was classified."""

from __future__ import annotations

from pathlib import Path

from benchmarks.dataset.generated import jpeg
from benchmarks.serving.batch_ways import alone, ours
from benchmarks.serving.exporting import encoded, exported


def test_our_way_gives_each_picture_a_row_and_goes_on_from_finished_shards(tmp_path: Path) -> None:
    """The second time nothing is classified, and the paths are the same."""
    exported("small_cnn", tmp_path / "model", side=28)
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        (tmp_path / "pictures" / f"{number}.jpg").write_bytes(jpeg(number))
    first, again = ours(tmp_path), ours(tmp_path)
    assert first["paths"] == again["paths"] == ["0.jpg", "1.jpg", "2.jpg"]
    assert (first["pictures"], first["taken_over"], again["taken_over"]) == (3, 0, 3)
    assert first["cpu_s"] > 0


def test_what_the_networks_cost_alone_is_measured_on_the_pictures_of_the_folder(tmp_path: Path) -> None:
    """Both networks and the decoding, in CPU time a picture."""
    exported("small_cnn", tmp_path / "model", side=32)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "0.jpg").write_bytes(jpeg(0))
    cost = alone(tmp_path)
    assert cost.keys() == {"ours", "eager", "decoding"}
    assert min(cost.values()) > 0


def test_there_are_as_many_pictures_as_are_asked_for() -> None:
    """Photographs again and again, or generated ones."""
    name, pictures = encoded(3)
    assert len(pictures) == 3
    assert name

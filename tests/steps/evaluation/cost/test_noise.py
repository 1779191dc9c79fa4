"""What else the machine does while times are taken is seen and said."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import psutil

from steps.evaluation.cost.load import Load
from steps.evaluation.cost.noise import REPETITIONS, Watch, calibrate

BUSY = "while True: pass"
LOAD = Load(np.full(100, 5.0), 1.0, (), np.array([0.1] * 98 + [7.0, 9.0]), 0.05)


def test_work_of_other_processes_is_noise_and_the_replicas_is_not() -> None:
    """A process that uses half a second of a core: noise, but for where it is the replica itself."""
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        try:
            process = psutil.Process(busy.pid)

            def used_s() -> float:
                return sum(process.cpu_times()[:2])

            begun = time.monotonic()
            as_other, as_replica = Watch(lambda: 0.0), Watch(used_s)
            while used_s() < 0.5:
                time.sleep(0.05)
            others = as_other.noise([LOAD]).others_busy
            none = as_replica.noise([LOAD]).others_busy
        finally:
            busy.kill()
    assert others is not None
    assert none is not None
    there_was_s = (os.cpu_count() or 1) * (time.monotonic() - begun)
    assert 0.2 < (others - none) * there_was_s < 1.0


def test_of_a_service_elsewhere_nobody_knows_what_others_take() -> None:
    """None, and the sentence does not speak of it; what the client did itself is known."""
    noise = Watch(None).noise([LOAD, LOAD])
    assert noise.others_busy is None
    assert "Other processes" not in noise.sentence()
    assert noise.client_ms == 0.5
    assert 7 <= noise.late_p99_ms <= 9


def test_the_fixed_piece_of_work_says_what_a_time_varies_by() -> None:
    """All of its repetitions take some time; the spread is above the median, the drift around nothing."""
    taken = calibrate()
    assert len(taken) == REPETITIONS
    assert min(taken) > 0
    noise = Watch(None).noise([LOAD])
    assert noise.calibration_ms > 0
    assert noise.spread >= 0
    assert noise.drift > -1
    assert f"took up to {noise.spread:.0%} longer" in noise.sentence()

"""A run that is killed in its only step, as ``kill -9`` would: started by tests as a process.

Arguments: the run's name, how often its step is retried, the run's tags.
"""

import os
import signal
import sys

from zenml import pipeline, step
from zenml.config.retry_config import StepRetryConfig

from materializers.carried_run import PROCESS_KEY, this_process
from pipelines.session import prepare


@step(enable_cache=False)
def stuck() -> None:
    """Kill the process that carries the run."""
    os.kill(os.getpid(), signal.SIGKILL)


@pipeline
def killed() -> None:
    """One step."""
    stuck()


if __name__ == "__main__":
    prepare(None)
    retry = StepRetryConfig(max_retries=int(sys.argv[2])) if sys.argv[2] != "0" else None
    killed.with_options(
        run_name=sys.argv[1], retry=retry, extra={PROCESS_KEY: this_process()}, tags=sys.argv[3:]
    )()

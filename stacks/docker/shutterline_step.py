"""What a step's container starts: fetch the project's code from the artifact store, then run one step of it.

The training image holds this file and the locked packages, nothing else of the project, so that changed code
needs no new image.
"""

import sys

from zenml.entrypoints import StepEntrypointConfiguration
from zenml.utils import code_utils


class StepEntrypoint(StepEntrypointConfiguration):
    """One step of one run, in a working directory that is the container's own, and empty."""

    def prepare_code_environment(self) -> None:
        """Unpack the code that was uploaded when the run was submitted, and go there.

        Raises:
            RuntimeError: the run was submitted without code.
        """
        code = self.snapshot.code_path
        if code is None:
            raise RuntimeError("The run was submitted without code: python run.py uploads it")
        code_utils.download_code_from_artifact_store(code, self._load_active_artifact_store())

    def run(self) -> None:
        """Run the step, without ZenML's eager import of every installed integration."""
        self.prepare_code_environment()
        self._run_step(step=self.step, snapshot=self.snapshot)


if __name__ == "__main__":
    StepEntrypoint(arguments=sys.argv[1:]).run()

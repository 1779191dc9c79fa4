"""One exception class per kind of failure; each carries the exit code that ``run.py`` answers with.

A refusal inside a pipeline is a returned report, not an exception: :class:`Refused` is raised only where a
caller asked for an act that must not happen (a deployer, an approval).
"""


class ShutterlineError(Exception):
    """A failure that is explained to the user in one sentence, without a traceback."""

    exit_code = 1


class UsageError(ShutterlineError):
    """Wrong use or configuration: nothing was started."""

    exit_code = 2


class Refused(ShutterlineError):
    """An act that a gate, a missing approval or altered evidence forbids."""

    exit_code = 3


class ServiceUnreachable(ShutterlineError):
    """A service of the stack cannot be reached or written."""

    exit_code = 4


class ServiceBusy(ServiceUnreachable):
    """A served model had no time to answer, which says nothing of the model; it may be asked again."""


class NoRoom(ServiceUnreachable, OSError):
    """A disk takes no more; what was stored before is as it was, and the same command goes on."""

    def __str__(self) -> str:
        """The sentence, without the number of the error."""
        return str(self.args[0])


class ModelGone(ServiceUnreachable):
    """A model is not where it was stored; the store itself answers."""


class StoreUnreachable(ServiceUnreachable, OSError):
    """An artifact store does not answer; whoever reads or writes files there meets an ``OSError``."""


class RunGoesOn(ServiceUnreachable):
    """Whoever carries a run does not answer any more; the run may go on without being watched."""


class ServiceFailed(ShutterlineError):
    """The served process did not come up; what was served before still is."""


class NeverReady(ServiceFailed):
    """The cluster did not bring the served process up in time; what was served before still is."""

    exit_code = 4


class DamagedArtifact(ShutterlineError):
    """Stored bytes do not have the digest they are named by."""

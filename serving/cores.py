"""How many processor cores this process may use: of the machine, its affinity, and its container's quota."""

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
UNIFIED = "0::"
"""How the line of cgroup v2 begins."""
NO_QUOTA = "max"


def available_cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Cores that this process may keep busy, one at least; a part of a core counts for nothing.

    Args:
        cgroups: where the cgroups are mounted.
        membership: names this process's.
    """
    allowed = len(os.sched_getaffinity(0))
    quotas = [quota for quota in map(_quota, _groups(cgroups, membership)) if quota is not None]
    return max(1, int(min([allowed, *quotas])))


def _groups(cgroups: Path, membership: Path) -> list[Path]:
    """The cgroup of this process and those that hold it; in a container the root is its own."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = next((line.removeprefix(UNIFIED) for line in lines if line.startswith(UNIFIED)), "/")
    group = cgroups / named.lstrip("/")
    # v1 mounts one hierarchy a controller.
    return [group, *(above for above in group.parents if above.is_relative_to(cgroups)), cgroups / "cpu"]


def _quota(group: Path) -> float | None:
    """Cores that a cgroup grants; None: no quota."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = (
                (group / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip()
                for name in ("quota", "period")
            )
        return None if quota == NO_QUOTA or int(quota) <= 0 else int(quota) / int(period)
    except (OSError, ValueError):
        return None

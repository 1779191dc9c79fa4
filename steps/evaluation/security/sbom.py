"""Write a software bill of materials (CycloneDX 1.6, JSON) of a lock file, by cyclonedx-bom."""

from __future__ import annotations

import hashlib
import subprocess
import sys

from materializers.evaluation.security import BillOfMaterials
from steps.evaluation.security.locks import PROJECT, lock_digests, pinned

TIMEOUT_S = 120


def bill_of_materials(lock: str) -> tuple[BillOfMaterials, bytes]:
    """Every package of a lock file.

    Args:
        lock: relative to the project.

    Returns:
        What the report keeps, and the bill: the same bytes for the same lock file and library.

    Raises:
        OSError: the lock file cannot be read.
        subprocess.SubprocessError: cyclonedx-bom failed.
    """
    digest = lock_digests((lock,))[lock]
    # Not validated here: that takes twelve times as long, and a test does it.
    made = subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "requirements", str(PROJECT / lock)),
            *("--output-reproducible", "--short-PURLs", "--no-validate"),
            *("--spec-version", "1.6", "--output-format", "JSON", "--output-file", "-"),
        ],
        capture_output=True,
        check=True,
        timeout=TIMEOUT_S,
    ).stdout
    bill = BillOfMaterials(
        lock=lock,
        lock_digest=digest,
        packages=len(pinned(lock)),
        sbom_digest=hashlib.sha256(made).hexdigest(),
    )
    return bill, made

"""Write a software bill of materials (CycloneDX 1.6, JSON) of a lock file."""

from __future__ import annotations

import functools
import hashlib
from uuid import UUID

from materializers.evaluation.security import BillOfMaterials
from steps.evaluation.security.locks import lock_digests, pinned


def bill_of_materials(lock: str) -> tuple[BillOfMaterials, bytes]:
    """Every package of a lock file, under the lock file's name and digest.

    Args:
        lock: relative to the project.

    Returns:
        What the report keeps, and the bill: the same bytes for the same lock file, without a time.

    Raises:
        OSError: the lock file cannot be read.
    """
    return _bill_of(lock, lock_digests((lock,))[lock])


@functools.lru_cache(maxsize=8)
def _bill_of(lock: str, digest: str) -> tuple[BillOfMaterials, bytes]:
    """The bill of one state of a lock file: a run asks for each several times, and one takes seconds."""
    from cyclonedx.model import HashType
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    packages = pinned(lock)
    whole = Component(
        type=ComponentType.FILE,
        name=lock,
        bom_ref=lock,
        hashes=[HashType.from_composite_str(f"sha256:{digest}")],
    )
    parts = [
        Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version,
            bom_ref=f"{name}=={version}",
            purl=PackageURL("pypi", name=name, version=version),
        )
        for name, version in packages
    ]
    bill = Bom(serial_number=UUID(digest[:32], version=5), components=parts)
    bill.metadata.component, bill.metadata.timestamp = whole, None  # type: ignore[assignment]
    bill.register_dependency(whole, parts)
    made = JsonV1Dot6(bill).output_as_string(indent=2).encode()
    kept = BillOfMaterials(
        lock=lock,
        lock_digest=digest,
        packages=len(packages),
        sbom_digest=hashlib.sha256(made).hexdigest(),
    )
    return kept, made

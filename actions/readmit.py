"""Put a picture back that ingest had set aside, after what was wrong with it was mended."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from actions.result import COMMAND, ActionResult
from materializers.erasure import forgotten_ids
from materializers.errors import Refused, UsageError
from materializers.image_dataset import ImageDataset, Picture, picture_digest
from materializers.quarantine import Quarantine, StoredBlobs, read_rows
from pipelines.config import Config
from serving.bad_picture import BadPicture
from serving.preprocess import Limits
from steps.data.labels import Labels, Row
from steps.data.parent import PREFIX, keep_readmitted, last_dataset
from steps.data.personal_data.treatment import treat_personal_data
from steps.data.screening import screen
from steps.data.stored import KnownArtifact, active_store, known_artifacts, of_type

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

LISTED = 5
DELIVER_FIRST = f"{COMMAND} --train --source PATH"
DELIVER = f"{COMMAND} --continuous --source PATH"
"""One picture alone is too few for ``--train``: it is joined."""


def readmit(config: Config, image_id: str) -> ActionResult:
    """Screen a picture of the quarantine anew, and join it to the model's last accepted dataset.

    Args:
        config: the limits that it is screened by, the classes, the model.
        image_id: the digest of its bytes as delivered, or the beginning of it, as the page shows it.

    Raises:
        UsageError: no quarantine knows it, several begin like this, or there is no dataset to join it to.
        Refused: it still cannot be used.
        DamagedArtifact: a quarantine, or the picture in it, cannot be read.
    """
    store = active_store()
    row = find_set_aside(store, known_artifacts(), image_id)
    picture = screen_again(store, row, limits=config.ingest.limits, classes=config.product.classes)
    parent = last_dataset(config.product.model)
    if parent is None:
        raise UsageError(
            f"{config.product.model} has no accepted dataset that the picture could be joined to: deliver "
            f"first: {DELIVER_FIRST}"
        )
    delivered, _, checks = treat_personal_data(
        ImageDataset.from_pictures([picture], stored=parent),
        Labels((), []),
        parent,
        config.validate_.personal_data,
    )
    _refuse_forgotten(store, row["path"], delivered.index["image_id"])  # masked, it is another picture
    refusing = [check.reason for check in checks if check.refuses and check.outcome == "refused"]
    if refusing:
        raise Refused(f"{row['path']} holds personal data, which the policy refuses. {' '.join(refusing)}")
    # What was corrected since stands.
    joined = delivered.join(parent)
    if joined.version == parent.version:
        said = f"{row['path']} is in the data already, as it was delivered. Nothing was changed."
    else:
        keep_readmitted(joined, config.product.model)
        said = f"{row['path']} is back, labelled {picture.label}: {len(joined):,} pictures."
    return ActionResult(
        action="readmit",
        status="done",
        reasons=(said,),
        details={
            "source_digest": row["source_digest"],
            "path": row["path"],
            "label": picture.label,
            "parent": parent.version,
            "data": joined.version,
            "pictures": len(joined),
        },
    )


def find_set_aside(store: BaseArtifactStore, artifacts: list[KnownArtifact], image_id: str) -> dict[str, Any]:
    """The newest row of the quarantine about this picture; a value that is missing is None.

    Raises:
        UsageError: there is none, or several begin like this.
    """
    wanted = image_id.strip().lower()
    known = pd.concat(
        [read_rows(store, artifact.uri).index for artifact in of_type(artifacts, Quarantine)]
        or [pd.DataFrame({"source_digest": pd.array([], dtype=pd.StringDtype("pyarrow"))})]
    ).dropna(subset=["source_digest"])
    newest = ", ".join(
        dict.fromkeys(digest[:16] for digest in reversed(known["source_digest"].tolist()[-LISTED:]))
    )
    there = f"The newest there are: {newest}." if newest else "The quarantine is empty."
    if not PREFIX.fullmatch(wanted):
        raise UsageError(
            f"{image_id!r} is no picture's id: 8 to 64 hexadecimal digits of its digest. {there}"
        )
    rows = known[known["source_digest"].str.startswith(wanted)]
    digests = sorted(rows["source_digest"].unique())
    if not digests:
        raise UsageError(f"No quarantine knows a picture {wanted}. {there}")
    if len(digests) > 1:
        shown = ", ".join(digest[:20] for digest in digests[:LISTED])
        raise UsageError(f"{len(digests)} pictures begin with {wanted}: {shown}. Give more digits.")
    newest_row = rows.iloc[-1].to_dict()
    return {str(name): None if pd.isna(value) else value for name, value in newest_row.items()}


def screen_again(
    store: BaseArtifactStore, row: dict[str, Any], *, limits: Limits, classes: tuple[str, ...]
) -> Picture:
    """The picture of a row of the quarantine, when nothing speaks against it any more.

    Raises:
        Refused: it has no label or one that is not configured, its bytes are gone, it was forgotten, or it
            still cannot be used.
        DamagedArtifact: its bytes are not those that were delivered.
    """
    path, label, digest = row["path"], row["label"], row["source_digest"]
    if label is None:
        raise Refused(
            f"{path} was delivered without a label, so there is none to learn: deliver it with one: {DELIVER}"
        )
    if label not in classes:
        raise Refused(
            f"The label of {path}, {label!r}, is none of {', '.join(classes)}: deliver it with one of these, "
            f"or add the class to product.classes: {DELIVER}"
        )
    _refuse_forgotten(store, path, [digest])
    data = StoredBlobs(store).read(digest) if row["kept"] else None
    if data is None:
        raise Refused(
            f"The bytes of {path} are not there any more: they were kept until {row['keep_until']:%Y-%m-%d} "
            f"at most. Deliver it again: {DELIVER}"
        )
    said = Row(
        image_path=path,
        label=label,
        group=row["group"],
        captured_at=row["captured_at"],
        extra=json.loads(row["extra"]) if row["extra"] else {},
    )
    try:
        picture = screen(data, said, source_name=row["source"], limits=limits)
    except BadPicture as error:
        raise Refused(
            f"{path} still cannot be used, it is set aside as {error.reason}: {error.message}. Mend the "
            f"picture and deliver it again: {DELIVER}"
        ) from error
    _refuse_forgotten(store, path, [picture_digest(picture.data)])
    return picture


def _refuse_forgotten(store: BaseArtifactStore, path: str, digests: Iterable[str]) -> None:
    """Refuse a picture that is known as forgotten by one of these digests."""
    if not forgotten_ids(store).isdisjoint(digests):
        raise Refused(f"{path} was forgotten: it does not come back.")

"""Compare a model with the champion and with the anchor, all asked now, through the same code.

What a report said of them then is not looked at: rows and code may be others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from materializers.errors import DamagedArtifact, ModelGone, Refused, ServiceUnreachable
from materializers.evaluation.comparison import Against, Comparison
from materializers.evidence import RegisteredVersion, read_versions
from materializers.splits import TRAIN, Splits
from steps.evaluation.answers import each_answer
from steps.evaluation.comparison.compare import Answers, Other, Rows, compare, majority_baseline
from steps.evaluation.comparison.opponents import find_anchor, find_champion, splits_of
from steps.evaluation.comparison.rows import FairRows, fair_rows
from steps.evaluation.comparison.tested_rows import sample_of, share_in_common
from steps.evaluation.metrics import UNUSABLE
from steps.registry.registered_model import predictor_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from serving.predictor import PictureError, Prediction
    from steps.data.class_changes import ClassChanges
    from steps.evaluation.comparison.compare import Names
    from steps.evaluation.comparison.settings import Anchor, ComparisonSettings
    from steps.evaluation.examined import Examined

BATCH = 64
SAME_TEST_SET = 0.5
"""Of the rows of the smaller of two test sets: with as many in common they are one that has grown."""


def assess_comparisons(
    examined: Examined,
    splits: Splits,
    settings: ComparisonSettings,
    *,
    model_name: str,
    anchor: Anchor,
    changes: ClassChanges,
) -> dict[str, Comparison]:
    """Compare with the champion, or on the first time with a majority-class baseline, and with the anchor.

    Args:
        examined: the challenger and its answers to all its test pictures.
        splits: that it learnt from.
        settings: margins and error rates.
        model_name: the registered model.
        anchor: which version does not move.
        changes: of the classes since an older version: renamed ones are the same, retired ones were given up.

    Returns:
        ``champion`` and, once a version was in production, ``anchor``. One that cannot be read is not
        assessed, so that the gate refuses.

    Raises:
        ServiceUnreachable: the artifact store or the audit log cannot be read.
    """
    try:
        versions = read_versions(model_name)
    except ServiceUnreachable as error:
        # The training is not lost with the registry: nothing is registered while that is away, and on this
        # verdict nothing is released.
        return _unknown(f"{error}. Once it answers, the same command compares and trains nothing")
    tested = sample_of(examined.image_ids)
    decisions = 1 + judged_before(versions, tested, examined.classifier.record.model_digest)
    try:
        champion = find_champion(model_name, versions)
    except Refused as refusal:
        return _unknown(str(refusal))
    if champion is None:
        none = Comparison(against="anchor", nothing_yet="no version was ever in production")
        return {"champion": _with_baseline(examined, splits, settings, decisions), "anchor": none}
    found = {"champion": _with_version(examined, splits, settings, champion, "champion", changes, decisions)}
    try:
        fixed = find_anchor(model_name, versions, anchor)
    except Refused as refusal:
        return found | {"anchor": Comparison(against="anchor", not_assessed=str(refusal))}
    if fixed is None:
        reason = f"version {champion.version} is the champion, and no version was ever in production"
        return found | {"anchor": Comparison(against="anchor", not_assessed=reason)}
    return found | {"anchor": _with_version(examined, splits, settings, fixed, "anchor", changes, decisions)}


def _unknown(reason: str) -> dict[str, Comparison]:
    """Both comparisons where nobody can tell what was in production."""
    return {
        "champion": Comparison(not_assessed=reason),
        "anchor": Comparison(against="anchor", not_assessed=reason),
    }


def judged_before(versions: Sequence[RegisteredVersion], tested: str, model: str) -> int:
    """How many other models were judged on these test pictures, or on a test set that has most of them.

    Args:
        versions: of the registered model.
        tested: what ``sample_of`` keeps of the test pictures.
        model: the digest of the one that is judged now.
    """
    judged = {
        entry.tags.get("model_digest")
        for entry in versions
        if share_in_common(entry.tags.get("test_rows", ""), tested) >= SAME_TEST_SET
    }
    return len(judged - {model, None})


def _with_baseline(
    examined: Examined, splits: Splits, settings: ComparisonSettings, decisions: int
) -> Comparison:
    rows = fair_rows(splits, None)
    members = splits.members
    learnt = members.loc[members["split"] == TRAIN, "label"].astype(str).tolist()
    if not learnt:
        return Comparison(against="majority class", not_assessed="the splits name no training picture")
    baseline = majority_baseline(learnt, examined.classes, len(rows.image_ids))
    return compare(_rows(splits, rows), _own_answers(examined, rows), baseline, settings, decisions=decisions)


def _with_version(
    examined: Examined,
    splits: Splits,
    settings: ComparisonSettings,
    entry: RegisteredVersion,
    against: Against,
    changes: ClassChanges,
    decisions: int,
) -> Comparison:
    """Compare with a registered version; what of it cannot be read is the reason that it is not assessed."""
    about = {"against": against, "version": str(entry.version), "model": entry.tags.get("model_digest")}
    try:
        rows = fair_rows(splits, splits_of(entry))
        with predictor_of(entry) as predictor:
            given = each_answer(predictor, examined.dataset, rows.image_ids, batch_size=BATCH)
            answers = under_todays_names(given, predictor.metadata.classes, changes)
    except (DamagedArtifact, ModelGone, Refused) as error:
        return Comparison(**about, not_assessed=f"version {entry.version} cannot be read: {error}")
    other = Other(answers, against, version=str(entry.version), model=entry.tag("model_digest"))
    return compare(
        _rows(splits, rows),
        _own_answers(examined, rows),
        other,
        settings,
        retired=changes.retired,
        left_out=rows.left_out,
        decisions=decisions,
    )


def _rows(splits: Splits, rows: FairRows) -> Rows:
    """The rows with their labels; a golden picture's is the one that it was frozen with."""
    labels = splits.members.set_index("image_id")["label"].loc[list(rows.image_ids)]
    return Rows(true=_names(labels.astype(str).tolist()), golden=rows.golden, new=rows.new)


def _own_answers(examined: Examined, rows: FairRows) -> Answers:
    place_of = {image_id: place for place, image_id in enumerate(examined.image_ids)}
    numbers = examined.predicted[[place_of[image_id] for image_id in rows.image_ids]].tolist()
    labels = [None if number == UNUSABLE else examined.classes[number] for number in numbers]
    return Answers(_names(labels), examined.classes)


def under_todays_names(
    given: Iterable[Prediction | PictureError], classes: Sequence[str], changes: ClassChanges
) -> Answers:
    """The answers of an older version, with the names that its classes have now."""
    now = {label: changes.renamed.get(label, label) for label in classes}
    labels = [now.get(getattr(answer, "label", None) or "") for answer in given]
    return Answers(_names(labels), tuple(dict.fromkeys(now.values())))


def _names(labels: Sequence[str | None]) -> Names:
    names = np.empty(len(labels), dtype=object)
    names[:] = labels
    return names

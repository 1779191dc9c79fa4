"""How a model is measured: one section a part of the evaluation."""

from __future__ import annotations

from pydantic import Field

from materializers.report import Record
from steps.evaluation.abstention import AbstentionSettings
from steps.evaluation.behaviour.settings import BehaviourSettings
from steps.evaluation.calibration_quality import CalibrationQualitySettings
from steps.evaluation.cost.settings import CostSettings
from steps.evaluation.explanations.settings import ExplanationsSettings
from steps.evaluation.metrics import TOP_K
from steps.evaluation.robustness.settings import RobustnessSettings
from steps.evaluation.security.settings import SecuritySettings
from steps.evaluation.slices.settings import SlicesSettings
from steps.evaluation.unknown_pictures.settings import UnknownPicturesSettings
from steps.evaluation.worst_mistakes import WorstMistakesSettings


class EvaluateSettings(Record):
    """How a model is measured."""

    bootstrap_resamples: int = Field(default=1000, ge=100, le=100_000)
    """Resamples behind each 95 % interval."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    top_k: int = Field(default=TOP_K, ge=2, le=100)
    """Among how many of the most probable classes the true one counts as found."""
    batch_size: int = Field(default=64, ge=1, le=65_536)
    threads: int = Field(default=2, ge=1, le=1024)
    calibration: CalibrationQualitySettings = CalibrationQualitySettings()
    abstention: AbstentionSettings = AbstentionSettings()
    unknown: UnknownPicturesSettings = UnknownPicturesSettings()
    worst_mistakes: WorstMistakesSettings = WorstMistakesSettings()
    slices: SlicesSettings = SlicesSettings()
    robustness: RobustnessSettings = RobustnessSettings()
    explanations: ExplanationsSettings = ExplanationsSettings()
    behaviour: BehaviourSettings = BehaviourSettings()
    cost: CostSettings = CostSettings()
    security: SecuritySettings = SecuritySettings()

"""A problem: features, targets and splits as plain arrays, ready to be trained on. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int8

from mtl_core.specs import TaskSpec

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Problem:
    """Named tasks over shared features, with a split.

    A missing label is NaN in `targets`; nothing else marks it. Class labels are the index into
    `TaskSpec.classes` (binary: 0.0 or 1.0), counts are the counts, regression targets are in original units.
    Features are numbers only, not yet standardised: the engine does that with training statistics.
    """

    name: str
    features: Float[np.ndarray, "rows features"]
    targets: Mapping[str, Float[np.ndarray, "rows width"]]
    tasks: tuple[TaskSpec, ...]
    split: Int8[np.ndarray, " rows"]  # 0 train, 1 validation, 2 test
    feature_names: tuple[str, ...]
    synthetic: bool = False
    domain_weights: Mapping[str, float] = field(default_factory=dict)  # weights of the fixed criterion, by task
    score_weights: Mapping[str, float] = field(default_factory=dict)  # weights of the aggregate score, by task
    truth: Mapping[str, Any] = field(default_factory=dict)  # what a synthetic generator knows: noise, units, relatedness
    training: Mapping[str, Any] = field(default_factory=dict)  # recommended TrainingSpec values (epochs, batch_size, ...)
    warnings: tuple[str, ...] = ()

    def rows(self, split: int) -> int:
        """How many rows the split has."""
        return int((self.split == split).sum())

    def availability(self, split: int) -> dict[str, float]:
        """Share of rows of the split that carry a label, by task; for a vector target the share of elements."""
        inside = self.split == split
        return {task.name: float(np.isfinite(self.targets[task.name][inside]).mean()) for task in self.tasks}

"""A problem: features, targets and splits as plain arrays, ready to be trained on. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int8

from mtl_core.records import ProblemInfo
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
    input_shape: tuple[int, ...] = ()  # channels, then length or height and width, of which a row of features is the flat form
    starts: Float[np.ndarray, "starts coordinates"] | None = None  # without a network: where seeds 0, 1, 2, ... begin
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


def problem_info(problem: Problem, baselines: Mapping[str, Any] | None = None) -> ProblemInfo:
    """What pages and exports need to know; `baselines[split][task][metric]` comes from `mtl_core.baselines`."""
    return ProblemInfo(
        name=problem.name,
        tasks=problem.tasks,
        synthetic=problem.synthetic,
        rows={name: problem.rows(split) for split, name in enumerate(SPLITS)},
        availability={name: problem.availability(split) for split, name in enumerate(SPLITS) if problem.rows(split)},
        baselines=baselines or {},
        label_rates={name: _label_rates(problem, split) for split, name in enumerate(SPLITS)},
        features=problem.features.shape[1],
        warnings=problem.warnings,
        truth=problem.truth,
    )


def _label_rates(problem: Problem, split: int) -> dict[str, float]:
    """Share of positives of each binary task and of zeros of each count task, among its labels in the split."""
    rates = {}
    for task in problem.tasks:
        labels = problem.targets[task.name][problem.split == split]
        labels = labels[np.isfinite(labels)]
        if task.kind in ("binary", "count") and labels.size:
            rates[task.name] = float((labels == (1 if task.kind == "binary" else 0)).mean())
    return rates

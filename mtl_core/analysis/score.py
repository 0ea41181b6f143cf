"""The aggregate score with its parts: fixed, editable weights over one component per task, each from 0 to 1, higher better.

    multiclass          accuracy
    binary              AUROC (its constant predictor is at 0.5 whatever the share of positives, unlike average precision)
    segmentation        mean IoU
    detection           AP@50
    function            none: a value by itself says nothing of how good it is
    all other kinds     1 - MAE / MAE of the training mean, kept within 0 to 1: the share of its error that is removed
                        (of a skewed target the median would be a constant with a lower MAE)

Weights are renormalised over the tasks that have a component in the split; which those are is reported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mtl_core.analysis.metrics import constant, differences
from mtl_core.analysis.parts import side_by_side, singles, trained
from mtl_core.analysis.runs import At, Values, by_arm, read
from mtl_core.analysis.seeds import Difference, Estimate, estimate
from mtl_core.analysis.wording import listed
from mtl_core.records import Comparison
from mtl_core.specs import Kind, TaskSpec

COMPONENTS: dict[Kind, str] = {
    "multiclass": "accuracy",
    "binary": "auroc",
    "regression": "mae",
    "multi_output": "mae",
    "count": "mae",
    "segmentation": "mean_iou",
    "dense_regression": "mae",
    "detection": "ap50",
}
NONE = "no component"
MEANING = {
    NONE: NONE,
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "mean_iou": "mean IoU",
    "ap50": "AP@50",
    "mae": "1 - MAE / MAE of the training mean, within 0 to 1",
}


@dataclass(frozen=True)
class ScorePart:
    """One task's component, or the whole score (task empty, weight 1)."""

    task: str
    meaning: str
    weight: float  # as counted: renormalised; 0 where the task has no component in this split
    constant: float  # the constant predictor's component
    estimates: Mapping[str, Estimate]  # by arm
    differences: Mapping[str, Difference]  # by arm, without the baseline arm


@dataclass(frozen=True)
class Score:
    """The aggregate score of every arm and what it is made of."""

    at: At
    split: str
    total: ScorePart
    parts: tuple[ScorePart, ...]
    uncounted: tuple[str, ...]  # tasks with a weight but no component in this split
    partial: tuple[str, ...] = ()  # arms without a total, as they do not train all tasks that count
    singles: Mapping[str, str] = field(default_factory=dict)  # by task: the arm that trains it alone

    @property
    def columns(self) -> tuple[str, ...]:
        """What stands side by side, as in a `MetricTable`."""
        return side_by_side(list(self.total.estimates), self.singles)

    @property
    def partial_sentence(self) -> str:
        """Which arms have no total, and why; empty where all have one."""
        some = "it does" if len(self.partial) == 1 else "they do"
        return f"No score of {listed(self.partial)}: {some} not train all tasks that count." if self.partial else ""

    @property
    def uncounted_sentence(self) -> str:
        """Which tasks with a weight do not count, and why; empty where all do."""
        kinds = [part.task for part in self.parts if part.meaning == NONE and part.task in self.uncounted]
        few = [task for task in self.uncounted if task not in kinds]
        told = [f"Not counted, as the {self.split} split has too few labels to measure: {listed(few)}."] if few else []
        return " ".join([*told, *([f"Not counted, as a value by itself is not good or bad: {listed(kinds)}."] if kinds else [])])


def score(comparison: Comparison, at: At = "best", split: str = "test", weights: Mapping[str, float] | None = None) -> Score:
    """weights: by task, at least one above 0; None: those of the experiment, else equal ones."""
    tasks = comparison.problem.tasks
    given = weights or comparison.spec.score or dict.fromkeys((task.name for task in tasks), 1.0)
    components = {task.name: component(comparison, at, split, task) for task in tasks}
    counted = [task.name for task in tasks if given.get(task.name, 0) > 0 and np.isfinite(components[task.name]).any()]
    whole = sum(given[name] for name in counted)
    shares = {name: given[name] / whole for name in counted}
    parts = [_part(comparison, task, shares.get(task.name, 0.0), split, components[task.name]) for task in tasks]
    total = _total(comparison, shares, components, {part.task: part.constant for part in parts})
    uncounted = tuple(task.name for task in tasks if given.get(task.name, 0) > 0 and task.name not in counted)
    partial = tuple(arm for arm in comparison.spec.arms if not set(counted) <= set(trained(comparison, arm)))
    return Score(at, split, total, tuple(parts), uncounted, partial, singles(comparison))


def component(comparison: Comparison, at: At, split: str, task: TaskSpec) -> Values:
    """A task's component of every run."""
    name = COMPONENTS.get(task.kind, NONE)
    values = read(comparison, at, split, task.name, name)
    if name != "mae":
        return values
    reference = constant(comparison, split, task.name, "mae")
    return np.array([_removed(value, reference) for value in values.tolist()], dtype=np.float64)


def _removed(error: float, reference: float) -> float:
    if not (math.isfinite(error) and reference > 0):
        return math.nan
    return min(1.0, max(0.0, 1 - error / reference))


def _part(comparison: Comparison, task: TaskSpec, weight: float, split: str, values: Values) -> ScorePart:
    name = COMPONENTS.get(task.kind, NONE)
    trivial = constant(comparison, split, task.name, name)
    trivial = _removed(trivial, trivial) if name == "mae" else trivial
    return ScorePart(task.name, MEANING[name], weight, trivial, *_compared(comparison, values))


def _total(
    comparison: Comparison, shares: Mapping[str, float], components: Mapping[str, Values], trivial: Mapping[str, float]
) -> ScorePart:
    nothing = np.full(len(comparison.runs), np.nan)
    values = sum((share * components[task] for task, share in shares.items()), np.zeros_like(nothing)) if shares else nothing
    meaning = "weighted mean of the components"
    of_constants = sum(share * trivial[task] for task, share in shares.items()) if shares else math.nan
    return ScorePart("", meaning, 1.0, of_constants, *_compared(comparison, values))


def _compared(comparison: Comparison, values: Values) -> tuple[dict[str, Estimate], dict[str, Difference]]:
    estimates = {arm: estimate(by_arm(comparison, arm, values)) for arm in comparison.spec.arms}
    return estimates, differences(comparison, values, sense=1)

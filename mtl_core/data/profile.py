"""What a person should know of data before training on it: tasks with what a constant scores, associations, twins.

All of it is computed without torch, so that pages and `inspect` can show it. Where a problem cannot be made of a table, the
reason is among the warnings and there is no profile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int8

from mtl_core.data import associations, engines
from mtl_core.data.associations import Associations
from mtl_core.data.cmapss import Recording
from mtl_core.data.table import inspect_understood, make_problem
from mtl_core.data.twins import Twins, find_twins
from mtl_core.data.understanding import Understanding, understand_table
from mtl_core.errors import TableError
from mtl_core.problem import SPLITS, TRAIN, Problem
from mtl_core.records import metrics_of
from mtl_core.specs import MAPS, DataSpec, TaskSpec

_MOST_RATE = math.exp(30)  # of a count, as training has it


class TaskFacts(NamedTuple):
    """One task as its labels show it."""

    task: TaskSpec
    labels: Mapping[str, int]  # by split: rows with a label (vectors: with any)
    shares: Mapping[str, float]  # by split: of rows, for vectors of elements, that have one
    scale: str  # in words: mean and spread, share of positives, most frequent class
    metric: str  # the headline of its kind
    constant: Mapping[str, float | None]  # by split: the metric of the predictor that does not look at the features

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        more = {"labels": dict(self.labels), "available": {name: round(share, 4) for name, share in self.shares.items()}}
        baseline = {"metric": self.metric, **self.constant}
        return {"name": self.task.name, "kind": self.task.kind, **more, "scale": self.scale, "baseline": baseline}


@dataclass(frozen=True)
class Profile:
    """A problem as a person looks at it."""

    rows: Mapping[str, int]  # by split
    features: int  # as a model is given them
    columns: int  # the same before categories become several numbers
    tasks: tuple[TaskFacts, ...]
    associations: Associations
    twins: Twins

    @property
    def without_network(self) -> bool:
        """Whether a point is trained on functions of it: there are neither rows nor features to look at."""
        return all(facts.task.kind == "function" for facts in self.tasks)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `inspect --json` prints it."""
        return {
            "split": dict(self.rows),
            "tasks": [facts.to_dict() for facts in self.tasks],
            "associations": self.associations.to_dict(),
            "twins": self.twins.to_dict(),
        }


def profile(problem: Problem) -> Profile:
    """The profile of a problem, from its encoded features."""
    return _profile(problem, problem.features.shape[1], associations.of_problem(problem), find_twins(problem))


class Examined(NamedTuple):
    """A table as it is understood, and what becomes of it: a problem with its profile, or the reason why there is none."""

    understanding: Understanding  # with every warning there is
    problem: Problem | None
    profile: Profile | None
    refusal: str = ""


def examine(data: bytes, name: str, spec: DataSpec | None = None) -> Examined:
    """All that can be told of a table before training. Raises TableError, SpecError where it is not understood."""
    said = spec or DataSpec(file=name)
    recording = engines.recording_of(data, name, said)
    if recording is not None:
        return _of_recording(recording, name, said)
    seen = understand_table(data, name, said)
    understood = inspect_understood(seen, spec)
    try:
        problem, twins = make_problem(seen, name, said)
    except TableError as error:
        return Examined(understood, None, None, str(error))
    used = seen.used()
    found = _profile(problem, len(used), associations.of_table(used, seen.targets), twins)
    warnings = dict.fromkeys((*understood.warnings, *problem.warnings))
    return Examined(replace(understood, warnings=tuple(warnings)), problem, found)


def _of_recording(recording: Recording, name: str, spec: DataSpec) -> Examined:
    understood = engines.inspect(recording, spec)
    try:
        problem = engines.to_problem(recording, name, spec)
    except TableError as error:
        return Examined(understood, None, None, str(error))
    return Examined(understood, problem, profile(problem))


def _profile(problem: Problem, columns: int, found: Associations, twins: Twins) -> Profile:
    rows = {name: problem.rows(split) for split, name in enumerate(SPLITS)}
    tasks = tuple(task_facts(task, problem.targets[task.name], problem.split) for task in problem.tasks)
    return Profile(rows, problem.features.shape[1], columns, tasks, found, twins)


# --- tasks -----------------------------------------------------------------------------------------------------------


def task_facts(task: TaskSpec, targets: Float[np.ndarray, "rows width"], split: Int8[np.ndarray, " rows"]) -> TaskFacts:
    """How many labels a task has where, what they are like, and what a constant scores on them."""
    inside = {name: split == part for part, name in enumerate(SPLITS)}
    known = np.isfinite(targets)
    return TaskFacts(
        task,
        {name: int(known[rows].any(axis=1).sum()) for name, rows in inside.items()},
        {name: float(known[rows].mean()) if rows.any() else 0.0 for name, rows in inside.items()},
        _scale(task, targets[known]),
        metrics_of(task)[0],
        {
            name: constant_metric(task, targets[split == TRAIN], targets[rows])
            for name, rows in inside.items()
            if name != SPLITS[TRAIN]
        },
    )


def constant_metric(
    task: TaskSpec, training: Float[np.ndarray, "training width"], judged: Float[np.ndarray, "rows width"]
) -> float | None:
    """The headline metric of the constant predictor fitted on the training labels; None where it is not defined, and for boxes.

    The same as `mtl_core.baselines`, which fits by maximum likelihood: the mean of a zero-inflated negative binomial
    of highest likelihood is the mean of the labels.
    """
    labels, known = training[np.isfinite(training)], np.isfinite(judged)
    true = judged[known]
    if not true.size or task.kind in ("detection", "function"):
        return None
    if task.kind == "segmentation":
        return _constant_iou(labels, true)
    if task.kind == "dense_regression":
        places = (part.reshape(-1, task.outputs_a_place) for part in (training, judged))
        means, truth = _column_means(next(places)), next(places)
        return float(np.abs(truth - means)[np.isfinite(truth)].mean())
    if task.kind == "binary":
        return 0.5 if np.unique(true).size == 2 else None
    if task.kind == "multiclass":
        guess = int(np.bincount(labels.astype(int), minlength=1).argmax())
        return float((true == guess).mean())
    if task.kind == "count":
        mean = float(np.clip(labels.mean(), 1e-6, _MOST_RATE)) if labels.size else 1.0
        return float(np.abs(true - mean).mean())
    residuals = judged - _column_means(training)
    return float(np.sqrt((np.where(known, residuals, 0.0) ** 2).sum() / known.sum()))


def _constant_iou(labels: Float[np.ndarray, " labels"], true: Float[np.ndarray, " judged"]) -> float:
    """Mean IoU of saying the commonest class everywhere, over the classes that occur or are said."""
    guess = int(np.bincount(labels.astype(int), minlength=1).argmax())
    present = np.union1d(np.unique(true), [guess])
    return float((true == guess).mean() / len(present))


def _column_means(values: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, " width"]:
    known: Bool[np.ndarray, "rows width"] = np.isfinite(values)
    means: Float[np.ndarray, " width"] = np.where(known, values, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    return means


def _scale(task: TaskSpec, labels: Float[np.ndarray, " labels"]) -> str:
    if not labels.size or task.kind == "function":
        return ""
    if task.kind in MAPS:
        return f"{' x '.join(map(str, task.grid))} places"
    if task.kind in ("binary", "multiclass"):
        counts = np.bincount(labels.astype(int))
        shown = 1 if task.kind == "binary" else int(counts.argmax())
        share = f"{100 * counts[shown] / labels.size:.3g} %" if shown < counts.size else "0 %"
        name = task.classes[shown] if shown < len(task.classes) else "positive"
        words = f"{share} are {name}"
        return words if task.kind == "binary" else f"{len(task.classes)} classes, {words}"
    text = f"{labels.mean():.3g} ± {labels.std():.3g}"
    if task.kind == "count":
        return f"{text}, {100 * (labels == 0).mean():.3g} % zeros"
    return f"{task.width} values, {text}" if task.width > 1 else text

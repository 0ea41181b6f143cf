"""What stands behind a task's numbers: labels in a split, and whether the task took part in training at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mtl_core.analysis.runs import LOST
from mtl_core.analysis.seeds import Estimate, estimate
from mtl_core.analysis.wording import count, listed
from mtl_core.records import Channel, Comparison

FEW_LABELS, FEW_POSITIVES = 30, 10
RESTS = "its metrics rest on very few rows."


@dataclass(frozen=True)
class TakingPart:
    """One arm: by task, means over epochs, then over seeds, of the training signals."""

    arm: str
    available: Mapping[str, Estimate]  # share of labels present
    gate: Mapping[str, Estimate]  # gate state, 1 open; n is 0 without a gate
    left_out: tuple[str, ...]  # tasks of weight 0 in every epoch recorded


def taking_part(comparison: Comparison) -> tuple[TakingPart, ...]:
    """One entry per arm, in the order of the experiment."""
    return tuple(_arm(comparison, arm) for arm in comparison.spec.arms)


def _arm(comparison: Comparison, arm: str) -> TakingPart:
    tasks = [task.name for task in comparison.problem.tasks]
    available = {task: estimate(_means(comparison, arm, task, "available")) for task in tasks}
    gate = {task: estimate(_means(comparison, arm, task, "gate")) for task in tasks}
    return TakingPart(arm, available, gate, _left_out(comparison, arm))


def _left_out(comparison: Comparison, arm: str) -> tuple[str, ...]:
    weights = {task.name: _recorded(comparison, arm, task.name, "weight") for task in comparison.problem.tasks}
    return tuple(task for task, seen in weights.items() if np.isfinite(seen).any() and not np.nan_to_num(seen).any())


def _recorded(comparison: Comparison, arm: str, task: str, name: str) -> Float[np.ndarray, "epochs runs"]:
    """Of the counted runs."""
    runs = [run for run in comparison.runs_of(arm) if comparison.runs[run].status not in LOST]
    return comparison.column(*Channel("train", task, name), runs)


def _means(comparison: Comparison, arm: str, task: str, name: str) -> np.ndarray:
    """Mean over recorded epochs of each counted run that has any; absolute, so that weights of both signs do not cancel."""
    recorded = [np.abs(column[np.isfinite(column)]) for column in _recorded(comparison, arm, task, name).T]
    return np.array([values.mean() for values in recorded if values.size])


def left_out_notes(comparison: Comparison) -> list[str]:
    """A sentence for every arm that never trained some task."""
    why = "gated out or of weight 0 in every step; its numbers are those of an untrained head"
    found = {arm: _left_out(comparison, arm) for arm in comparison.spec.arms}
    return [f"{arm} never trained {listed(tasks)} ({why})." for arm, tasks in found.items() if tasks]


def few_labels_notes(comparison: Comparison, split: str) -> list[str]:
    """A sentence for every task whose metrics rest on very few rows of the split."""
    notes = [_few(comparison, split, task.name, task.kind) for task in comparison.problem.tasks]
    return [note for note in notes if note]


def _few(comparison: Comparison, split: str, task: str, kind: str) -> str:
    few = few_labels(comparison, split, task, kind)
    return f"{task}: only {few} in the {split} split: {RESTS}" if few else ""


def few_labels(comparison: Comparison, split: str, task: str, kind: str) -> str:
    """The very few labels that a task's metrics rest on, in words: `2 positives among 100 labels`; empty if there are more."""
    problem = comparison.problem
    labels = round(problem.rows.get(split, 0) * problem.availability.get(split, {}).get(task, 0.0))
    rate = problem.label_rates.get(split, {}).get(task)
    if kind == "binary" and rate is not None and labels:
        rarer = round(labels * min(rate, 1 - rate))
        if rarer < FEW_POSITIVES:
            which = "positive" if rate <= 0.5 else "negative"
            return f"{count(rarer, which)} among {count(labels, 'label')}"
    if labels < FEW_LABELS and kind != "function":  # a function's value rests on no label
        return count(labels, "label")
    return ""

"""The fixed validation criterion, early stopping on it, and what the learned objective would have chosen instead.

`Criterion` is built from the selection spec and the problem alone and is given raw task losses: a learned weight cannot
get in. The learned objective is watched by `Watch` only to be reported as a counterfactual. With `stop: {on: primary}` the
raw validation loss of the primary task takes the criterion's place in selecting and stopping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int

from mtl_core.records import TaskRegret
from mtl_core.specs import SelectionSpec, StopSpec, TaskSpec


@dataclass(frozen=True)
class Criterion:
    """`sum_i w_i L_i / scale_i` with fixed weights, renormalised over the tasks that have labels in the split."""

    weights: Float[np.ndarray, "lanes tasks"]  # each lane sums to 1 over all tasks
    scale: Float[np.ndarray, "lanes tasks"]

    def __call__(
        self, losses: Float[np.ndarray, "lanes tasks"], labelled: Bool[np.ndarray, " tasks"]
    ) -> Float[np.ndarray, " lanes"]:
        """The criterion of raw task losses; NaN if no weighted task has labels or a loss is not finite (never the best)."""
        weights = self.counted(labelled)
        criterion: np.ndarray = (weights * np.where(weights > 0, losses, 0.0) / self.scale).sum(1)
        return np.where(weights.sum(1) > 0, criterion, np.nan)

    def of(self, lanes: Int[np.ndarray, " some"]) -> Criterion:
        """The criterion of some of the lanes."""
        return Criterion(self.weights[lanes], self.scale[lanes])

    def counted(self, labelled: Bool[np.ndarray, " tasks"]) -> Float[np.ndarray, "lanes tasks"]:
        """Weights after renormalisation; zeros for a lane without a weighted task that has labels."""
        kept = self.weights * labelled
        total = kept.sum(1, keepdims=True)
        return np.asarray(np.divide(kept, total, out=np.zeros_like(kept), where=total > 0))


def selecting(stop: StopSpec | None, tasks: Sequence[TaskSpec], criterion: float, losses: Float[np.ndarray, " tasks"]) -> float:
    """What selects a lane's epoch: the fixed criterion, or the raw loss of the primary task."""
    if stop is None or stop.on != "primary":
        return criterion
    return float(losses[[task.name for task in tasks].index(str(stop.task))])


def fixed_weights(spec: SelectionSpec, tasks: Sequence[TaskSpec], domain: Mapping[str, float]) -> Float[np.ndarray, " tasks"]:
    """Criterion weights of one lane, sum 1: uniform, the problem's domain weights, the task priors' `e^{-s}`, or given ones.

    A mapping gives 0 to the tasks it leaves out; domain weights fall back to uniform where the problem has none.
    """
    if isinstance(spec.weights, dict):
        weights = np.array([spec.weights.get(task.name, 0.0) for task in tasks])
    elif spec.weights == "domain" and any(domain.values()):
        weights = np.array([domain.get(task.name, 0.0) for task in tasks])
    elif spec.weights == "priors":
        weights = np.exp([-task.prior for task in tasks])
    else:
        weights = np.ones(len(tasks))
    return np.asarray(weights / weights.sum(), dtype=np.float64)


@dataclass
class Watch:
    """Best epochs and patience of every lane. Epochs count from 1; 0 means none yet."""

    best: Float[np.ndarray, " lanes"]  # what selects: the criterion, or the primary task's loss
    best_epoch: Int[np.ndarray, " lanes"]
    learned: Float[np.ndarray, " lanes"]  # lowest learned objective so far
    learned_epoch: Int[np.ndarray, " lanes"]
    task_best: Float[np.ndarray, "lanes tasks"]
    task_epoch: Int[np.ndarray, "lanes tasks"]
    mark: Float[np.ndarray, "lanes 1+tasks"]  # level that counts as progress (min_delta below it resets patience)
    waited: Int[np.ndarray, "lanes 1+tasks"]  # epochs without progress: what selects, then each task

    @staticmethod
    def start(lanes: int, tasks: int) -> Watch:
        """Nothing seen."""
        one, each, both = lanes, (lanes, tasks), (lanes, 1 + tasks)
        best = {
            name: np.full(size, np.inf) for name, size in (("best", one), ("learned", one), ("task_best", each), ("mark", both))
        }
        sizes = (("best_epoch", one), ("learned_epoch", one), ("task_epoch", each), ("waited", both))
        return Watch(**best, **{name: np.zeros(size, dtype=np.int64) for name, size in sizes})

    def see(
        self,
        epoch: int,
        lanes: Int[np.ndarray, " alive"],
        selects: Float[np.ndarray, " alive"],
        learned: Float[np.ndarray, " alive"],
        losses: Float[np.ndarray, "alive tasks"],
        min_delta: Float[np.ndarray, " alive"],
    ) -> tuple[Bool[np.ndarray, " alive"], Bool[np.ndarray, " alive"]]:
        """Take in an epoch of the lanes still training: who has a new best, who a new counterfactual epoch. NaN never wins."""
        better = _lower(self.best, self.best_epoch, lanes, selects, epoch)
        counterfactual = _lower(self.learned, self.learned_epoch, lanes, learned, epoch)
        _lower(self.task_best, self.task_epoch, lanes, losses, epoch)
        levels = np.column_stack([selects, losses])
        progress = levels < self.mark[lanes] - min_delta[:, None]
        self.mark[lanes] = np.where(progress, levels, self.mark[lanes])
        self.waited[lanes] = np.where(progress, 0, self.waited[lanes] + 1)
        return better, counterfactual

    def stops(self, lane: int, stop: StopSpec | None, labelled: Bool[np.ndarray, " tasks"]) -> str:
        """Why this lane stops, or nothing while its patience lasts. `any`, `all`: of the tasks with labels."""
        if stop is None:
            return ""
        over = self.waited[lane] >= stop.patience
        tasks = over[1:][labelled]
        ends = {"any": tasks.any(), "all": tasks.all()}.get(stop.on, over[0])
        return f"no progress on {stop.task or stop.on} for {stop.patience} epochs" if ends else ""

    def arrays(self) -> dict[str, np.ndarray]:
        """All state, for a checkpoint."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _lower(best: np.ndarray, best_epoch: np.ndarray, lanes: np.ndarray, values: np.ndarray, epoch: int) -> np.ndarray:
    better: np.ndarray = values < best[lanes]
    best[lanes] = np.where(better, values, best[lanes])
    best_epoch[lanes] = np.where(better, epoch, best_epoch[lanes])
    return better


def regret(tasks: Sequence[TaskSpec], counterfactual: np.ndarray, selected: np.ndarray) -> dict[str, TaskRegret]:
    """Per task: raw loss at the counterfactual epoch minus at the selected one; tasks without labels are left out."""
    return {
        task.name: TaskRegret(float(there - here), float((there - here) / abs(here)) if here else None)
        for task, there, here in zip(tasks, counterfactual, selected, strict=True)
        if np.isfinite(there) and np.isfinite(here)
    }

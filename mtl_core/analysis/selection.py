"""Which epoch was kept, which one the learned objective would have kept, and what that would have cost.

Epochs are selected by the fixed criterion or, with early stopping on a primary task, by that task's validation loss.
The counterfactual is never used for anything. Regret is what selects (or a task's loss) at the counterfactual epoch
minus at the selected one. On the validation split the regret of what selects cannot be negative, by construction, so
that a test of it would say nothing; a task's can, and so can the test regret, which is tested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mtl_core.analysis.parts import trained
from mtl_core.analysis.seeds import Estimate, estimate, sign_flip
from mtl_core.analysis.wording import count, interval, listed, number, probability
from mtl_core.records import Channel, Comparison, RunResult, TaskRegret


@dataclass(frozen=True)
class Regret:
    """Over seeds: absolute, relative to the selected epoch, and on the test split, which selected neither; p is of the last."""

    absolute: Estimate
    relative: Estimate
    test: Estimate
    p: float  # sign flip of the test regret against 0


@dataclass(frozen=True)
class ArmSelection:
    """One arm. Epochs are by seed, counted from 1."""

    arm: str
    selected: tuple[int, ...]
    counterfactual: tuple[int, ...]
    median_selected: float
    median_counterfactual: float
    later: int  # runs whose counterfactual epoch is later than the selected one
    kept_falling: int  # of these, runs whose validation objective was lower at the last epoch than at the selected one
    kept_falling_train: int  # runs whose training objective was
    runs: int
    regret: Regret  # of what selects: the criterion, or the primary task's loss
    tasks: Mapping[str, Regret]
    counted_tasks: tuple[str, ...]  # tasks in what selects: those in the criterion with validation labels, or the primary one
    disagreeing: Mapping[str, float]  # by task: median of its own best epoch
    sentence: str


@dataclass(frozen=True)
class Selection:
    """All arms, in the order of the experiment; arms without a finished run are left out."""

    arms: tuple[ArmSelection, ...]
    criterion: str  # what epochs are selected by, in words

    @property
    def counted_tasks(self) -> tuple[str, ...]:
        """The tasks in what selects, of the arm that counts most of them."""
        return max((one.counted_tasks for one in self.arms), key=len, default=())

    def of(self, arm: str) -> ArmSelection:
        """The entry of an arm."""
        return next(one for one in self.arms if one.arm == arm)


def selection(comparison: Comparison) -> Selection:
    """The selection of every arm over its counted runs."""
    measured = [_arm(comparison, arm) for arm in comparison.spec.arms if _results(comparison, arm)]
    return Selection(tuple(measured), _criterion(comparison))


def _results(comparison: Comparison, arm: str) -> dict[int, RunResult]:
    """Results of the arm's counted runs that selected an epoch, by position."""
    runs = {run: comparison.runs[run] for run in comparison.runs_of(arm)}
    return {
        run: record.result
        for run, record in runs.items()
        if record.result and record.status in ("done", "stopped") and record.result.selected_epoch is not None
    }


def _arm(comparison: Comparison, arm: str) -> ArmSelection:
    results = _results(comparison, arm)
    selected = [result.selected_epoch or 0 for result in results.values()]
    other = [result.counterfactual_epoch or 0 for result in results.values() if result.counterfactual_epoch]
    later = sum((one.counterfactual_epoch or 0) > (one.selected_epoch or 0) for one in results.values())
    tasks = {task.name: _task_regret(comparison, arm, task.name) for task in comparison.problem.tasks}
    primary = _primary(comparison)
    regret = _regret(comparison, arm, lambda one: (one.regret, one.regret_relative, one.test_regret))
    falling = {
        split: sum(_fell(comparison, split, run, one) for run, one in results.items()) for split in ("validation", "train")
    }
    measured = ArmSelection(
        arm=arm,
        selected=tuple(selected),
        counterfactual=tuple(other),
        median_selected=float(np.median(selected)),
        median_counterfactual=float(np.median(other)) if other else math.nan,
        later=later,
        kept_falling=falling["validation"],
        kept_falling_train=falling["train"],
        runs=len(results),
        regret=tasks[primary] if primary else regret,
        tasks=tasks,
        counted_tasks=(primary,) if primary else next(iter(results.values())).counted_tasks,
        disagreeing=_own_choices(comparison, results),
        sentence="",
    )
    selects = f"the validation loss of {primary}" if primary else f"the fixed criterion{_of_some(comparison, arm)}"
    if comparison.spec.arms[arm].gradients is not None:
        return replace(measured, sentence=f"{arm}: it chooses directions and has no objective that could have chosen an epoch.")
    return replace(measured, sentence=_sentence(measured, selects))


def _of_some(comparison: Comparison, arm: str) -> str:
    """Of an arm on some of the tasks: over which its criterion is a sum."""
    mine = trained(comparison, arm)
    return f" over {listed(mine)}" if len(mine) < len(comparison.problem.tasks) else ""


def _primary(comparison: Comparison) -> str | None:
    """The task that selects epochs instead of the fixed criterion, if there is one."""
    stop = comparison.spec.selection.stop
    return stop.task if stop and stop.on == "primary" else None


def _regret(
    comparison: Comparison, arm: str, of: Callable[[RunResult], tuple[float | None, float | None, float | None]]
) -> Regret:
    rows = [[_number(value) for value in of(result)] for result in _results(comparison, arm).values()]
    absolute, relative, test = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return Regret(estimate(absolute), estimate(relative), estimate(test), sign_flip(test))


def _task_regret(comparison: Comparison, arm: str, task: str) -> Regret:
    nothing = TaskRegret(math.nan, math.nan)

    def of(result: RunResult) -> tuple[float | None, float | None, float | None]:
        here = result.task_regret.get(task, nothing)
        return here.absolute, here.relative, result.task_test_regret.get(task, nothing).absolute

    return _regret(comparison, arm, of)


def _fell(comparison: Comparison, split: str, run: int, result: RunResult) -> bool:
    """Whether the learned objective went on falling after the fixed criterion had turned."""
    channel = Channel(split, "", "learned_total")
    if channel not in comparison.channels or result.selected_epoch is None:
        return False
    totals = comparison.column(*channel, [run])[: result.epochs, 0]
    finite = totals[np.isfinite(totals)]
    return result.selected_epoch < len(totals) and bool(finite.size) and bool(finite[-1] < totals[result.selected_epoch - 1])


def _own_choices(comparison: Comparison, results: Mapping[int, RunResult]) -> dict[str, float]:
    chosen = {
        task.name: [r.best_epoch_by_task[task.name] for r in results.values() if task.name in r.best_epoch_by_task]
        for task in comparison.problem.tasks
    }
    return {task: float(np.median(epochs)) for task, epochs in chosen.items() if epochs}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _sentence(one: ArmSelection, selects: str) -> str:
    if not one.counterfactual:
        return f"{one.arm}: its own objective chose no epoch."
    if one.selected == one.counterfactual:
        runs = count(one.runs, "run")
        return f"{one.arm}: its own objective would have chosen the same epochs as {selects} in all {runs}."
    chosen = f"epoch {one.median_counterfactual:g} instead of {one.median_selected:g} (medians of {count(one.runs, 'run')})"
    worse = f"{selects} is {interval(one.regret.absolute, signed=True)} there"
    percent = 100 * one.regret.relative.mean
    relative = f" ({number(percent, signed=True)} %)" if math.isfinite(percent) else ""
    tested = f"{interval(one.regret.test, signed=True)} (p {probability(one.regret.p)})"
    test = f"; on the test split {tested}" if one.regret.test.n else ""
    return (
        f"{one.arm}: its own objective would have chosen {chosen}; {worse}{relative}{test}. "
        "This is counterfactual: no other number of the comparison is taken there. "
        f"The objective on validation rows was lower at the end than at the selected epoch in {one.kept_falling} of {one.runs}."
    )


def _criterion(comparison: Comparison) -> str:
    if primary := _primary(comparison):
        return f"the validation loss of {primary} alone, the task that early stopping watches"
    chosen = comparison.spec.selection
    weights = "uniform" if chosen.weights == "uniform" else "given" if isinstance(chosen.weights, dict) else chosen.weights
    scale = {
        "raw": "raw losses",
        "baseline": "losses relative to the constant predictor (training mean)",
        "single_task": "losses relative to single-task training",
    }
    return f"{weights} fixed weights over {scale[chosen.scale]} of the validation split"

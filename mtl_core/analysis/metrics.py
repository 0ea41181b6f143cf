"""Per-task metrics side by side: every arm with its interval over seeds, and its paired difference to the baseline arm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mtl_core.analysis.parts import shared, side_by_side, singles
from mtl_core.analysis.runs import At, Values, by_arm, by_pair, direction, ending_notes, originals, read
from mtl_core.analysis.seeds import Difference, Estimate, Outcome, estimate, judge, paired
from mtl_core.records import Comparison, metrics_of
from mtl_core.specs import TaskSpec

UNITED = frozenset({"mae", "rmse"})  # metrics in the unit of their target


@dataclass(frozen=True)
class Cell:
    """One arm in one row; `difference` is arm minus baseline arm, None for the baseline arm itself."""

    estimate: Estimate
    difference: Difference | None


NOTHING = Cell(estimate(np.array([])), Difference(math.nan, math.nan, math.nan, 0, math.nan, math.nan, "not compared"))


@dataclass(frozen=True)
class MetricRow:
    """One metric of one task over all arms."""

    task: str
    kind: str
    metric: str
    headline: bool  # the metric by which verdicts judge the task
    direction: int  # +1 higher is better, -1 lower, 0 neither: never better or worse
    unit: str
    constant: float  # the constant predictor's value on the same rows; NaN where it has none
    label_rate: float  # for a predicted rate: the rate among the labels; else NaN
    cells: Mapping[str, Cell]  # by arm

    def best(self) -> tuple[str, ...]:
        """Arms with the best mean, equal ones all; empty without direction. A mark for the eye, not a finding."""
        means = {arm: cell.estimate.mean * self.direction for arm, cell in self.cells.items() if cell.estimate.n}
        top = max(means.values(), default=math.nan)
        return tuple(arm for arm, mean in means.items() if mean == top) if self.direction else ()


@dataclass(frozen=True)
class MetricTable:
    """All rows at one point of training: `best` (the selected epoch), `final` or an epoch."""

    at: At
    split: str
    baseline: str
    arms: tuple[str, ...]
    rows: tuple[MetricRow, ...]
    notes: tuple[str, ...]
    shared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by arm: tasks that it and the baseline arm train
    singles: Mapping[str, str] = field(default_factory=dict)  # by task: the arm that trains it alone

    def of(self, task: str, metric: str = "") -> MetricRow:
        """The row of a task's metric; of its headline if none is named."""
        return next(row for row in self.rows if row.task == task and (row.metric == metric or (not metric and row.headline)))

    @property
    def columns(self) -> tuple[str, ...]:
        """What stands side by side: the arms, those that each train one task alone as one column behind the others."""
        return side_by_side(self.arms, self.singles)

    def cell(self, row: MetricRow, column: str) -> Cell:
        """A row's cell of an arm or of the column of single-task arms."""
        if column in self.arms:
            return row.cells[column]
        return row.cells[self.singles[row.task]] if row.task in self.singles else NOTHING

    @property
    def headlines(self) -> tuple[MetricRow, ...]:
        """One row per task."""
        return tuple(row for row in self.rows if row.headline)

    @property
    def empty(self) -> bool:
        """No run has come to this point yet."""
        return not any(cell.estimate.n for row in self.rows for cell in row.cells.values())


def metric_table(comparison: Comparison, at: At = "best", split: str = "test", *, headlines_only: bool = False) -> MetricTable:
    """Metrics of every task, the raw loss last. An epoch (`at=12`) has its metrics on the validation split only.

    Raises ValueError for an epoch of another split.
    """
    if isinstance(at, int) and split != "validation":
        raise ValueError(f"metrics at an epoch are those of the validation split, not {split}")
    wanted = [(task, name) for task in comparison.problem.tasks for name in _names(task, headlines_only=headlines_only)]
    rows = tuple(_row(comparison, at, split, task, name) for task, name in wanted)
    arms = tuple(comparison.spec.arms)
    both = {arm: shared(comparison, arm) for arm in arms}
    return MetricTable(at, split, comparison.spec.baseline, arms, rows, ending_notes(comparison), both, singles(comparison))


def headline(task: TaskSpec) -> str:
    """The metric by which a task is judged."""
    return metrics_of(task)[0]


def others(comparison: Comparison) -> list[str]:
    """The arms that are compared with the baseline arm."""
    return [arm for arm in comparison.spec.arms if arm != comparison.spec.baseline]


def distinct(comparison: Comparison) -> list[str]:
    """Of these, the arms that are not the same runs as the baseline arm or an earlier arm: one test each."""
    first = originals(comparison)
    return [arm for arm in others(comparison) if first[arm] == arm]


def _names(task: TaskSpec, *, headlines_only: bool) -> tuple[str, ...]:
    return (headline(task),) if headlines_only else (*metrics_of(task), "loss")


def _row(comparison: Comparison, at: At, split: str, task: TaskSpec, name: str) -> MetricRow:
    values = read(comparison, at, split, task.name, name)
    judged = differences(comparison, values, direction(name))
    cells = {arm: Cell(estimate(by_arm(comparison, arm, values)), judged.get(arm)) for arm in comparison.spec.arms}
    return MetricRow(
        task=task.name,
        kind=task.kind,
        metric=name,
        headline=name == headline(task),
        direction=direction(name),
        unit=task.unit if name in UNITED else "",
        constant=constant(comparison, split, task.name, name),
        label_rate=_label_rate(comparison, split, task.name, name),
        cells=cells,
    )


def differences(comparison: Comparison, values: Values, sense: int) -> dict[str, Difference]:
    """Every arm against the baseline arm. In the correction, arms that are the same runs count as one, the baseline's as none."""
    compared = {arm: paired(*by_pair(comparison, arm, values)) for arm in others(comparison)}
    first = originals(comparison)
    judged = judge({arm: one for arm, one in compared.items() if first[arm] == arm}, sense)
    return {arm: judged[first[arm]] if first[arm] in judged else judge({arm: compared[arm]}, sense)[arm] for arm in compared}


def constant(comparison: Comparison, split: str, task: str, name: str) -> float:
    """The constant predictor's value of a metric, NaN where it has none."""
    value = comparison.problem.baselines.get(split, {}).get(task, {}).get(name)
    return math.nan if value is None else float(value)


def _label_rate(comparison: Comparison, split: str, task: str, name: str) -> float:
    rate = comparison.problem.label_rates.get(split, {}).get(task, math.nan)
    return float(rate) if name in ("positive_rate", "zero_rate") else math.nan


def beaten(row: MetricRow, arm: str) -> bool | None:
    """Whether the arm's mean is better than the constant predictor's; None where either is unknown."""
    mean = row.cells[arm].estimate.mean
    if not row.direction or not np.isfinite([mean, row.constant]).all():
        return None
    return (mean - row.constant) * row.direction > 0


def outcomes(table: MetricTable, arm: str) -> dict[Outcome, list[MetricRow]]:
    """The tasks that an arm and the baseline arm both train, by how their headline metric came out."""
    sorted_out: dict[Outcome, list[MetricRow]] = {}
    for row in table.headlines:
        difference = row.cells[arm].difference
        if difference is not None and row.task in table.shared[arm]:
            sorted_out.setdefault(difference.outcome, []).append(row)
    return sorted_out

"""Tidy pandas frames of a comparison: one value a row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mtl_core.analysis.runs import LOST
from mtl_core.records import Comparison, RunRecord

if TYPE_CHECKING:
    import pandas as pd


class HistoryRow(NamedTuple):
    """One recorded quantity of one run at one epoch; `task` is empty for a quantity of the whole run."""

    arm: str
    seed: int
    epoch: int
    split: str
    task: str
    name: str
    value: float


class MetricValue(NamedTuple):
    """One metric of one run at its selected epoch (`best`) or its last one (`final`)."""

    arm: str
    seed: int
    split: str
    task: str
    metric: str
    value: float
    at: str


def history_rows(comparison: Comparison) -> Iterator[HistoryRow]:
    """Every recorded value, run by run; a quantity that a run never had (sigma without one) has no rows.

    A value missing in a single epoch is NaN.
    """
    present = np.isfinite(comparison.history).any(axis=0)
    for position, run in enumerate(comparison.runs):
        values = comparison.history[: run.epoch, position]
        for at, channel in enumerate(comparison.channels):
            if present[position, at]:
                for epoch, value in enumerate(values[:, at].tolist(), start=1):
                    yield HistoryRow(run.arm, run.seed, epoch, *channel, value)


def metric_rows(comparison: Comparison) -> Iterator[MetricValue]:
    """Every metric of every run, each followed by the constant predictor's, `baseline_<name>`.

    Diverged and failed runs have no rows, so that a mean over rows is the mean of the tables.
    """
    for run in comparison.runs:
        if run.status not in LOST:
            yield from _of_run(comparison, run)


def _of_run(comparison: Comparison, run: RunRecord) -> Iterator[MetricValue]:
    results = run.result.metrics if run.result else {}
    for at, splits in results.items():
        for split, tasks in splits.items():
            for task, metrics in tasks.items():
                constants = comparison.problem.baselines.get(split, {}).get(task, {})
                for name, value in metrics.items():
                    yield MetricValue(run.arm, run.seed, split, task, name, _number(value), at)
                    if name in constants:
                        yield MetricValue(run.arm, run.seed, split, task, f"baseline_{name}", _number(constants[name]), at)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def history_frame(comparison: Comparison) -> pd.DataFrame:
    """Columns arm, seed, epoch, split, task, name, value."""
    import pandas as pd

    return pd.DataFrame(history_rows(comparison), columns=list(HistoryRow._fields))


def metrics_frame(comparison: Comparison) -> pd.DataFrame:
    """Columns arm, seed, split, task, metric, value, at."""
    import pandas as pd

    return pd.DataFrame(metric_rows(comparison), columns=list(MetricValue._fields))

"""Infos as rows for `st.dataframe`, which shows text as text. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mtl_core.analysis import MetricRow, MetricTable, Score, ScorePart, Selection
from mtl_core.analysis.wording import MISSING, interval, number, probability

Rows = list[dict[str, Any]]
BETTER_BY = {1: "higher", -1: "lower", 0: "–"}
MARK = {"better": "▲ ", "worse": "▼ "}
NO_DIRECTION, CANCELLED = "no direction", "no direction: the gradients cancel"


def metrics(table: MetricTable, *, headlines_only: bool) -> Rows:
    """One row a metric: every arm with its interval, difference to the baseline arm, constant predictor."""
    rows = table.headlines if headlines_only else table.rows
    return [_metric(row, table) for row in rows]


def _metric(row: MetricRow, table: MetricTable) -> dict[str, str]:
    unit = f" ({row.unit})" if row.unit else ""
    cells = {"task": row.task, "metric": row.metric.replace("_", " ") + unit, "better": BETTER_BY[row.direction]}
    for arm in table.columns:
        cells[arm] = interval(table.cell(row, arm).estimate)
    for arm in table.columns:
        difference = table.cell(row, arm).difference
        if difference is not None:
            cells[f"{arm} − {table.baseline}"] = MARK.get(difference.outcome, "") + interval(difference, signed=True)
    cells["constant (mean)"] = number(row.constant)
    if math.isfinite(row.label_rate):
        cells["constant (mean)"] = f"labels: {number(row.label_rate)}"
    cells["seeds"] = str(max((row.cells[arm].estimate.n for arm in table.arms), default=0))
    return cells


def selections(chosen: Selection) -> Rows:
    """One row an arm: selected and counterfactual epoch, and what the latter would have cost."""
    return [
        {
            "arm": one.arm,
            "selected epoch (median)": f"{one.median_selected:g}",
            "its own objective's epoch": f"{one.median_counterfactual:g}" if one.counterfactual else "–",
            "regret of what selects": interval(one.regret.absolute, signed=True),
            "regret on test": interval(one.regret.test, signed=True),
            "p on test": probability(one.regret.p),
            "runs": str(one.runs),
        }
        for one in chosen.arms
    ]


def task_regrets(chosen: Selection) -> Rows:
    """One row a task: change of its validation loss at each arm's counterfactual epoch, and the epoch it would choose itself."""
    tasks = dict.fromkeys(task for one in chosen.arms for task in one.tasks)
    return [{"task": task, **_regrets(chosen, task)} for task in tasks]


def _regrets(chosen: Selection, task: str) -> Mapping[str, str]:
    cells = {}
    for one in chosen.arms:
        cells[f"{one.arm}: regret"] = interval(one.tasks[task].absolute, signed=True)
        cells[f"{one.arm}: own best epoch"] = f"{one.disagreeing[task]:g}" if task in one.disagreeing else "–"
    return cells


def score_parts(score: Score, weights: Mapping[str, float]) -> Rows:
    """One row a task with its editable weight, one column an arm."""
    return [
        {
            "task": part.task,
            "weight": float(weights.get(part.task, 0.0)),
            "component": part.meaning,
            **{arm: _part(score, part, arm) for arm in score.columns},
            "constant (mean)": number(part.constant),
        }
        for part in score.parts
    ]


def _part(score: Score, part: ScorePart, column: str) -> str:
    one = part.estimates.get(column) or part.estimates.get(score.singles.get(part.task, ""))
    return interval(one) if one else MISSING


def scheme_settings(entry: Mapping[str, Any]) -> Rows:
    """One row a setting: its default, what is allowed, what it does, and where the default comes from."""
    return [
        {
            "setting": one["name"].replace("_", " "),
            "default": _value(one["default"]),
            "allowed": _allowed(one),
            "what it does": one["help"],
            "origin of the default": one["source"] or "–",
        }
        for one in entry["settings"]
    ]


def _allowed(one: Mapping[str, Any]) -> str:
    if one["kind"] == "flag":
        return "yes or no"
    low, high = (None if limit is None else f"{limit:g}" for limit in (one["low"], one["high"]))
    limits = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else "any number"
    numbers = {
        "choice": [],
        "number": [limits],
        "per_task": [f"{limits}, also by task"],
        "interval": [f"two numbers, {limits}; or none"],
    }
    return " or ".join([*one["choices"], *numbers[one["kind"]]])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return " to ".join(f"{item:g}" for item in value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def directions(found: Sequence[Mapping[str, Any]]) -> Rows:
    """One row a scheme: its weights, the length of its step's direction, and whom that serves least."""
    return [_direction(one) for one in found]


def _direction(one: Mapping[str, Any]) -> dict[str, Any]:
    cancelled = one["least_cosine"] is None  # weights of what comes to nothing are whatever rounding makes of them
    names = [f"w{n + 1}" for n in range(len(one["weights"]))]
    return {
        "scheme": one["scheme"],
        **dict(zip(names, ["–"] * len(names) if cancelled else [number(weight) for weight in one["weights"]], strict=True)),
        "length": "0" if cancelled else number(one["norm"]),
        "smallest cosine": _nowhere(one["weights"]) if cancelled else _signed(one["least_cosine"]),
    }


def _nowhere(weights: Sequence[float]) -> str:
    return CANCELLED if any(abs(weight) > 0 for weight in weights) else NO_DIRECTION


def _signed(cosine: float) -> str:
    rounded = round(cosine, 3) + 0.0  # no negative zero
    return f"{rounded:+.3f}" + (" worse" if rounded < 0 else "")

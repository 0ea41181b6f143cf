"""A comparison as plain text for a terminal: the per-task table, the verdict, the selection, in this order."""

from __future__ import annotations

from collections.abc import Sequence

from mtl_core.analysis.metrics import MetricRow, MetricTable, metric_table
from mtl_core.analysis.runs import At
from mtl_core.analysis.score import Score, score
from mtl_core.analysis.seeds import Difference
from mtl_core.analysis.selection import selection
from mtl_core.analysis.verdict import verdict
from mtl_core.analysis.wording import interval, number, probability
from mtl_core.columns import columns, printable
from mtl_core.records import Comparison

ARROWS = {1: "↑", -1: "↓", 0: " "}


def report(comparison: Comparison, at: At = "best", split: str = "test") -> str:
    """Everything that `run` prints when it is done."""
    judged = verdict(comparison, at, split)
    selected = [one.sentence for one in selection(comparison).arms]
    blocks = [metrics_text(metric_table(comparison, at, split)), score_text(score(comparison, at, split))]
    blocks += ["\n".join(map(printable, lines)) for lines in (judged.warnings, judged.sentences, selected, judged.notes) if lines]
    return "\n\n".join(block for block in blocks if block)


def metrics_text(table: MetricTable) -> str:
    """One line per task and metric: the constant (training mean), every arm, and every arm's difference to the baseline arm."""
    if table.empty:
        return ""
    compared = [arm for arm in table.columns if arm != table.baseline]
    head = ["task", "metric", "constant (mean)", *table.columns, *(f"{arm} - {table.baseline}" for arm in compared)]
    return columns([head, *(_metric(row, table, compared) for row in table.rows)])


def _metric(row: MetricRow, table: MetricTable, compared: Sequence[str]) -> list[str]:
    name = f"{row.metric.replace('_', ' ')} {ARROWS[row.direction]}{f' ({row.unit})' if row.unit else ''}"
    beside = f"labels {number(row.label_rate)}" if row.direction == 0 else number(row.constant)
    values = [interval(table.cell(row, arm).estimate) for arm in table.columns]
    return [row.task, name, beside, *values, *(_difference(table.cell(row, arm).difference) for arm in compared)]


def _difference(difference: Difference | None) -> str:
    if difference is None or not difference.n:
        return "–"
    if difference.outcome in ("no direction", "too few seeds"):
        return interval(difference, signed=True)
    return f"{interval(difference, signed=True)} p {probability(difference.p_holm)} {difference.outcome}"


def score_text(scored: Score) -> str:
    """The aggregate score on one line per arm, with its parts."""
    counted = [part for part in scored.parts if part.weight > 0]
    arms = [arm for arm, estimate in scored.total.estimates.items() if estimate.n]
    if not arms:
        return ""
    head = ["score", "weighted mean", *(f"{part.task} x {number(part.weight)}" for part in counted)]
    lines = [[arm, *(interval(part.estimates[arm]) for part in (scored.total, *counted))] for arm in arms]
    table = columns([head, *lines, ["constant (mean)", *(number(part.constant) for part in (scored.total, *counted))]])
    return "\n".join([table, *([scored.partial_sentence] if scored.partial else [])])

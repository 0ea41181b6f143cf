"""Differences to the baseline arm, task by task, as points with intervals (Plotly, for the finished figure). Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import plotly.graph_objects as go

from mtl_core.analysis import Difference, MetricRow, MetricTable
from mtl_core.analysis.parts import ALONE
from mtl_core.analysis.wording import count, interval
from pages.ui.palette import INK, NEUTRAL, Look, Theme
from pages.ui.text import cell, short

ROW, EDGE = 46, 90  # pixels a task, and around
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross")
WORD = {"better": "better", "worse": "worse", "no difference": "no difference shown"}


def forest(table: MetricTable, looks: Mapping[str, Look], theme: Theme) -> go.Figure:
    """Improvement of every arm over the baseline in percent of the baseline's value; right of 0 is better."""
    rows = [row for row in table.headlines if row.direction]
    single = next((looks[arm] for arm in table.singles.values() if arm in looks), None)
    known = {**looks, **({ALONE: single} if single else {})}
    arms = [arm for arm in table.columns if arm != table.baseline and arm in known]
    figure = go.Figure([_trace(rows, arm, n, len(arms), table, known[arm]) for n, arm in enumerate(arms)])
    ticks = [f"{cell(row.task, 18)}<br><sup>{row.metric.replace('_', ' ')}</sup>" for row in rows]
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=ticks,
        autorange="reversed",
        showgrid=False,
        zeroline=False,
        tickfont={"color": INK[theme]},
    )
    figure.update_xaxes(
        title=f"← worse · better than {cell(table.baseline, 20)} by, % of its value →",
        zeroline=True,
        zerolinecolor=NEUTRAL[theme],
        zerolinewidth=2,
    )
    figure.update_layout(
        height=EDGE + ROW * max(len(rows), 1),
        margin={"l": 10, "r": 10, "t": 30, "b": 40},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        font={"color": INK[theme]},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"align": "left"},
    )
    return figure


def _trace(rows: list[MetricRow], arm: str, order: int, arms: int, table: MetricTable, look: Look) -> go.Scatter:
    points = [_point(row, table.cell(row, arm).difference, row.cells[table.baseline].estimate.mean) for row in rows]
    offsets = [n + 0.5 * ((order + 0.5) / arms - 0.5) for n in range(len(rows))]
    return go.Scatter(
        x=[mid for mid, _, _, _ in points],
        y=offsets,
        error_x={
            "type": "data",
            "array": [up for _, _, up, _ in points],
            "arrayminus": [down for _, down, _, _ in points],
            "color": look.colour,
        },
        mode="markers",
        marker={"color": look.colour, "size": 9, "symbol": SYMBOLS[order % len(SYMBOLS)]},
        name=cell(short(arm), 24),
        text=[words for _, _, _, words in points],
        hovertemplate="%{text}<extra></extra>",
    )


def _point(row: MetricRow, difference: Difference | None, reference: float) -> tuple[float | None, float, float, str]:
    """Middle, distance down, distance up, all in percent; and the words of the tooltip."""
    if difference is None or not math.isfinite(difference.mean) or not reference or not math.isfinite(reference):
        return None, 0.0, 0.0, "not compared"
    unit = 100 * row.direction / abs(reference)
    ends = (
        sorted((difference.low * unit, difference.high * unit)) if math.isfinite(difference.low) else [difference.mean * unit] * 2
    )
    middle = difference.mean * unit
    outcome = WORD.get(difference.outcome, difference.outcome)
    words = f"{cell(row.task)} {row.metric.replace('_', ' ')}: {interval(difference, signed=True)}, "
    f"{count(difference.n, 'seed')}, {outcome}"
    return middle, middle - ends[0], ends[1] - middle, words

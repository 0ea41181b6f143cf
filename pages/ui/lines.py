"""The lines of one panel: means, bands, names at their ends, marked epochs. Pure: curves in, ECharts series out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtl_core.analysis.curves import Curve, Curves
from pages.ui.palette import INK, Look, Theme
from pages.ui.text import short, untemplated

Option = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """Panels of one kind, side by side as far as they fit."""

    panels: Sequence[Curves]
    titles: Sequence[str]
    height: int  # of a plot, pixels
    columns: int  # at most this many side by side
    narrow_columns: int = 2
    named: bool = False  # lines carry the arm's name at their end
    limits: tuple[float | None, float | None] = (None, None)  # where the curves say nothing about the axis
    marked: Mapping[str, int] = field(default_factory=dict)  # by arm: an epoch to mark on its line


def panel_lines(
    panel: int, row: Row, curves: Curves, looks: Mapping[str, Look], ticks: Sequence[int], theme: Theme
) -> Iterator[Option]:
    """Series of one panel: every arm that has a look, its line before its band."""
    drawn = [curve for curve in curves.curves if curve.arm in looks]
    shifts = name_shifts(drawn, curves.axis, row.height) if row.named else {}
    for curve in drawn:
        place = {"type": "line", "name": curve.arm, "xAxisIndex": panel, "yAxisIndex": panel, "showSymbol": False}
        yield _line(panel, place, row, curve, looks[curve.arm], ticks, shifts.get(curve.arm), theme)  # first: the legend shows it
        yield from _band(panel, place, curve, looks[curve.arm], ticks)


def _line(
    panel: int, place: Option, row: Row, curve: Curve, look: Look, ticks: Sequence[int], shift: float | None, theme: Theme
) -> Option:
    data = _spread(curve, curve.mean, ticks)
    style = {"color": look.colour, "width": look.width, "type": look.dash or "solid"}
    line = {**place, "id": f"{panel}/{curve.arm}", "data": data, "z": 3, "lineStyle": style, "itemStyle": {"color": look.colour}}
    if sum(value is not None for value in data) == 1:  # one point is no line
        line |= {"showSymbol": True, "symbol": "circle", "symbolSize": 7}
    if shift is not None:
        name = {"show": True, "formatter": untemplated(short(curve.arm, 14)), "fontSize": 11, "color": INK[theme], "distance": 4}
        line["endLabel"] = {**name, "offset": [0, round(shift)]}
    if curve.arm in row.marked:
        nearest = min(range(len(ticks)), key=lambda n: abs(ticks[n] - row.marked[curve.arm]))
        points = [{"coord": [str(ticks[nearest]), data[nearest]]}] if data[nearest] is not None else []
        line["markPoint"] = {"symbol": "circle", "symbolSize": 9, "label": {"show": False}, "silent": True, "data": points}
    return line


def name_shifts(drawn: Sequence[Curve], axis: tuple[float, float] | None, height: int, apart: float = 12) -> dict[str, float]:
    """How far down each name at a line's end has to move, in pixels, so that names stand clear of each other.

    A line that ends outside of the axis gets no name.
    """
    ends = {curve.arm: float(curve.mean[full_strength(curve)][-1]) for curve in drawn if full_strength(curve).any()}
    if axis is None or axis[1] <= axis[0]:
        return dict.fromkeys(ends, 0.0)
    at = {arm: height * (axis[1] - end) / (axis[1] - axis[0]) for arm, end in ends.items() if axis[0] <= end <= axis[1]}
    order = sorted(at, key=lambda arm: at[arm])
    placed: dict[str, float] = {}
    for arm in order:
        placed[arm] = max([at[arm], *(y + apart for y in list(placed.values())[-1:])])
    room = float(height)
    for arm in reversed(order):  # what was pushed below the panel goes back up
        placed[arm] = min(placed[arm], room)
        room = placed[arm] - apart
    return {arm: placed[arm] - at[arm] for arm in order}


def full_strength(curve: Curve) -> np.ndarray:
    """Epochs that at least half of the runs reached: behind them a mean would be of the few that were not stopped early."""
    return np.asarray(np.isfinite(curve.mean) & (2 * curve.n >= curve.n.max(initial=1)))


def _band(panel: int, place: Option, curve: Curve, look: Look, ticks: Sequence[int]) -> Iterator[Option]:
    """Low to high, as two stacked lines without strokes."""
    if not np.isfinite(curve.low).any():
        return
    common = {
        **place,
        "stack": f"{panel}/{curve.arm}",
        "stackStrategy": "all",
        "silent": True,
        "tooltip": {"show": False},
        "z": 2,
    }
    common |= {"lineStyle": {"opacity": 0}, "itemStyle": {"color": look.colour}, "symbol": "none"}
    yield {**common, "id": f"{panel}/{curve.arm}/low", "data": _spread(curve, curve.low, ticks)}
    height = _spread(curve, curve.high - curve.low, ticks)
    yield {**common, "id": f"{panel}/{curve.arm}/high", "data": height, "areaStyle": {"color": look.colour, "opacity": 0.16}}


def _spread(curve: Curve, values: np.ndarray, ticks: Sequence[int]) -> list[float | None]:
    """A curve's values at the ticks, None where there is none."""
    kept = full_strength(curve) & np.isfinite(values)
    known = {int(epoch): rounded(float(value)) for epoch, value in zip(curve.epochs[kept], values[kept], strict=True)}
    return [known.get(tick) for tick in ticks]


def rounded(value: float) -> float:
    """Four digits: more cannot be seen, and are sent with every poll."""
    return float(f"{value:.4g}")

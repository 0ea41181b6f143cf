"""The lines of one panel: means, bands, names at their ends, marked epochs. Pure: curves in, ECharts series out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from mtl_core.analysis.curves import Curve, Curves
from pages.ui.palette import INK, Look, Theme
from pages.ui.text import short, untemplated

Option = dict[str, Any]
Data = list[float | None]  # one value a tick, None where there is none
POWERS = np.array([float(f"1e{n}") for n in range(20)])


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
    for curve, (mean, low, height) in zip(drawn, spread(drawn, ticks), strict=True):
        place = {"type": "line", "name": curve.arm, "xAxisIndex": panel, "yAxisIndex": panel, "showSymbol": False}
        line = _line(panel, place, curve.arm, mean, looks[curve.arm])
        yield line | _name(curve.arm, shifts, theme) | _mark(row, curve.arm, mean, ticks)  # first: the legend shows it
        if np.isfinite(curve.low).any():
            yield from _band(panel, place, curve.arm, (low, height), looks[curve.arm])


def _line(panel: int, place: Option, arm: str, data: Data, look: Look) -> Option:
    style = {"color": look.colour, "width": look.width, "type": look.dash or "solid"}
    line = {**place, "id": f"{panel}/{arm}", "data": data, "z": 3, "lineStyle": style, "itemStyle": {"color": look.colour}}
    if sum(value is not None for value in data) == 1:  # one point is no line
        line |= {"showSymbol": True, "symbol": "circle", "symbolSize": 7}
    return line


def _name(arm: str, shifts: Mapping[str, float], theme: Theme) -> Option:
    """At the line's end."""
    if arm not in shifts:
        return {}
    name = {"show": True, "formatter": untemplated(short(arm, 14)), "fontSize": 11, "color": INK[theme], "distance": 4}
    return {"endLabel": {**name, "offset": [0, round(shifts[arm])]}}


def _mark(row: Row, arm: str, data: Data, ticks: Sequence[int]) -> Option:
    """A point at the tick nearest to the epoch to mark."""
    if arm not in row.marked:
        return {}
    nearest = min(range(len(ticks)), key=lambda n: abs(ticks[n] - row.marked[arm]))
    points = [{"coord": [str(ticks[nearest]), data[nearest]]}] if data[nearest] is not None else []
    return {"markPoint": {"symbol": "circle", "symbolSize": 9, "label": {"show": False}, "silent": True, "data": points}}


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


def _band(panel: int, place: Option, arm: str, ends: tuple[Data, Data], look: Look) -> Iterator[Option]:
    """Low to high, as two stacked lines without strokes. ends: the low one, and how far above it the high one is."""
    common = {
        **place,
        "stack": f"{panel}/{arm}",
        "stackStrategy": "all",
        "silent": True,
        "tooltip": {"show": False},
        "z": 2,
    }
    common |= {"lineStyle": {"opacity": 0}, "itemStyle": {"color": look.colour}, "symbol": "none"}
    yield {**common, "id": f"{panel}/{arm}/low", "data": ends[0]}
    yield {**common, "id": f"{panel}/{arm}/high", "data": ends[1], "areaStyle": {"color": look.colour, "opacity": 0.16}}


def spread(drawn: Sequence[Curve], ticks: Sequence[int]) -> list[tuple[Data, Data, Data]]:
    """By curve: its mean, the low end of its band and the band's height at the ticks; None where there is none."""
    lines = np.full((len(drawn), 3, ticks[-1] + 1), np.nan)
    for line, curve in zip(lines, drawn, strict=True):
        kept = full_strength(curve) & (curve.epochs <= ticks[-1])
        line[:, curve.epochs[kept]] = np.stack([curve.mean, curve.low, curve.high - curve.low])[:, kept]
    at_ticks = lines[:, :, list(ticks)]
    finite = np.isfinite(at_ticks)
    values = np.full(at_ticks.shape, None, dtype=object)
    values[finite] = rounded_all(at_ticks[finite])
    return [(mean, low, height) for mean, low, height in values.tolist()]


def rounded(value: float) -> float:
    """Four digits: more cannot be seen, and are sent with every poll."""
    return float(f"{value:.4g}")


def rounded_all(values: Float[np.ndarray, " values"]) -> Float[np.ndarray, " values"]:
    """`rounded` of every value, in a tenth of the time. Values close to a tie, tiny and huge ones take the way by text."""
    size = np.abs(values)
    usual = (size > 1e-15) & (size < 1e15)
    plain = np.where(usual, values, 1.0)
    places = 3 - np.floor(np.log10(np.abs(plain))).astype(int)
    up, down = POWERS[np.maximum(places, 0)], POWERS[np.maximum(-places, 0)]  # one of them is 1, so each step rounds once
    scaled = plain * up / down
    whole = np.rint(scaled)
    found: Float[np.ndarray, " values"] = whole * down / up
    hard = ~usual | (np.abs(scaled - whole) > 0.5 - 1e-6)
    found[hard] = [rounded(value) for value in values[hard].tolist()]
    return found

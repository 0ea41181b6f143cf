"""The linked figure: many small panels, one cursor. Pure: curves in, an ECharts option (plain dict) and heights out.

ECharts because Streamlit updates it in place: at 2 Hz over 8 s a figure of 13 panels was never remounted and never blank
(473 frames), at 0.97 s of server CPU; `st.plotly_chart` was remounted 17 times, and a component that calls
`Plotly.react` (no remount either) took 1.42 s and showed its first chart 1.4 s later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from mtl_core.analysis.curves import Curve, Curves
from pages.ui.palette import INK, Look, Theme
from pages.ui.text import cell, short

LEGEND, TITLE, AXIS, NARROW = 30, 24, 32, 640  # pixels; NARROW: the width below which panels stack
MAX_LINES = 5  # lines in one panel

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


class Place(NamedTuple):
    """Where a panel stands: shares of the width in percent, pixels from the top."""

    left: float
    width: float
    top: int
    height: int


@dataclass(frozen=True)
class Figure:
    """An ECharts option and its two heights in pixels, for wide and narrow screens."""

    option: Option
    height: int
    narrow_height: int
    alt: str


def figure(rows: Sequence[Row], looks: Mapping[str, Look], ticks: Sequence[int], theme: Theme) -> Figure:
    """One figure of all rows. ticks: the epochs of the axis, all that are planned, so that it stands still in training."""
    panels = [(row, n) for row in rows for n in range(len(row.panels))]
    wide, height = places(rows, narrow=False)
    stacked, narrow_height = places(rows, narrow=True)
    drawn = [arm for arm in looks if any(c.arm == arm for row, n in panels for c in row.panels[n].curves)]
    option = {
        "animation": False,
        "textStyle": {"color": INK[theme]},
        "legend": {
            "top": 0,
            "left": 0,
            "itemWidth": 34,
            "type": "scroll",
            "data": drawn,
            "formatter": "{name}",
            "textStyle": {"fontSize": 12},
        },
        "axisPointer": {"link": [{"xAxisIndex": "all"}], "lineStyle": {"width": 1, "type": "solid"}, "label": {"show": False}},
        "tooltip": _tooltip(panels, drawn, looks, theme),
        "toolbox": {"show": False},
        "title": [_title(row.titles[n], place, theme) for (row, n), place in zip(panels, wide, strict=True)],
        "grid": [_grid(row, place) for (row, _), place in zip(panels, wide, strict=True)],
        "xAxis": [_x_axis(n, ticks) for n in range(len(panels))],
        "yAxis": [_y_axis(k, row, row.panels[n]) for k, (row, n) in enumerate(panels)],
        "series": [one for k, (row, n) in enumerate(panels) for one in _panel(k, row, row.panels[n], looks, ticks, theme)],
        "media": [{"query": {"maxWidth": NARROW}, "option": _narrow(panels, stacked, theme)}],
    }
    alt = " ".join(row.panels[n].takeaway for row, n in panels[:3])
    return Figure(option, height, narrow_height, alt)


def places(rows: Sequence[Row], *, narrow: bool) -> tuple[list[Place], int]:
    """Where every panel stands, in order, and the height of the whole, pixels."""
    top, found = LEGEND, []
    for row in rows:
        columns = min(row.narrow_columns if narrow else row.columns, max(len(row.panels), 1))
        for n in range(len(row.panels)):
            line, column = divmod(n, columns)
            share = 100 / columns
            y = top + line * (TITLE + row.height + AXIS) + TITLE
            found.append(Place(column * share, share - 1.5, y, row.height + AXIS))
        lines = -(-len(row.panels) // columns)
        top += lines * (TITLE + row.height + AXIS)
    return found, top + 8


def _narrow(panels: Sequence[tuple[Row, int]], stacked: Sequence[Place], theme: Theme) -> Option:
    return {
        "title": [_title(row.titles[n], place, theme) for (row, n), place in zip(panels, stacked, strict=True)],
        "grid": [_grid(row, place) for (row, _), place in zip(panels, stacked, strict=True)],
    }


def _title(text: str, place: Place, theme: Theme) -> Option:
    style = {"fontSize": 12, "fontWeight": 600, "color": INK[theme]}
    return {
        "text": short(text, 60),
        "left": f"{place.left:.2f}%",
        "top": place.top - TITLE,
        "padding": [4, 0],
        "textStyle": style,
    }


def _grid(row: Row, place: Place) -> Option:
    width = place.width * (0.86 if row.named else 1)  # room for the names at the ends
    return {
        "left": f"{place.left:.2f}%",
        "width": f"{width:.2f}%",
        "top": place.top,
        "height": place.height,
        "outerBoundsMode": "same",
        "outerBoundsContain": "axisLabel",
    }


def _x_axis(panel: int, ticks: Sequence[int]) -> Option:
    return {
        "gridIndex": panel,
        "type": "category",
        "data": [str(epoch) for epoch in ticks],
        "boundaryGap": False,
        "axisLabel": {"fontSize": 10, "hideOverlap": True, "margin": 5},
        "axisTick": {"show": False},
    }


def _y_axis(panel: int, row: Row, curves: Curves) -> Option:
    low, high = row.limits
    if curves.axis is not None:
        span = (curves.axis[1] - curves.axis[0]) or abs(curves.axis[0]) * 0.1 or 1.0
        low, high = curves.axis[0] - 0.04 * span, curves.axis[1] + 0.04 * span
    bounds = {name: _round(value) for name, value in (("min", low), ("max", high)) if value is not None}
    ends = {"showMinLabel": False, "showMaxLabel": False} if curves.axis is not None else {}
    label = {"fontSize": 10, "margin": 4, "hideOverlap": True, **ends}
    return {"gridIndex": panel, "type": "value", "scale": True, "splitNumber": 3, "axisLabel": label, **bounds}


def _panel(
    panel: int, row: Row, curves: Curves, looks: Mapping[str, Look], ticks: Sequence[int], theme: Theme
) -> Iterator[Option]:
    for curve in curves.curves:
        if curve.arm not in looks:
            continue
        place = {"type": "line", "name": curve.arm, "xAxisIndex": panel, "yAxisIndex": panel, "showSymbol": False}
        yield from _band(panel, place, curve, looks[curve.arm], ticks)
        yield _line(panel, place, row, curve, looks[curve.arm], ticks, theme)


def _line(panel: int, place: Option, row: Row, curve: Curve, look: Look, ticks: Sequence[int], theme: Theme) -> Option:
    data = _spread(curve.epochs, curve.mean, ticks)
    style = {"color": look.colour, "width": look.width, "type": look.dash or "solid"}
    line = {**place, "id": f"{panel}/{curve.arm}", "data": data, "z": 3, "lineStyle": style, "itemStyle": {"color": look.colour}}
    if row.named:
        name = {"show": True, "formatter": short(curve.arm, 14), "fontSize": 11, "color": INK[theme], "distance": 4}
        line |= {"endLabel": name, "labelLayout": {"moveOverlap": "shiftY"}}
    if curve.arm in row.marked:
        nearest = min(range(len(ticks)), key=lambda n: abs(ticks[n] - row.marked[curve.arm]))
        points = [{"coord": [str(ticks[nearest]), data[nearest]]}] if data[nearest] is not None else []
        line["markPoint"] = {"symbol": "circle", "symbolSize": 9, "label": {"show": False}, "silent": True, "data": points}
    return line


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
    yield {**common, "id": f"{panel}/{curve.arm}/low", "data": _spread(curve.epochs, curve.low, ticks)}
    height = _spread(curve.epochs, curve.high - curve.low, ticks)
    yield {**common, "id": f"{panel}/{curve.arm}/high", "data": height, "areaStyle": {"color": look.colour, "opacity": 0.16}}


def _spread(at: np.ndarray, values: np.ndarray, ticks: Sequence[int]) -> list[float | None]:
    """Values at the ticks, None where there is none."""
    known = {int(epoch): _round(float(value)) for epoch, value in zip(at, values, strict=True) if np.isfinite(value)}
    return [known.get(tick) for tick in ticks]


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def _tooltip(panels: Sequence[tuple[Row, int]], drawn: Sequence[str], looks: Mapping[str, Look], theme: Theme) -> Option:
    """A table of all panels at the cursor: {c0}, {c1}, ... stand for the lines in the order in which they are drawn."""
    heads = "".join(
        f'<th style="color:{looks[arm].colour};padding-left:10px;text-align:right">{cell(arm, 16)}</th>' for arm in drawn
    )
    body, line = "", 0
    for row, n in panels:
        cells = {}
        for curve in (c for c in row.panels[n].curves if c.arm in looks):
            cells[curve.arm], line = f"{{c{line}}}", line + 1
        values = "".join(f'<td style="text-align:right;padding-left:10px">{cells.get(arm, "")}</td>' for arm in drawn)
        body += f"<tr><td>{cell(row.titles[n], 40)}</td>{values}</tr>"
    head = f'<tr><th style="text-align:left">epoch {{b0}}</th>{heads}</tr>'
    table = f'<table style="font-size:11px;line-height:1.25;color:{INK[theme]}">{head}{body}</table>'
    return {"trigger": "axis", "confine": True, "formatter": table, "padding": 6, "transitionDuration": 0}

"""The linked figure: many small panels, one cursor. Pure: curves in, an ECharts option (plain dict) and heights out.

ECharts because Streamlit updates it in place: at 2 Hz over 8 s a figure of 13 panels was never remounted and never blank
(473 frames), at 0.97 s of server CPU; `st.plotly_chart` was remounted 17 times, and a component that calls
`Plotly.react` (no remount either) took 1.42 s and showed its first chart 1.4 s later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mtl_core.analysis import Span
from mtl_core.analysis.axes import with_margin
from mtl_core.analysis.curves import Curves
from pages.ui.lines import Option, Row, panel_lines, rounded
from pages.ui.palette import INK, Look, Theme
from pages.ui.stretches import stretches
from pages.ui.text import cell, short

LEGEND, TITLE, AXIS, NARROW = 30, 24, 32, 640  # pixels; NARROW: the width below which panels stack
LETTER = 5.6  # pixels of a letter of a title, on average
PHONE, WIDER = 350, (450, 960, 1090, 1240)  # widths for which titles are shortened, beside NARROW
MAX_LINES = 5  # lines in one panel
NAMES = 250  # pixels of the first panel, the names of phases in it included, on the narrowest screen


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


def figure(
    rows: Sequence[Row], looks: Mapping[str, Look], ticks: Sequence[int], theme: Theme, spans: Sequence[Span] = ()
) -> Figure:
    """One figure of all rows. ticks: the epochs of the axis, all that are planned, so that it stands still in training.

    spans: phases of the training, marked in every panel and named in the first.
    """
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
        "title": [_title(row.titles[n], place, NARROW, theme) for (row, n), place in zip(panels, wide, strict=True)],
        "grid": [_grid(row, place) for (row, _), place in zip(panels, wide, strict=True)],
        "xAxis": [_x_axis(n, ticks) for n in range(len(panels))],
        "yAxis": [_y_axis(k, row, row.panels[n]) for k, (row, n) in enumerate(panels)],
        "series": [one for k in range(len(panels)) for one in _series(k, panels, looks, ticks, theme, spans)],
        "media": [
            {"query": {"maxWidth": NARROW}, "option": _narrow(panels, stacked, theme)},
            *(_longer_titles(panels, stacked if pixels < NARROW else wide, pixels) for pixels in WIDER),
        ],
    }
    alt = " ".join(row.panels[n].takeaway for row, n in panels[:3])
    return Figure(option, height, narrow_height, alt)


def _series(
    k: int,
    panels: Sequence[tuple[Row, int]],
    looks: Mapping[str, Look],
    ticks: Sequence[int],
    theme: Theme,
    spans: Sequence[Span],
) -> Iterator[Option]:
    row, n = panels[k]
    yield from panel_lines(k, row, row.panels[n], looks, ticks, theme)
    yield from stretches(k, spans, ticks, theme, 0 if k else NAMES)


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
        "title": [_title(row.titles[n], place, PHONE, theme) for (row, n), place in zip(panels, stacked, strict=True)],
        "grid": [_grid(row, place) for (row, _), place in zip(panels, stacked, strict=True)],
    }


def _longer_titles(panels: Sequence[tuple[Row, int]], at: Sequence[Place], pixels: int) -> Option:
    """More of each title from a width on."""
    query = {"minWidth": pixels, **({"maxWidth": NARROW} if pixels < NARROW else {})}
    titles = [_text(row.titles[n], place, pixels) for (row, n), place in zip(panels, at, strict=True)]
    return {"query": query, "option": {"title": titles}}


def fitted(title: str, pixels: float) -> str:
    """`task · quantity` in so much room: cut at its end, after the task has been shortened to two thirds of the room."""
    letters = max(int(pixels / LETTER), 6)
    task, dot, quantity = title.rpartition(" · ")
    whole = f"{short(task, 2 * letters // 3)}{dot}{quantity}" if dot else title
    return whole if len(whole) <= letters else f"{whole[: letters - 1].rstrip()}…"


def _text(title: str, place: Place, pixels: int) -> Option:
    """A title no wider than its panel where the figure is so wide; what is still too wide is cut with an ellipsis."""
    width = pixels * place.width / 100
    return {"text": fitted(title, width), "textStyle": {"width": int(width)}}


def _title(title: str, place: Place, pixels: int, theme: Theme) -> Option:
    fits = _text(title, place, pixels)
    style = {"fontSize": 12, "fontWeight": 600, "color": INK[theme], "overflow": "truncate", "ellipsis": "…", **fits["textStyle"]}
    return {
        "text": fits["text"],
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
        low, high = with_margin(curves.axis)
    bounds = {name: rounded(value) for name, value in (("min", low), ("max", high)) if value is not None}
    ends = {"showMinLabel": False, "showMaxLabel": False} if curves.axis is not None else {}
    label = {"fontSize": 10, "margin": 4, "hideOverlap": True, **ends}
    return {
        "gridIndex": panel,
        "type": "value",
        "scale": True,
        "splitNumber": 3 if row.height > 60 else 1,
        "axisLabel": label,
        **bounds,
    }


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

"""Phases of the training in a panel: a thin line where one ends, every other one on a faint ground, names on request. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mtl_core.analysis import Span
from pages.ui.palette import INK, NEUTRAL, Theme
from pages.ui.text import short

Option = dict[str, object]
LETTER = 6  # pixels of a letter of a name, on average
LEAST = 3  # letters; a shorter rest of a name says nothing


def stretches(panel: int, spans: Sequence[Span], ticks: Sequence[int], theme: Theme, room: int = 0) -> list[Option]:
    """A series without points that carries the marks of one panel. room: pixels that names may take, 0 without names.

    A phase covers the axis from the end of the one before to its own: what was recorded at an epoch's end came of it. So one
    that ends at the first tick covers nothing: its line stands there, and its name before that of the next one, where both fit.
    """
    reached = [span for span in spans if span.first <= ticks[-1]]
    if len(spans) < 2 or len(reached) < 1:
        return []
    ends = [_tick(span.last, ticks) for span in reached]
    lines = [{"xAxis": str(ticks[end])} for end in dict.fromkeys(ends) if end < len(ticks) - 1]
    hidden = [span.name for span, end in zip(reached, ends, strict=False) if end == 0]
    seen = [(span, (start, end)) for span, start, end in zip(reached, [0, *ends], ends, strict=False) if end > start]
    areas = [_area([*([] if n else hidden), span.name], n, place, ticks, theme, room) for n, (span, place) in enumerate(seen)]
    still: Option = {"silent": True, "animation": False}
    line = {"color": NEUTRAL[theme], "width": 1, "type": "solid", "opacity": 0.7}
    return [
        {
            "type": "line",
            "id": f"{panel}/phases",
            "name": "phases",
            "xAxisIndex": panel,
            "yAxisIndex": panel,
            "data": [],
            "silent": True,
            "tooltip": {"show": False},
            "markLine": {**still, "symbol": "none", "label": {"show": False}, "lineStyle": line, "data": lines},
            "markArea": {**still, "data": areas},
        }
    ]


def _area(names: Sequence[str], place: int, ends: tuple[int, int], ticks: Sequence[int], theme: Theme, room: int) -> list[Option]:
    ground: Option = {"color": NEUTRAL[theme], "opacity": 0.1 if place % 2 else 0}
    letters = int(room * (ends[1] - ends[0]) / max(len(ticks) - 1, 1) / LETTER)
    together = " | ".join(names)
    name = short(together if len(together) <= letters else names[-1], letters) if letters >= LEAST else ""
    text: Option = {"show": bool(name), "position": "insideTop", "distance": 2, "fontSize": 10, "color": INK[theme]}
    left: Option = {"xAxis": str(ticks[ends[0]]), "name": name, "itemStyle": ground, "label": {**text, "formatter": name}}
    return [left, {"xAxis": str(ticks[ends[1]])}]


def _tick(epoch: int, ticks: Sequence[int]) -> int:
    """The place of the tick nearest to an epoch."""
    return min(range(len(ticks)), key=lambda n: abs(ticks[n] - epoch))

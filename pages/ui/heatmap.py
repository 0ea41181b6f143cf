"""Features by targets as a map of colours that prints its numbers. Pure: associations in, an ECharts option out.

Names are drawn on a canvas, where they are text whatever they hold; in tooltips, which are HTML, they are escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mtl_core.data.associations import Associations
from pages.ui.figure import NARROW, Figure
from pages.ui.lines import Option
from pages.ui.palette import HUES, INK, Theme
from pages.ui.text import cell, short

MOST_FEATURES, MOST_TARGETS = 15, 12
ROW, LEVEL, TURNED = 26, 28, 76  # pixels of a feature, and above the first for level and turned names
LETTER, CELL = 6.5, 150  # pixels of a letter, and of a target at most
PAPER: dict[Theme, str] = {"light": "#FFFFFF", "dark": "#0E1117"}  # the page's background
WORDS = {
    "pearson": "Pearson's correlation",
    "rms pearson": "correlation with its elements (root mean square)",
    "correlation ratio": "correlation ratio",
    "cramers v": "Cramér's V",
}


def heatmap(found: Associations, theme: Theme) -> Figure:
    """The strongest features, one row each; blue goes with the target, orange against it, pale does neither."""
    rows, columns = found.strongest(MOST_FEATURES), range(min(len(found.targets), MOST_TARGETS))
    names = [found.features[row] for row in rows]
    targets = [found.targets[column] for column in columns]
    data = [_cell(found, row, column, (x, y), theme) for y, row in enumerate(rows) for x, column in enumerate(columns)]
    turn = len(targets) > 6 or max(map(len, targets)) * LETTER > CELL
    head = TURNED if turn else LEVEL
    height, narrow = (above + ROW * len(rows) + 8 for above in (head, TURNED if len(targets) > 2 else LEVEL))
    left = round(min(190, 20 + LETTER * max(map(len, names))))
    turned = {"rotate": 35 if turn else 0, "width": 90 if turn else CELL}
    room = {"width": CELL * len(targets)} if len(targets) < 4 else {"right": 8}  # a few cells need not fill a screen
    option = {
        "animation": False,
        "textStyle": {"color": INK[theme]},
        "grid": {"left": left, **room, "top": head, "height": ROW * len(rows), "outerBoundsMode": "none"},
        "tooltip": {"confine": True, "extraCssText": "max-width:300px;white-space:normal;overflow-wrap:anywhere"},
        "xAxis": {**_axis(_labels(targets, 40), theme, turned), "position": "top"},
        "yAxis": {**_axis(_labels(names, 40), theme, {"width": left - 12}), "inverse": True},
        "series": [{"type": "heatmap", "data": data, "emphasis": {"disabled": True}, "label": {"show": True, "fontSize": 12}}],
        "media": _media(names, targets),
    }
    return Figure(option, height, narrow, takeaway(found))


def takeaway(found: Associations) -> str:
    """The strongest association of all in a sentence."""
    for row in found.strongest(1):
        values = [(abs(value), -column) for column, value in enumerate(found.values[row]) if math.isfinite(value)]
        if values:
            column = -max(values)[1]
            name, target = short(found.features[row], 60), short(found.targets[column], 60)
            words = WORDS[found.measures[row][column]]
            return f'Strongest: "{name}" with "{target}", {words} {found.values[row, column]:.2f}.'
    return "No feature varies together with a target as far as single features can tell."


def heads(found: Associations) -> list[str]:
    """Names of the targets as heads of a table; a blank keeps them apart from the column of features."""
    return [f"{name} " for name in found.targets]


def rows(found: Associations) -> list[dict[str, Any]]:
    """Every feature with its value for every target, the strongest first, for a table."""
    order = found.strongest(len(found.features))
    return [
        {"feature": found.features[row], **dict(zip(heads(found), map(_value, found.values[row].tolist()), strict=True))}
        for row in order
    ]


def _value(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _cell(found: Associations, row: int, column: int, at: tuple[int, int], theme: Theme) -> Option:
    value, ranked = float(found.values[row, column]), float(found.ranked[row, column])
    fill = colour(value, theme)
    title = f"<b>{cell(found.features[row], 120)}</b><br>{cell(found.targets[column], 120)}<br>"
    words = f"{WORDS[found.measures[row][column]]} {value:.3f}" if math.isfinite(value) else "one of the two does not vary"
    spearman = f"<br>Spearman's rank correlation {ranked:.3f}" if math.isfinite(ranked) else ""
    return {
        "value": [*at, value if math.isfinite(value) else 0],
        "itemStyle": {"color": fill, "borderColor": PAPER[theme], "borderWidth": 1},
        "label": {"formatter": printed(value), "color": readable(fill)},
        "tooltip": {"formatter": title + words + spearman},
    }


def printed(value: float) -> str:
    """Two decimals, without a sign for zero; a dash where there is no value."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def colour(value: float, theme: Theme) -> str:
    """From the page's own tint at 0 to blue at 1 and vermillion at -1."""
    start = _channels("#F3F3F3" if theme == "light" else "#20242C")
    end = _channels(HUES[theme]["blue" if value >= 0 else "vermillion"])
    share = min(abs(value), 1.0) if math.isfinite(value) else 0.0
    return "#" + "".join(f"{round(a + share * (b - a)):02X}" for a, b in zip(start, end, strict=True))


def readable(fill: str) -> str:
    """Black or white, whichever stands out more against the fill (WCAG contrast)."""
    light = luminance(fill)
    return "#000000" if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else "#FFFFFF"


def luminance(fill: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (n / 255 for n in _channels(fill))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(fill: str) -> list[int]:
    return [int(fill[n : n + 2], 16) for n in (1, 3, 5)]


def _axis(names: Sequence[str], theme: Theme, more: Option) -> Option:
    label = {"color": INK[theme], "fontSize": 12, "interval": 0, "overflow": "truncate", **more}
    plain = {"axisLine": {"show": False}, "axisTick": {"show": False}, "splitArea": {"show": False}}
    return {"type": "category", "data": list(names), "axisLabel": label, **plain}


def _labels(names: Sequence[str], letters: int) -> list[str]:
    """Shortened names; the invisible letter keeps ECharts, which uses them as keys, from falling over `__proto__`."""
    return [f"{short(name, letters)}\u200b" for name in names]


def _media(names: Sequence[str], targets: Sequence[str]) -> list[Option]:
    """On a phone: shorter names, smaller numbers, more room for cells."""
    many = len(targets) > 6
    narrow = {
        "grid": {"left": 92 if many else 112, "width": "auto", "right": 4, "top": TURNED if len(targets) > 2 else LEVEL},
        "xAxis": {
            "data": _labels(targets, 12),
            "axisLabel": {"fontSize": 10, "rotate": 50 if len(targets) > 2 else 0, "width": 80},
        },
        "yAxis": {"data": _labels(names, 18), "axisLabel": {"fontSize": 10, "width": 86 if many else 106}},
        "series": [{"label": {"fontSize": 9 if many else 11}}],
    }
    return [{"query": {"maxWidth": NARROW}, "option": narrow}]

"""Figures as tables: for a terminal, or as Markdown for the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_core.columns import columns

Figures = Mapping[str, Any]
Lines = list[list[str]]


def text(figures: Figures) -> str:
    """All sections for a terminal."""
    blocks = [_machine(figures), *(f"{one['title']}\n{columns(_lines(one['rows']))}" for one in _sections(figures))]
    return "\n\n".join(blocks)


def markdown(figures: Figures) -> str:
    """All sections as Markdown."""
    blocks = [_machine(figures), *(f"### {one['title']}\n\n{_table(_lines(one['rows']))}" for one in _sections(figures))]
    return "\n\n".join(blocks)


def _sections(figures: Figures) -> list[Figures]:
    """Those with rows, targets last."""
    return [one for one in (*figures["sections"].values(), figures["targets"]) if one["rows"]]


def _machine(figures: Figures) -> str:
    told = ", ".join(f"{name} {value}" for name, value in figures["machine"].items() if value not in (None, ""))
    form = "short" if figures["short"] else "full"
    return (
        f"The {form} form took {figures['wall_s']:.0f} s, {figures['cpu_s']:.0f} s of them on this process' CPU. Machine: {told}."
    )


def _lines(rows: Sequence[Mapping[str, Any]]) -> Lines:
    """A line of heads, then a line for each row; what no row has is left out."""
    heads = list(dict.fromkeys(key for row in rows for key in row if any(other.get(key) not in (None, "") for other in rows)))
    return [[head.replace("_", " ") for head in heads], *([cell(row.get(head)) for head in heads] for row in rows)]


def cell(value: Any) -> str:
    """Three significant digits; whole numbers in full; a range as `least to most`."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " to ".join(map(cell, value))
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(lines: Lines) -> str:
    head, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rest])

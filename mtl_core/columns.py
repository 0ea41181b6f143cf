"""Cells as lines of text for a terminal. By itself, as a list of schemes needs no analysis and not its imports."""

from __future__ import annotations

from collections.abc import Sequence


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart."""
    shown = [[printable(cell) for cell in line] for line in lines]
    widths = [max(len(cell) for cell in column) for column in zip(*shown, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in shown)


def printable(text: str) -> str:
    """Text on one line that cannot steer a terminal, whatever names it holds."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)

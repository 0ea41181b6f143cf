"""Names are data: made short and harmless before they stand among our own words."""

from __future__ import annotations

import html
import re

_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")  # every ASCII punctuation mark can begin markup somewhere


def short(name: str, limit: int = 32) -> str:
    """The name on one line, with its middle left out where it is long."""
    line = " ".join(name.split()) or "(blank)"
    if len(line) <= limit:
        return line
    tail = limit // 3
    return f"{line[: limit - tail - 1]}…{line[-tail:]}"


def plain(text: str) -> str:
    """Text for a place where Streamlit reads markdown: shown letter by letter, whatever it holds."""
    return _MARKUP.sub(r"\\\1", text)


def inline(text: str) -> str:
    """Our own words, with `formulas` between backticks shown as such and everything else letter by letter."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    return "".join(f"`{part}`" if n % 2 else plain(part) for n, part in enumerate(parts))


def label(name: str, limit: int = 32) -> str:
    """A shortened name for a place where Streamlit reads markdown."""
    return plain(short(name, limit))


def cell(name: str, limit: int = 24) -> str:
    """A shortened name for a tooltip template, which is HTML with {placeholders}, and for Plotly, which knows few entities."""
    text = html.escape(short(name, limit), quote=False)
    return "".join(f"&#{ord(letter)};" if letter in "\"'{}" else letter for letter in text)


def untemplated(name: str) -> str:
    """A name for an ECharts label, in which {a}, {b} and {c} would be replaced: an unseen mark takes their meaning."""
    return name.replace("{", "{\u2060")

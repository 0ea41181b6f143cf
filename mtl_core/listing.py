"""What the command line prints of tables, schemes, scenarios and benchmarks: plain data in, text out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mtl_core.analysis.text import columns

Entry = Mapping[str, Any]  # as `describe()` and `Understanding.to_dict()` give it


def understood_text(table: Entry) -> str:
    """What was understood of a table."""
    features = [
        [one["name"], one["kind"], "used" if one["used"] else "left out", one["reason"] or ""] for one in table["features"]
    ]
    targets = [
        [one["name"], one["kind"], f"{100 * one['available']:.3g} %", _classes(one["classes"])] for one in table["targets"]
    ]
    blocks = [f"{table['rows']:,} rows"]
    blocks.append(
        columns([["target", "kind", "labels", "classes"], *targets]) if targets else "No column was taken for a target."
    )
    blocks.append(columns([["feature", "kind", "", "reason"], *features]))
    blocks += [f"Warning: {warning}" for warning in table["warnings"]]
    return "\n\n".join(blocks)


def _classes(names: Sequence[Any] | None) -> str:
    shown = [str(name) for name in names or ()]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def schemes_text(entries: Sequence[Entry]) -> str:
    """The catalogue of weighting schemes."""
    return "\n\n".join(_entry(one, ("formula", "source"), one["settings"]) for one in entries)


def scenarios_text(entries: Sequence[Entry]) -> str:
    """The catalogue of scenarios."""
    return "\n\n".join(_entry(one, ("story",), one["knobs"]) for one in entries)


def figures_text(figures: Entry) -> str:
    """One figure a line; a list of rows as a table."""
    return "\n".join(_figure(name.replace("_", " "), value) for name, value in figures.items())


def _figure(name: str, value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        head = list(value[0])
        return f"{name}:\n{columns([head, *([_cell(row.get(key)) for key in head] for row in value)])}"
    return f"{name}: {_cell(value)}"


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " to ".join(_cell(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _entry(entry: Entry, details: Sequence[str], parts: Sequence[Entry]) -> str:
    lines = [f"{entry['name']}: {entry['title']}", *(f"    {entry[detail]}" for detail in details)]
    for name, preset in entry.get("presets", {}).items():
        lines.append(f"    preset {name}: {', '.join(f'{key} {_plain(value)}' for key, value in preset.items())}")
    lines += [f"    - {part['name']} ({_allowed(part)}; default {_plain(part['default'])}): {part['help']}" for part in parts]
    return "\n".join(lines)


def _allowed(part: Entry) -> str:
    if isinstance(part["default"], bool):
        return "true or false"
    low, high = part.get("low"), part.get("high")
    limits = {
        (False, False): "any",
        (True, False): f"at least {low}",
        (False, True): f"at most {high}",
        (True, True): f"{low} to {high}",
    }
    choices = list(part.get("choices") or ())
    numbers = limits[low is not None, high is not None]
    return " or ".join([*choices, *([numbers] if part.get("kind") != "choice" and (not choices or low is not None) else [])])


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

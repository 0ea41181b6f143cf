"""What the command line prints of tables, schemes, scenarios and benchmarks: plain data in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_core.columns import columns
from mtl_core.schemes.catalogue import FAMILIES
from mtl_core.schemes.markdown import LISTS, allowed, cost, plain, presets

_STRONGEST = 12  # features whose associations are printed
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
    if "tasks" in table:  # a problem can be made of it
        blocks += [_tasks(table), *_associations(table["associations"])]
        told = table["twins"]["sentence"]
        blocks += [] if any(warning.startswith(told) for warning in table["warnings"]) else [told]
    blocks += [f"Warning: {warning}" for warning in table["warnings"]]
    return "\n\n".join(blocks)


def _tasks(table: Entry) -> str:
    """Labels by split, and what a constant scores, for every task."""
    splits = list(table["split"])
    judged = [split for split in splits if split in table["tasks"][0]["baseline"]]
    head = ["task", *(f"{split} labels" for split in splits), "their labels", "a constant has", *judged]
    lines = [
        [
            one["name"],
            *(f"{one['labels'][split]:,} of {table['split'][split]:,}" for split in splits),
            one["scale"],
            one["baseline"]["metric"],
            *("–" if one["baseline"][split] is None else f"{one['baseline'][split]:.4g}" for split in judged),
        ]
        for one in table["tasks"]
    ]
    return columns([head, *lines])


def _associations(found: Entry) -> list[str]:
    """The features that go most with any target, one line a feature."""
    values: dict[str, dict[str, float | None]] = {}
    for pair in found["pairs"]:
        values.setdefault(pair["feature"], {})[pair["target"]] = pair["value"]
    order = sorted(values, key=lambda name: -max(abs(value or 0) for value in values[name].values()))[:_STRONGEST]
    targets = list(next(iter(values.values()), {}))
    lines = [[name, *("–" if value is None else f"{value:.2f}" for value in values[name].values())] for name in order]
    head = f"association ({len(order)} of {len(values)})" if len(order) < len(values) else "association"
    return [*([columns([[head, *targets], *lines])] if lines else []), *([found["note"]] if found["note"] else [])]


def _classes(names: Sequence[Any] | None) -> str:
    shown = [str(name) for name in names or ()]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def schemes_text(entries: Sequence[Entry]) -> str:
    """The catalogue of weighting schemes: two lines each, by family. A single scheme is told in full."""
    if len(entries) == 1:
        return scheme_text(entries[0])
    blocks = []
    for family, words in FAMILIES.items():
        lines = [_brief(one) for one in entries if one["family"] == family]
        if lines:
            blocks.append("\n".join([f"{family.upper()}: {words}", *lines]))
    return "\n\n".join([*blocks, "One in full, with its settings: python -m mtl_core schemes NAME"])


def _brief(entry: Entry) -> str:
    return f"  {entry['name']}: {entry['title']} ({_price(entry)})\n      {entry['idea']}"


def _price(entry: Entry) -> str:
    needs = f"needs {', '.join(entry['needs'])}"
    return needs if entry["relative_cost"] is None else f"{needs}; cost {cost(entry)}"


def scheme_text(entry: Entry) -> str:
    """Everything there is to know of one scheme."""
    head = [
        entry["idea"],
        f"Formula: {entry['formula']}",
        f"{entry['family']}; {_price(entry)}",
        f"Source: {entry['source']}",
    ]
    blocks = [_entry({**entry, "head": "\n    ".join(head)}, ("head",), entry["settings"])]
    blocks += [f"{title}\n" + "\n".join(f"  - {one}" for one in entry[key]) for title, key in LISTS if entry[key]]
    return "\n\n".join(blocks)


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
    lines += [f"    {line}" for line in presets(entry)]
    lines += [f"    - {_part(part)}" for part in parts]
    return "\n".join(lines)


def _part(part: Entry) -> str:
    """A setting of a scheme or a knob of a scenario; of a setting also where its default comes from."""
    source = f" [{part['source']}]" if part.get("source") else ""
    return f"{part['name']} ({allowed(part)}; default {plain(part['default'])}): {part['help']}{source}"

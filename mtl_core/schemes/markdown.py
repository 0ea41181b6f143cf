"""The catalogue as one Markdown document: `docs/schemes.md` is what this gives, word for word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mtl_core.schemes.catalogue import FAMILIES

Entry = Mapping[str, Any]  # as `describe()` gives it

HEAD = """# Weighting schemes

Generated from the scheme files by `python -m mtl_core schemes --markdown`: change them, not this document. The same is on the
Schemes page and in `python -m mtl_core schemes --json`.

A weight is an *effective* weight throughout: the factor with which a task's gradient enters the step. L_i is the loss of task
i, g_i its gradient, T the number of tasks present in the step, G the matrix of inner products of the g_i. The cost of a step is
relative to equal weights, as measured (six tasks, 64 lanes, one thread). *Second forward*: the batch is looked at again after
the step. *Heads*: what only one task uses; its gradient is weighted or not. What the schemes on gradients do when gradients
vanish, repeat or oppose each other: [degenerate gradients](degenerate-gradients.md)."""

MANY = 7  # tasks of a knob, from which on they are not named one by one
LISTS = (
    ("For", "pros"),
    ("Against", "cons"),
    ("When", "when"),
    ("When not", "when_not"),
    ("How it fails", "failure_modes"),
    ("Paper, official code and this one", "deviations"),
)


def document(entries: Sequence[Entry]) -> str:
    """The whole document, with a final newline."""
    blocks = [HEAD]
    for family, words in FAMILIES.items():
        members = [one for one in entries if one["family"] == family]
        if members:
            blocks += [f"## Family: {family}", words, _overview(members), *(_section(one) for one in members)]
    return "\n\n".join(blocks) + "\n"


def _overview(entries: Sequence[Entry]) -> str:
    rows = [[f"[`{e['name']}`](#{e['name']})", e["idea"], ", ".join(e["needs"]), cost(e)] for e in entries]
    return table(["scheme", "idea", "needs", "cost"], rows)


def _section(entry: Entry) -> str:
    blocks = [f"### {entry['name']}", f"**{entry['title']}.** {entry['idea']}", f"`{entry['formula']}`", _facts(entry)]
    if entry["settings"]:
        blocks.append(_settings(entry["settings"]))
    blocks += [f"{line[0].upper()}{line[1:]}." for line in presets(entry)]
    blocks += [f"{title}:\n\n" + "\n".join(f"- {one}" for one in entry[key]) for title, key in LISTS if entry[key]]
    return "\n\n".join([*blocks, f"Source: {entry['source']}"])


def _facts(entry: Entry) -> str:
    facts = [f"Needs: {', '.join(entry['needs'])}", f"cost of a step: {cost(entry)}"]
    if entry["gradients"]:
        facts.append(f"gradients by default: {entry['gradients'].replace('_', ' ')}, of heads {entry['head_gradients']}")
    if entry["positive_losses"]:
        facts.append("refuses negative losses")
    if entry["traits"]:
        facts.append(f"traits: {', '.join(trait.replace('_', ' ') for trait in entry['traits'])}")
    return "; ".join(facts) + "."


def _settings(settings: Sequence[Entry]) -> str:
    rows = [[f"`{one['name']}`", plain(one["default"]), allowed(one), one["help"], one["source"]] for one in settings]
    return table(["setting", "default", "allowed", "what it is", "default from"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell does not end it."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cost(entry: Entry) -> str:
    """The measured cost of a step relative to equal weights."""
    return "not measured" if entry["relative_cost"] is None else f"{entry['relative_cost']:.2g}"


def allowed(part: Entry) -> str:
    """What a setting, or a knob of a scenario, may be."""
    if isinstance(part["default"], bool):
        return "true or false"
    low, high = part.get("low"), part.get("high")
    limits = {
        (False, False): "any",
        (True, False): f"at least {_short(low)}",
        (False, True): f"at most {_short(high)}",
        (True, True): f"{_short(low)} to {_short(high)}",
    }
    choices = list(part.get("choices") or ())
    if isinstance(part["default"], dict):
        named = ", ".join(choices) if len(choices) < MANY else f"{choices[0]} to {choices[-1]}"
        return f"for any of {named}: {limits[low is not None, high is not None]}"
    numbers = limits[low is not None, high is not None]
    return " or ".join([*choices, *([numbers] if part.get("kind") != "choice" and (not choices or low is not None) else [])])


def _short(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def presets(entry: Entry) -> list[str]:
    """A line for each preset."""
    chosen = entry.get("presets", {}).items()
    return [f"preset {name}: {', '.join(f'{key} {plain(value)}' for key, value in one.items())}" for name, one in chosen]


def plain(value: Any) -> str:
    """A default as it is written in an experiment file, numbers to six figures."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(plain(item) for item in value)}]"
    if value == {}:
        return "none"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)

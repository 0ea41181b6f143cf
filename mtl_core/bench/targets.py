"""What is aimed at, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mtl_core.bench.timing import STORED, Row

Sections = Mapping[str, Sequence[Row]]
Found = float | None
DEFAULT_EPOCHS = 30  # of the scenario; a shorter training says nothing of its shares
MIXES = ("without Nash-MTL", "with Nash-MTL")
NOISE = 1.05  # a cost that shall not grow may measure so much more

AT_LEAST, AT_MOST = "at least", "at most"


def targets(sections: Sections) -> list[Row]:
    """One row a target; `reached` is None where it was not measured."""
    return [_row(*target) for target in _all(sections)]


def _all(sections: Sections) -> Iterator[tuple[str, str, float, Found]]:
    steps, gramian = sections.get("steps", ()), sections.get("gramian", ())
    for size, times in {"small": 40, "default": 20, "medium": 10}.items():
        yield f"loss-based, 64 lanes over the plain loop, {size}", AT_LEAST, times, _least(_lanes(steps, size), "over_plain")
    for size, share in {"default": 0.35, "medium": 0.5, "large": 0.75}.items():
        equal = [row for row in _lanes(steps, size) if row["scheme"] == "equal"]
        yield f"share of the bare products' speed at 64 lanes, {size}", AT_LEAST, share, _least(equal, "share_of_bound")
    for size, times in {"default": 20, "medium": 10}.items():
        found = [row for row in gramian if row["size"] == size and row["scheme"] != "nash_mtl"]
        yield f"on gradients, 64 lanes over torchjd's same method, {size}", AT_LEAST, times, _least(found, "over_torchjd")
        nash = [row for row in gramian if row["size"] == size and row["scheme"] == "nash_mtl"]
        yield f"Nash-MTL, 64 lanes over torchjd's, {size}", AT_LEAST, 200, _least(nash, "over_torchjd")
    for mix in MIXES:
        mine = [row for row in sections.get("mixed", ()) if row.get("mix") == mix]
        yield f"mixed comparison {mix}, wall time over loops", AT_LEAST, 30, _least(mine, "over_loops")
    for size in ("small", "default", "medium", "large"):
        yield f"time a lane and step, 256 lanes over 8, {size}", AT_MOST, NOISE, _grown(steps, size)
    for group, runs in {"loss-based": 16, "eight, loss-based": 64}.items():
        stored = [row for row in sections.get("evaluation", ()) if (row["schemes"], row["what"]) == (group, STORED)]
        whole = [row for row in stored if row["epochs"] >= DEFAULT_EPOCHS]
        beyond = _last(whole, "share_of_wall")
        yield f"evaluation, recording and store, share of the wall time of {runs} runs, default", AT_MOST, 0.1, beyond
    yield "megabytes a lane of the default problem", AT_MOST, 4, _last(sections.get("memory", ()), "mb_per_lane")
    imported = [row for row in sections.get("import", ()) if row["what"] == "import mtl_core"]
    yield "seconds to import mtl_core", AT_MOST, 0.15, _last(imported, "seconds")
    yield "torch imported with it (1: yes)", AT_MOST, 0, _last(imported, "imports_torch")


def _row(target: str, sense: str, limit: float, found: Found) -> Row:
    reached = None if found is None else found >= limit if sense == AT_LEAST else found <= limit
    return {"target": target, "sense": sense, "limit": limit, "measured": found, "reached": reached}


def _lanes(steps: Sequence[Row], size: str, count: int = 64) -> list[Row]:
    return [row for row in steps if (row["size"], row["loop"], row["lanes"]) == (size, "lanes", count)]


def _grown(steps: Sequence[Row], size: str) -> Found:
    """The larger of the schemes."""
    pairs = zip(_lanes(steps, size, 8), _lanes(steps, size, 256), strict=True)
    return max((many["cpu_us"] / few["cpu_us"] for few, many in pairs), default=None)


def _least(rows: Sequence[Row], key: str) -> Found:
    return min((float(row[key]) for row in rows if row.get(key) is not None), default=None)


def _last(rows: Sequence[Row], key: str) -> Found:
    return float(rows[-1][key]) if rows else None

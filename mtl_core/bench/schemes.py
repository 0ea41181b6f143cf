"""What a step costs under each scheme, relative to equal weights; and torchjd's loop beside ours for its methods.

Only training steps are timed (forward, weights, backward, optimizer), on the same minibatches, one thread; equal weights are
timed anew beside every job, so that a busy machine slows both alike. A relative cost is the median over rounds of that ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mtl_core.bench.machine import machine
from mtl_core.bench.plain import plain_steps
from mtl_core.bench.problems import SIZES, lane_steps, mixed_heads, runs_of, training_of
from mtl_core.bench.timing import Job, one_thread
from mtl_core.bench.torchjd_loop import TORCHJD, TorchjdRun, torchjd_present
from mtl_core.schemes import SCHEMES

LANES = 64
Key = tuple[str, str]  # whose loop, which scheme


def schemes(size: str = "medium", names: Sequence[str] = (), *, short: bool = False) -> dict[str, Any]:
    """Measure and return plain data. short: two rounds of 2 steps; else five rounds of 8."""
    rounds, steps = (2, 2) if short else (5, 8)
    problem, (hidden, batch) = mixed_heads(), SIZES[size]
    training = training_of(SIZES[size])
    chosen = [name for name in SCHEMES if not names or name in names or name == "equal"]
    with one_thread():
        work: dict[Key, Job] = {("lanes", name): lane_steps(problem, runs_of(training, LANES, (name,))) for name in chosen}
        if torchjd_present():
            theirs = [name for name in chosen if name in TORCHJD]
            work |= {("torchjd", name): plain_steps(TorchjdRun(problem, training, name)) for name in theirs}
        timed = _rounds(work, rounds, steps)
        on = machine()
    table = [_row(name, timed, steps) for name in chosen]
    return {"size": size, "lanes": LANES, "hidden": list(hidden), "batch_size": batch, "table": table, "machine": on}


class Timed(NamedTuple):
    """CPU seconds of a job, and of equal weights just before it, so that a busy machine slows both alike."""

    job: float
    equal: float


def _rounds(work: Mapping[Key, Job], rounds: int, steps: int) -> dict[Key, list[Timed]]:
    """Every job in every round, after one round that is not counted."""
    equal = work["lanes", "equal"]
    for job in work.values():
        job(1)
    timed: dict[Key, list[Timed]] = {key: [] for key in work}
    for _ in range(rounds):
        for key, job in work.items():
            base = _seconds(equal, steps)
            timed[key].append(Timed(_seconds(job, steps), base))
    return timed


def _seconds(job: Job, steps: int) -> float:
    start = time.process_time()
    job(steps)
    return time.process_time() - start


def _row(name: str, timed: Mapping[Key, list[Timed]], steps: int) -> dict[str, Any]:
    mine, theirs = timed["lanes", name], timed.get(("torchjd", name))
    ratios = [one.job / one.equal for one in mine]
    seconds = statistics.median(one.job for one in mine)
    return {
        "name": name,
        "relative_cost": statistics.median(ratios),
        "range": [min(ratios), max(ratios)],
        "lane_steps_per_cpu_s": LANES * steps / seconds,
        "over_torchjd": None if theirs is None else LANES * statistics.median(one.job for one in theirs) / seconds,
    }

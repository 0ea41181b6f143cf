"""From runs to batches: which lanes train together, and how they are shared among those who train.

One batch is cheapest, since a step's fixed time is paid once. But a batch is one process's work: with several workers a
comparison is cut into batches that take about equally long, where that ends sooner by the estimate of `durations.py`. Cuts go
between seeds: all arms of a seed train together, so that whenever they are looked at or stopped they stand at the same epoch and
can be compared. (Between schemes a cut would be cheaper, as a scheme's arithmetic runs once for all its lanes in a batch.)
A run's numbers do not depend on the lanes beside it, beyond rounding, which a long training in float32 may enlarge.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, groupby, pairwise

from mtl_core.durations import batch_seconds, lane_seconds, trunk_parameters
from mtl_core.schemes import SCHEMES
from mtl_core.specs import GRAPH_TRUNKS, RunSpec

MAX_LANES = 256
MAX_PARAMETERS = 25_000_000  # of a batch
BY_AUTOGRAD = 4  # lanes of a batch of convolutions: more gain nothing, and several workers share small batches
NUMBERS_A_PARAMETER = 13  # that training holds; a checkpoint has 6
WASTE = 0.1  # a second of anybody's work counts as so many seconds of waiting
WORTH = 0.8  # of the price: a cut that saves less is not made
ALONE = (0.0,)

Batches = list[list[RunSpec]]


def plan(
    runs: Iterable[RunSpec],
    *,
    features: int = 1,
    tasks: int = 1,
    rows: int = 0,
    free: Sequence[float] = ALONE,
    max_lanes: int = MAX_LANES,
) -> Batches:
    """Batches of runs that share data, model shape and schedule; a run that is named twice is planned once.

    rows: of the training split. free: in how many seconds each of those who train can begin.
    """
    shapes: dict[tuple[str, ...], dict[str, RunSpec]] = {}
    for run in runs:
        shapes.setdefault(_shape(run), {}).setdefault(run.id, run)
    batches = []
    for alike in shapes.values():
        members = list(alike.values())
        most = _most(members, features, tasks, max_lanes)
        batches += _shared(members, most, lambda batch: batch_seconds(batch, features, rows), features, free)
    return batches


def _shape(run: RunSpec) -> tuple[str, ...]:
    shared = run.training.model_copy(update={"lr": None, "weight_decay": None})
    return run.data.canonical(), shared.canonical()


def _most(runs: list[RunSpec], features: int, tasks: int, max_lanes: int) -> int:
    """Lanes of a batch that memory allows."""
    numbers = NUMBERS_A_PARAMETER + max(_tracked(run, tasks) for run in runs)
    if runs[0].training.trunk in GRAPH_TRUNKS:
        max_lanes = min(max_lanes, BY_AUTOGRAD)
    return max(1, min(max_lanes, MAX_PARAMETERS * NUMBERS_A_PARAMETER // (numbers * trunk_parameters(runs[0], features))))


def _tracked(run: RunSpec, tasks: int) -> int:
    """Further numbers a parameter: a gradient of every task, and for some schemes as many that they keep."""
    return {"gradient-based": tasks, "full-Jacobian": 4 * tasks}.get(SCHEMES[run.arm.scheme].family, 0)


def _shared(
    runs: list[RunSpec], most: int, seconds: Callable[[list[RunSpec]], float], features: int, free: Sequence[float]
) -> Batches:
    """As few batches as memory allows, or the cut with the lowest price, longest first, if that is worth it."""

    def price(batches: Batches) -> float:
        times = [seconds(batch) for batch in batches]
        return _end(times, free) + WASTE * sum(times)

    fewest = _evenly(runs, math.ceil(len(runs) / most))
    seeds = len({run.seed for run in runs})
    counts = range(max(2, len(fewest)), min(seeds, max(len(fewest), len(free)) + len(free) - 1) + 1) if len(free) > 1 else ()
    cuts = [cut for cut in (_by_seed(runs, count, features) for count in counts) if max(map(len, cut)) <= most]
    best = min(cuts, key=price, default=fewest)
    return sorted(best, key=seconds, reverse=True) if price(best) <= WORTH * price(fewest) else fewest


def _evenly(runs: list[RunSpec], count: int) -> Batches:
    """Equally many lanes, the arms of a seed together."""
    if count == 1:
        return [runs]
    by_seed = sorted(runs, key=lambda run: run.seed)  # stable: arms keep their order
    bounds = [len(runs) * part // count for part in range(count + 1)]
    return [by_seed[start:end] for start, end in pairwise(bounds)]


def _by_seed(runs: list[RunSpec], count: int, features: int) -> Batches:
    """Whole seeds, in so many parts that cost about the same; fewer if some would be empty."""
    order = sorted(runs, key=lambda run: run.seed)
    seeds = [list(members) for _, members in groupby(order, key=lambda run: run.seed)]
    costs = [sum(lane_seconds(run, features) for run in members) for members in seeds]
    parts: Batches = [[] for _ in range(count)]
    for members, cost, end in zip(seeds, costs, accumulate(costs), strict=True):
        parts[min(count - 1, int(count * (end - cost / 2) / sum(costs)))] += members
    return [part for part in parts if part]


def _end(seconds: list[float], free: Sequence[float]) -> float:
    """When the last batch ends, if whoever is free takes the longest that is left."""
    workers = list(free)
    heapq.heapify(workers)
    return max(heapq.heapreplace(workers, workers[0] + one) + one for one in sorted(seconds, reverse=True))

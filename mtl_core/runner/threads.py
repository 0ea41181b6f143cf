"""How many threads a batch trains with.

One, unless `MTL_THREADS` says otherwise. Sharing lanes among processes gains more than sharing a matrix among threads, and
threads that find their core taken by something else are slower than one. `auto` tries: where the cores outnumber the processes
that have work, a few steps of the batch itself are timed with one thread and with those that would be left over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from mtl_core.cores import cores, wanted_threads, wanted_workers
from mtl_core.engine import Training
from mtl_core.lanes.memory import keep_freed_memory

if TYPE_CHECKING:
    from mtl_core.problem import Problem
    from mtl_core.specs import RunSpec

TRIED_LANES = 16
TRIALS = 3  # of each number, in turn; the quickest counts
GAIN = 0.8  # of the time with one thread: less is not worth the risk that another process wants the core


@contextmanager
def few_threads() -> Iterator[None]:
    """One thread, until a batch asks for more; afterwards as it was."""
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def set_threads(problem: Problem, runs: Sequence[RunSpec], unfinished: int) -> int:
    """Set and return the number of threads for these runs; unfinished: batches that there are to train, with this one."""
    wanted = wanted_threads()
    torch.set_num_threads(1)
    if wanted is None:
        most = cores() // max(1, min(wanted_workers(), unfinished))
        wanted = most if most > 1 and _gains(problem, runs, most) else 1
    torch.set_num_threads(wanted)
    return wanted


def _gains(problem: Problem, runs: Sequence[RunSpec], most: int) -> bool:
    """Whether training steps are quicker with `most` threads than with one."""
    training = Training(problem, runs[:: math.ceil(len(runs) / TRIED_LANES)], "cpu")
    batch = next(iter(training.batches.of(1)))
    training.live.step(batch)
    seconds: dict[int, list[float]] = {1: [], most: []}
    for _ in range(TRIALS):
        for count, times in seconds.items():
            torch.set_num_threads(count)
            began = time.perf_counter()
            training.live.step(batch)
            times.append(time.perf_counter() - began)
    return min(seconds[most]) < GAIN * min(seconds[1])

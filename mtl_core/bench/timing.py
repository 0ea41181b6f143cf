"""How things are timed: interleaved repetitions in one process, CPU and wall seconds, medians and spread.

A busy machine slows neighbouring measurements alike, so everything that is compared is repeated in turns, and a ratio is the
median over rounds of the ratio within a round. On the CPU a rate is per CPU-second; on a GPU, whose work the process' CPU time
does not hold, per second of wall time, with the device waited for.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch

from mtl_core.lanes.memory import warm

Job = Callable[[int], Any]  # does that many steps
Row = dict[str, Any]  # plain data, one line of a table
Key = TypeVar("Key", bound=Hashable)
Choice = TypeVar("Choice")
MOST_STEPS = 10_000  # of one repetition
STORED = "and through the runner and a store"  # a whole training as a person runs it


@dataclass(frozen=True)
class Form:
    """How much is measured."""

    short: bool = False
    device: str = "cpu"
    rounds: int = 7
    slice_s: float = 0.15  # seconds of one repetition

    @staticmethod
    def of(*, short: bool, device: str = "cpu") -> Form:
        """The full form, or the one for continuous checks."""
        return Form(short=True, device=device, rounds=3, slice_s=0.03) if short else Form(device=device)

    def pick(self, full: Choice, short: Choice) -> Choice:
        """The one of two that belongs to this form."""
        return short if self.short else full


class Spent(NamedTuple):
    """Seconds."""

    cpu: float
    wall: float

    def by(self, device: str) -> float:
        """Those that count on the device."""
        return self.cpu if device == "cpu" else self.wall

    def over(self, parts: float) -> Spent:
        """Of one part."""
        return Spent(self.cpu / parts, self.wall / parts)


class Ratio(NamedTuple):
    """Median, least and most over rounds."""

    middle: float
    least: float
    most: float


def spent(job: Callable[[], Any], device: str = "cpu") -> Spent:
    """What one call takes; CPU seconds are those of this process, all threads."""
    cpu, wall = time.process_time(), time.perf_counter()
    job()
    _wait(device)
    return Spent(time.process_time() - cpu, time.perf_counter() - wall)


def measured(work: Mapping[Key, Job], form: Form) -> dict[Key, list[Spent]]:
    """Seconds a step of every job, by round. Each job first does two steps that are not counted and say how many fill a slice."""
    counts = {key: _steps(job, form) for key, job in work.items()}
    times: dict[Key, list[Spent]] = {key: [] for key in work}
    for _ in range(form.rounds):
        for key, job in work.items():
            times[key].append(spent(partial(job, counts[key]), form.device).over(counts[key]))
    return times


def repeated(work: Mapping[Key, Callable[[], Any]], rounds: int) -> dict[Key, list[Spent]]:
    """Seconds of whole jobs, in turns."""
    times: dict[Key, list[Spent]] = {key: [] for key in work}
    for _ in range(rounds):
        for key, job in work.items():
            times[key].append(spent(job))
    return times


def middle(times: Sequence[Spent]) -> Spent:
    """Medians."""
    return Spent(statistics.median(one.cpu for one in times), statistics.median(one.wall for one in times))


def ratio(these: Sequence[Spent], those: Sequence[Spent], device: str = "cpu", times: float = 1.0) -> Ratio:
    """How many times longer these took than those, round by round."""
    found = [times * a.by(device) / b.by(device) for a, b in zip(these, those, strict=True)]
    return Ratio(statistics.median(found), min(found), max(found))


@contextmanager
def one_thread() -> Iterator[None]:
    """As workers train, its one-time costs paid before. Afterwards threads and subnormal numbers are as they were."""
    threads, flushed = torch.get_num_threads(), _flushes_subnormals()
    torch.set_num_threads(1)
    try:
        warm()
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)


def _flushes_subnormals() -> bool:
    return not bool((torch.full((), 1e-39) * 0.5).item())


def _steps(job: Job, form: Form) -> int:
    job(1)
    once = spent(partial(job, 1), form.device).wall
    return max(1, min(MOST_STEPS, int(form.slice_s / max(once, 1e-6))))


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()

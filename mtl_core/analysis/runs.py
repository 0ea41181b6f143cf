"""Which runs count, how the others ended, and one number of one run.

A diverged or failed run counts nowhere and is reported instead. A run a person stopped counts with what it had, but is
compared only with a run of the other arm that was stopped at the same epoch.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from mtl_core.analysis.wording import count, listed
from mtl_core.records import HIGHER_IS_BETTER, NEITHER, SIGNAL_NAMES, Comparison, RunRecord, Status

At = Literal["best", "final"] | int  # an integer is an epoch, counted from 1
LOWER = "lower the learning rate and run again"
LOST: tuple[Status, ...] = ("diverged", "failed")
Values = Float[np.ndarray, " runs"]  # one number of every run by position, NaN where there is none


def direction(name: str) -> int:
    """+1 where higher is better, -1 where lower is, 0 where neither: predicted rates, weights, shares."""
    if name in NEITHER or (name in SIGNAL_NAMES and name != "loss"):
        return 0
    return 1 if name in HIGHER_IS_BETTER else -1


def read(comparison: Comparison, at: At, split: str, task: str, name: str) -> Values:
    """One quantity of every run: from its result (`best`, `final`) or from the history at an epoch."""
    if not isinstance(at, int):
        return np.array([_from_result(run, at, split, task, name) for run in comparison.runs], dtype=np.float64)
    column = comparison.column(split, task, name)
    if not 1 <= at <= len(column):
        return np.full(len(comparison.runs), np.nan)
    return np.where([run.status in LOST for run in comparison.runs], np.nan, column[at - 1])


def _from_result(record: RunRecord, at: str, split: str, task: str, name: str) -> float:
    if record.result is None or record.status not in ("done", "stopped"):
        return math.nan
    value = record.result.metrics.get(at, {}).get(split, {}).get(task, {}).get(name)
    return math.nan if value is None else float(value)


def by_arm(comparison: Comparison, arm: str, values: Values) -> Float[np.ndarray, " runs"]:
    """A quantity of every run of an arm, by seed."""
    return values[comparison.runs_of(arm)]


def by_pair(comparison: Comparison, arm: str, values: Values) -> tuple[Float[np.ndarray, " seeds"], Float[np.ndarray, " seeds"]]:
    """The same quantity of the arm and of the baseline arm, for the seeds that both have."""
    both = values[np.array(pairs(comparison, arm), dtype=int).reshape(-1, 2)]
    return both[:, 0], both[:, 1]


def pairs(comparison: Comparison, arm: str) -> list[tuple[int, int]]:
    """Runs of the arm and of the baseline with one seed that may be compared, by seed."""
    baseline = {comparison.runs[run].seed: run for run in comparison.runs_of(comparison.spec.baseline)}
    mine = {comparison.runs[run].seed: run for run in comparison.runs_of(arm)}
    return [(mine[s], baseline[s]) for s in sorted(mine) if s in baseline and _comparable(comparison, mine[s], baseline[s])]


def originals(comparison: Comparison) -> dict[str, str]:
    """By arm, the first arm with exactly its runs, the baseline arm before all: mostly itself.

    Arms whose specifications come to the same runs are one comparison, however often they are named.
    """
    first: dict[tuple[str, ...], str] = {}
    ids = {arm: tuple(comparison.runs[run].run_id for run in comparison.runs_of(arm)) for arm in comparison.spec.arms}
    arms = [comparison.spec.baseline, *ids]
    return {arm: first.setdefault(ids[arm] or (arm,), arm) for arm in arms}


def _comparable(comparison: Comparison, one: int, other: int) -> bool:
    a, b = comparison.runs[one], comparison.runs[other]
    if a.status in LOST or b.status in LOST:
        return False
    return (a.status == "stopped") == (b.status == "stopped") and (a.status != "stopped" or a.epoch == b.epoch)


@dataclass(frozen=True)
class Endings:
    """How the runs of one arm ended, as numbers of runs; `sentences` are the reasons given, each once."""

    arm: str
    runs: int
    done: int
    stopped: int
    diverged: int
    failed: int
    unfinished: int
    sentences: tuple[str, ...]

    @property
    def counted(self) -> int:
        """Runs that means are taken over."""
        return self.done + self.stopped


def endings(comparison: Comparison) -> tuple[Endings, ...]:
    """One entry per arm, in the order of the experiment."""
    return tuple(_ending(comparison, arm) for arm in comparison.spec.arms)


def _ending(comparison: Comparison, arm: str) -> Endings:
    records = [comparison.runs[run] for run in comparison.runs_of(arm)]
    seen = Counter(record.status for record in records)
    tally = {status: seen[status] for status in ("done", "stopped", "diverged", "failed")}
    reasons = [record.result.sentence for record in records if record.result and record.status in LOST and record.result.sentence]
    unfinished = len(records) - sum(tally.values())
    return Endings(arm, len(records), **tally, unfinished=unfinished, sentences=tuple(dict.fromkeys(reasons)))


def counted(comparison: Comparison) -> dict[str, int]:
    """By arm, the runs behind its means: those with a recorded epoch that are not lost."""
    seen = np.isfinite(comparison.history).any(axis=(0, 2))
    runs = {arm: comparison.runs_of(arm) for arm in comparison.spec.arms}
    return {arm: sum(bool(seen[run]) and comparison.runs[run].status not in LOST for run in mine) for arm, mine in runs.items()}


def nothing_counted(comparison: Comparison) -> str:
    """Why no run counts, and the next step; for a comparison without numbers to show."""
    every = endings(comparison)
    if any(one.unfinished for one in every) or not comparison.runs:
        return "No run has finished yet: run the comparison to its end."
    if diverged := sum(one.diverged for one in every):
        return f"No run has a result: {diverged} of {count(len(comparison.runs), 'run')} diverged; {LOWER}."
    if any(one.failed for one in every):
        return "No run has a result, as runs failed: change the arms or the training and run again."
    return "No run has a result: run again."


def ending_notes(comparison: Comparison) -> tuple[str, ...]:
    """One sentence for every arm that lost, stopped or still trains runs."""
    return tuple(note for one in endings(comparison) for note in _notes(one))


def _notes(one: Endings) -> list[str]:
    notes = []
    if one.diverged:
        why = f" ({listed(one.sentences[:3])})" if one.sentences else ""
        notes.append(f"{one.arm}: {one.diverged} of {count(one.runs, 'run')} diverged{why}; they count in no mean.")
    if one.failed:
        notes.append(f"{one.arm}: {one.failed} of {count(one.runs, 'run')} failed and count in no mean.")
    if one.stopped:
        notes.append(
            f"{one.arm}: {one.stopped} of {count(one.runs, 'run')} stopped by hand; "
            "each counts with what it had and is compared only with a run stopped at the same epoch."
        )
    if one.unfinished:
        notes.append(f"{one.arm}: {one.unfinished} of {count(one.runs, 'run')} not finished.")
    return notes

"""One recorded quantity over epochs, per arm: mean over seeds with a band, and what a figure must say beside it.

Runs that diverged or failed are left out whole, so that they cannot bend a mean or an axis; they appear as marks.
A run that ended early counts only in the epochs that it trained: `n` says how many runs stand behind each point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mtl_core.analysis.axes import limits, with_margin
from mtl_core.analysis.parts import summable, sums_note
from mtl_core.analysis.phases import spans
from mtl_core.analysis.runs import LOST, direction, ending_notes
from mtl_core.analysis.seeds import t_quantile
from mtl_core.analysis.wording import count, number
from mtl_core.records import Channel, Comparison, Status

BandKind = Literal["interval", "range"]
BAND_WORDS: dict[BandKind, str] = {"interval": "95 % t interval of the mean over seeds", "range": "lowest to highest seed"}
WORDS = {
    "loss": "loss",
    "weight": "effective weight",
    "sigma": "learned σ",
    "share": "share of the total loss",
    "available": "share of labels present",
    "gate": "gate",
    "criterion": "fixed criterion",
    "learned_total": "the scheme's own objective",
}


@dataclass(frozen=True)
class Curve:
    """One arm. Epochs count from 1; NaN where no run has the epoch; a band needs two runs."""

    arm: str
    epochs: Int[np.ndarray, " epochs"]
    mean: Float[np.ndarray, " epochs"]
    low: Float[np.ndarray, " epochs"]
    high: Float[np.ndarray, " epochs"]
    n: Int[np.ndarray, " epochs"]
    runs: Float[np.ndarray, "epochs runs"]  # every counted run, by seed
    seeds: tuple[int, ...]
    smoothed: Float[np.ndarray, " epochs"] | None = None  # beside the raw mean, never instead of it


class Mark(NamedTuple):
    """A run that is in no mean: where and how it ended."""

    arm: str
    seed: int
    epoch: int
    status: Status
    sentence: str


@dataclass(frozen=True)
class Curves:
    """What one panel shows."""

    channel: Channel
    title: str  # `regime: validation loss`
    direction: int  # +1 higher is better, -1 lower, 0 neither
    band: str  # what the band is, in words
    curves: tuple[Curve, ...]  # in the order of the arms; an arm without any value has none
    marks: tuple[Mark, ...]
    axis: tuple[float, float] | None  # limits that a curve running away does not bend; None: whatever the data has
    notes: tuple[str, ...]
    takeaway: str  # alternative text

    @property
    def outside(self) -> tuple[str, ...]:
        """Arms whose mean leaves the axis in some epoch."""
        if self.axis is None:
            return ()
        low, high = with_margin(self.axis)
        return tuple(one.arm for one in self.curves if ((one.mean < low) | (one.mean > high)).any())

    @property
    def empty(self) -> bool:
        """Nothing to draw yet."""
        return not self.curves


def lost_runs(marks: Sequence[Mark], most: int = 5) -> str:
    """The first runs that are in no mean, by arm and seed, and how many more there are."""
    told = [f"{one.arm}, seed {one.seed}: {one.sentence or one.status}." for one in marks[:most]]
    return " ".join([*told, *([f"And {len(marks) - most} more."] if len(marks) > most else [])])


def curves(
    comparison: Comparison,
    channel: Channel,
    band: BandKind = "interval",
    smoothing: float | None = None,
    points: int | None = None,
) -> Curves:
    """One quantity for all arms. smoothing: EMA factor (share of the new value). points: thin to about this many epochs.

    A sum over tasks is left out for arms that sum over other tasks than the baseline arm; a note says so.
    """
    column = comparison.column(*channel)
    column = column[: _reached(column)]
    arms = list(comparison.spec.arms if channel.task else summable(comparison))
    drawn = _curves(comparison, column, arms, band, smoothing)
    seen = tuple(_thinned(curve, points) for curve in drawn if curve.n.any())
    sense = direction(channel.name)
    return Curves(
        channel=channel,
        title=title(channel),
        direction=sense,
        band=BAND_WORDS[band],
        curves=seen,
        marks=marks(comparison),
        axis=limits(
            [(one.epochs, one.runs) for one in seen], sense, [span.first for span in spans(comparison.spec.training)] or [1]
        ),
        notes=(*ending_notes(comparison), *_left_out(comparison, channel)),
        takeaway=_takeaway(channel, seen),
    )


def task_curves(
    comparison: Comparison, split: str, name: str, band: BandKind = "interval", points: int | None = None
) -> tuple[Curves, ...]:
    """The same quantity for every task that has it: small multiples, in the order of the tasks."""
    names = [Channel(split, task.name, name) for task in comparison.problem.tasks]
    panels = [curves(comparison, channel, band, points=points) for channel in names if channel in comparison.channels]
    return tuple(panel for panel in panels if not panel.empty)


def recorded(comparison: Comparison) -> frozenset[tuple[str, str]]:
    """(split, name) of every quantity with at least one value: which panels exist (sigma and gate often do not)."""
    present = np.isfinite(comparison.history).any(axis=(0, 1))
    return frozenset((channel.split, channel.name) for channel, here in zip(comparison.channels, present, strict=True) if here)


def title(channel: Channel) -> str:
    """`regime: validation loss`; `fixed criterion (validation)` for a quantity of the whole run."""
    word = WORDS.get(channel.name, channel.name.replace("_", " "))
    return f"{channel.task}: {channel.split} {word}" if channel.task else f"{word} ({channel.split})"


def marks(comparison: Comparison) -> tuple[Mark, ...]:
    """Diverged and failed runs."""
    lost = [run for run in comparison.runs if run.status in LOST]
    return tuple(Mark(run.arm, run.seed, run.epoch, run.status, run.result.sentence if run.result else "") for run in lost)


def over_seeds(
    values: Float[np.ndarray, "epochs runs"], band: BandKind
) -> tuple[Float[np.ndarray, " epochs"], Float[np.ndarray, " epochs"], Float[np.ndarray, " epochs"], Int[np.ndarray, " epochs"]]:
    """Mean, low, high and number of the finite values of each epoch."""
    finite = np.isfinite(values)
    n = finite.sum(axis=1)
    ordered = np.sort(np.where(finite, values, np.nan), axis=1)  # NaN last: the order of seeds changes no digit
    some = np.where(n > 0, n, 1)
    mean = np.where(n > 0, np.nansum(ordered, axis=1) / some, np.nan)
    if band == "range":
        low, high = (
            np.where(finite, values, np.inf).min(axis=1, initial=np.inf),
            np.where(finite, values, -np.inf).max(axis=1, initial=-np.inf),
        )
        return mean, np.where(n > 1, low, np.nan), np.where(n > 1, high, np.nan), n
    squares = np.nansum((ordered - mean[:, None]) ** 2, axis=1)
    half = t_quantile(n) * np.sqrt(squares / np.where(n > 1, n - 1, 1) / some)
    return mean, mean - half, mean + half, n


def _curves(
    comparison: Comparison, column: Float[np.ndarray, "epochs runs"], arms: Sequence[str], band: BandKind, smoothing: float | None
) -> list[Curve]:
    """Arms with as many runs that count are taken over their seeds together."""
    runs = {arm: [run for run in comparison.runs_of(arm) if comparison.runs[run].status not in LOST] for arm in arms}
    epochs = np.arange(len(column)) + 1
    found = {}
    for size in {len(mine) for mine in runs.values()}:
        alike = [arm for arm, mine in runs.items() if len(mine) == size]
        values = column[:, np.array([runs[arm] for arm in alike], dtype=int)]  # [epochs, arms, seeds]
        numbers = [
            one.reshape(len(column), len(alike)).T for one in over_seeds(values.reshape(len(column) * len(alike), size), band)
        ]
        for arm, one, mean, low, high, n in zip(alike, values.swapaxes(0, 1), *numbers, strict=True):
            smoothed = None if smoothing is None else smooth(mean, smoothing)
            seeds = tuple(comparison.runs[run].seed for run in runs[arm])
            found[arm] = Curve(arm, epochs, mean, low, high, n, one, seeds, smoothed)
    return [found[arm] for arm in arms]


def _thinned(curve: Curve, points: int | None) -> Curve:
    if points is None or len(curve.epochs) <= points:
        return curve
    kept = np.unique(np.linspace(0, len(curve.epochs) - 1, max(points, 2)).round().astype(int))
    arrays = {name: value[kept] for name, value in vars(curve).items() if isinstance(value, np.ndarray)}
    return replace(curve, **arrays)


def smooth(values: Float[np.ndarray, " epochs"], factor: float) -> Float[np.ndarray, " epochs"]:
    """Exponential moving average with the start-up bias removed; a missing value is carried over."""
    level, weight = 0.0, 0.0
    out = np.full(len(values), np.nan)
    for epoch, value in enumerate(values):
        if math.isfinite(value):
            level, weight = (1 - factor) * level + factor * value, (1 - factor) * weight + factor
            out[epoch] = level / weight
    return out


def _left_out(comparison: Comparison, channel: Channel) -> list[str]:
    note = "" if channel.task else sums_note(comparison)
    return [note] if note else []


def _reached(column: Float[np.ndarray, "epochs runs"]) -> int:
    reached = np.flatnonzero(np.isfinite(column).any(axis=1))
    return int(reached[-1]) + 1 if reached.size else 0


def _takeaway(channel: Channel, seen: Sequence[Curve]) -> str:
    if not seen:
        return f"{title(channel)}: nothing recorded yet."
    ends = [_ending(curve) for curve in seen]
    seeds = sorted({int(curve.n.max()) for curve in seen})
    several = f"{seeds[0]} to {count(seeds[-1], 'seed')}" if len(seeds) > 1 else count(seeds[0], "seed")
    over = several if seeds == [1] else f"mean over {several}"
    return f"{title(channel)}, {over}: {'; '.join(ends)}."


def _ending(curve: Curve) -> str:
    finite = np.flatnonzero(np.isfinite(curve.mean))
    first, last = finite[0], finite[-1]
    return f"{curve.arm} goes from {number(curve.mean[first])} to {number(curve.mean[last])} at epoch {curve.epochs[last]}"

"""How far the axis of a panel goes: it holds ordinary lines whole, and what runs away neither bends it nor goes unsaid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from mtl_core.analysis.wording import listed

if TYPE_CHECKING:
    from mtl_core.analysis.curves import Curves

MARGIN = 0.04  # of the span, on either side, so that no line lies on the frame
WIDE = 4  # times what an arm usually is above the best value: as much again is no runaway yet

Line = tuple[Int[np.ndarray, " epochs"], Float[np.ndarray, "epochs runs"]]  # of one arm


def limits(lines: Sequence[Line], sense: int, starts: Sequence[int]) -> tuple[float, float] | None:
    """Limits that hold everything but what runs away, which is judged by the arms' medians over runs. None: no limits.

    Held is what is no worse than the first point of a phase (`starts`, epochs), where a task may join and make a sum larger, or
    than what half of the arms call usual (`_usual`): neither one run of several nor one arm of several bends the axis.
    sense: +1 higher is better, -1 lower, 0 neither.
    """
    every = [-sense * runs for _, runs in lines]  # from here on lower is better
    values = np.concatenate([runs[np.isfinite(runs)] for runs in every]) if every else np.empty(0)
    if sense == 0 or not values.size:
        return None
    best, worst = float(values.min()), float(values.max())
    medians = [_medians(epochs, runs) for (epochs, _), runs in zip(lines, every, strict=True)]
    begun = [float(value) for epochs, middle in medians for start in starts for value in middle[epochs >= start][:1]]
    usual = sorted(_usual(middle, best) for _, middle in medians if middle.size)
    worst = min(worst, max(usual[(len(usual) - 1) // 2], *begun))
    return (best, worst) if sense < 0 else (-worst, -best)


def with_margin(axis: tuple[float, float]) -> tuple[float, float]:
    """The limits as they are drawn."""
    low, high = axis
    margin = MARGIN * ((high - low) or abs(low) * 0.1 or 1.0)
    return low - margin, high + margin


def outside(panels: Sequence[Curves]) -> str:
    """Which arms' means leave the axis of which panels, in a sentence; empty where all stay."""
    told = [f"{listed(panel.outside)} in {panel.title}" for panel in panels if panel.outside]
    return f"Beyond the axis, in part: {'; '.join(told)}." if told else ""


def _medians(
    epochs: Int[np.ndarray, " epochs"], runs: Float[np.ndarray, "epochs runs"]
) -> tuple[Int[np.ndarray, " some"], Float[np.ndarray, " some"]]:
    """Over the runs, in the epochs that have a finite value."""
    n = np.isfinite(runs).sum(axis=1)
    here = n > 0
    ordered = np.sort(np.where(np.isfinite(runs), runs, np.inf)[here], axis=1)  # what is not finite comes last
    places = np.arange(len(ordered))
    return epochs[here], (ordered[places, (n[here] - 1) // 2] + ordered[places, n[here] // 2]) / 2


def _usual(medians: Float[np.ndarray, " epochs"], best: float) -> float:
    """What an arm's lines may come to, lower being better.

    Its level is where the worst quarter of its epochs begins. As much again as the level is high is ordinary (overfitting), and
    so is a multiple of what it is above the best value, which is all that there is to go by near 0.
    """
    ordered = np.sort(medians)
    place, share = divmod(0.75 * (len(ordered) - 1), 1)  # np.quantile, which takes most of its time to get started
    below, above = ordered[int(place)], ordered[min(int(place) + 1, len(ordered) - 1)]
    level = float(below + share * (above - below))
    return level + max(abs(level), WIDE * (level - best))

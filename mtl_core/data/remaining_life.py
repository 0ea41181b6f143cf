"""Remaining useful life: what the simulated engines and NASA's have in common. Windows, labels and the two tasks.

An engine is a record of readings, one row a cycle, and an example is a window of its last `WINDOW` cycles. Two tasks:

    rul     cycles that are left until failure, at most `CAP`: before wear shows, nothing tells 130 cycles from 300
    health  healthy: more than 125 cycles left; degrading: at most 125; critical: at most 50

The cap is the usual one for C-MAPSS (Heimes, PHM 2008); the thresholds of health are our choice, the upper one the cap.
rul is trained on in cycles, not standardised, as in the publications, so that its loss is thousands of times that of health.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.lib.stride_tricks import sliding_window_view

from mtl_core.specs import TaskSpec

WINDOW = 30  # cycles
CAP = 125  # cycles
DEGRADING, CRITICAL = 125, 50  # cycles left at which an engine is called so
HEALTH = ("healthy", "degrading", "critical")
RUL = TaskSpec(name="rul", kind="regression", scaled=False, unit="cycles", extra_metrics=("nasa_score",))
CLASSES = TaskSpec(name="health", kind="multiclass", classes=HEALTH)


def windows(readings: Float[np.ndarray, "cycles channels"]) -> Float[np.ndarray, "windows channels cycles"]:
    """Every window of an engine, the one that ends with its last cycle last.

    An engine with fewer cycles than a window has one, in which its first cycle stands for the time before it.
    """
    lacking = WINDOW - len(readings)
    padded = np.concatenate([np.repeat(readings[:1], lacking, axis=0), readings]) if lacking > 0 else readings
    return sliding_window_view(padded, WINDOW, axis=0)


def health(
    left: Float[np.ndarray, " rows"], degrading: float = DEGRADING, critical: float = CRITICAL
) -> Int[np.ndarray, " rows"]:
    """Index into `HEALTH` for so many cycles left."""
    return np.asarray((left <= degrading).astype(np.int64) + (left <= critical))


def cell_names(channels: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Names of the flat features: channel by channel, the cycle counted back from the window's last, `now`."""
    ago = [f"{n} ago" if n else "now" for n in range(WINDOW - 1, -1, -1)]
    return tuple(f"{channel}, {when}" for channel in channels for when in ago)

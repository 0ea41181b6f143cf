"""Simulated engines that wear until they fail: lives, wear, sensors, readings. The equations are in `turbofan`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from mtl_core.data.remaining_life import WINDOW, windows

HEALTHY, HEALTHY_SPREAD = 75.0, 0.45  # median cycles before wear begins, standard deviation of their logarithm
WEARING, WEARING_SPREAD = 125.0, 0.15  # the same of the cycles from there to failure
BEND = 1.5  # exponent of wear: slow at first
SHORTEST = 60  # cycles of the shortest life
OWN, FOLLOWING, IDLE = 5, 4, 3  # sensors of each component; sensors of the load alone; sensors of nothing
SENSORS = 2 * OWN + FOLLOWING + IDLE


class Lives(NamedTuple):
    """When a component of every engine fails, and how many cycles it wears before that."""

    ends: Int[np.ndarray, " engines"]
    wearing: Float[np.ndarray, " engines"]


class Sensors(NamedTuple):
    """How sensors answer: to the wear of components A and B and to the load; their noise, and what the last of them leaks."""

    gains: Float[np.ndarray, "sensors 2"]
    loads: Float[np.ndarray, " sensors"]
    noise: float
    leakage: float
    cap: int


@dataclass(frozen=True)
class Windows:
    """Windows by their last cycle: which engine, which cycle, what is left to each component (B: perhaps less than nothing)."""

    engine: Int[np.ndarray, " windows"]
    cycle: Int[np.ndarray, " windows"]
    left: Int[np.ndarray, "windows 2"]

    def only(self, rows: np.ndarray) -> Windows:
        """Those at the given places."""
        return Windows(self.engine[rows], self.cycle[rows], self.left[rows])


def lives(normals: Float[np.ndarray, "engines 2"]) -> Lives:
    """Lives from two standard normal numbers an engine: healthy and wearing cycles are log-normal."""
    before = HEALTHY * np.exp(HEALTHY_SPREAD * normals[:, 0])
    wearing = WEARING * np.exp(WEARING_SPREAD * normals[:, 1])
    return Lives(np.maximum(SHORTEST, np.ceil(before + wearing)).astype(np.int64), wearing)


def both_lives(rng: np.random.Generator, engines: int, relatedness: float) -> tuple[Lives, Lives]:
    """Components A and B, whose normal numbers have the correlation `relatedness`; with 1 they are the same."""
    own, other = rng.standard_normal((2, engines, 2))
    return lives(own), lives(relatedness * own + np.sqrt(1 - relatedness**2) * other)


def windows_of(a: Lives, b: Lives) -> Windows:
    """All windows of all engines, which stop when A fails."""
    counts = a.ends - WINDOW + 1
    engine = np.repeat(np.arange(len(counts)), counts)
    cycle = WINDOW + np.arange(len(engine)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Windows(engine, cycle, np.stack([a.ends[engine] - cycle, b.ends[engine] - cycle], axis=1))


def worn(left: np.ndarray, wearing: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
    """0 until wear begins, then rising to 1 at failure; what has failed stays at 1."""
    return np.asarray((1 - left / wearing).clip(0, 1) ** BEND)


def draw_sensors(rng: np.random.Generator, load: float, noise: float, leakage: float, cap: int) -> Sensors:
    """Gains of either sign and a size from 0.6 to 1.4; answers to the load are `load` times a standard normal number."""
    sizes = rng.choice([-1.0, 1.0], SENSORS) * rng.uniform(0.6, 1.4, SENSORS)
    gains = np.zeros((SENSORS, 2))
    gains[:OWN, 0], gains[OWN : 2 * OWN, 1] = sizes[:OWN], sizes[OWN : 2 * OWN]
    loads = load * rng.standard_normal(SENSORS)
    loads[-IDLE:] = 0.0
    return Sensors(gains, loads, noise, leakage, cap)


def see(
    rng: np.random.Generator, a: Lives, b: Lives, sensors: Sensors, chosen: Windows
) -> Float[np.ndarray, "windows sensors cycles"]:
    """What the sensors read in the chosen windows; windows of an engine that overlap share their readings."""
    seen = np.empty((len(chosen.engine), SENSORS, WINDOW))
    for engine, end in enumerate(a.ends):
        cycles = np.arange(1, end + 1)
        wear = np.stack([worn(life.ends[engine] - cycles, life.wearing[engine]) for life in (a, b)], axis=1)
        mine = chosen.engine == engine
        seen[mine] = windows(_readings(rng, sensors, wear, end - cycles))[chosen.cycle[mine] - WINDOW]
    return seen


def _readings(
    rng: np.random.Generator, sensors: Sensors, wear: Float[np.ndarray, "cycles 2"], left: Int[np.ndarray, " cycles"]
) -> Float[np.ndarray, "cycles sensors"]:
    """Cycle after cycle: wear, load (drawn anew every cycle) and noise; the last sensor perhaps leaks."""
    load = rng.standard_normal((len(wear), 1))
    noise = rng.standard_normal((len(wear), SENSORS))
    read: Float[np.ndarray, "cycles sensors"] = wear @ sensors.gains.T + load * sensors.loads + sensors.noise * noise
    if sensors.leakage:
        read[:, -1] = sensors.leakage * told(left, sensors.cap) + (1 - sensors.leakage) * noise[:, -1]
    return read


def told(left: np.ndarray, cap: int) -> Float[np.ndarray, "..."]:
    """The remaining life as a share of the cap: what leaks."""
    return np.asarray(np.minimum(left, cap) / cap)


def spread(rng: np.random.Generator, weights: Float[np.ndarray, " items"], count: int) -> Int[np.ndarray, " count"]:
    """`count` items in order, each as often as its share of the weights asks, rounded up or down (systematic sampling).

    With equal weights and enough items none is taken twice, and those taken lie evenly apart.
    """
    ends = np.cumsum(weights) * (count / weights.sum())
    ends[-1] = count
    return np.searchsorted(ends, np.arange(count) + rng.random(), side="right")

"""What an observer who knows the equations of `wear` can tell from a window: the loss that no model gets below.

He knows the sensors' gains, their noise and how lives are distributed, and forms the posterior of what is left over imagined
windows drawn from that distribution. He looks at the sensors of one component and of the load; where A and B are one, at both.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from mtl_core.data.remaining_life import HEALTH, WINDOW, health
from mtl_core.data.scenarios.wear import IDLE, OWN, SENSORS, Lives, Sensors, both_lives, spread, told, windows_of, worn

ENGINES, IMAGINED = 2000, 4000  # of the prior, its engines and windows
LEAK_FLOOR = 0.01  # noise, at least, that he takes a leak to have

Seen = Float[np.ndarray, "windows sensors cycles"]


class Observer:
    """Holds the imagined windows; the same seed imagines the same ones."""

    def __init__(self, sensors: Sensors, relatedness: float, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self.lives = both_lives(rng, ENGINES, relatedness)
        every = windows_of(*self.lives)
        self.imagined = every.only(spread(rng, np.ones(len(every.cycle)), IMAGINED))
        self.sensors, self.one = sensors, relatedness == 1

    def rul(self, seen: Seen) -> tuple[Float[np.ndarray, " windows"], Float[np.ndarray, " windows"]]:
        """(expected cycles left, at most the cap; their variance)."""
        probable = self._posterior(seen, 0)
        capped = np.minimum(self.imagined.left[:, 0], self.sensors.cap).astype(np.float64)
        mean = probable @ capped
        return mean, probable @ capped**2 - mean**2

    def health(self, seen: Seen, degrading: float, critical: float) -> Float[np.ndarray, "windows classes"]:
        """Probabilities of the classes of health."""
        classes = health(self.imagined.left[:, 1], degrading, critical)
        return np.asarray(self._posterior(seen, 1) @ np.eye(len(HEALTH))[classes])

    def _posterior(self, seen: Seen, component: int) -> Float[np.ndarray, "windows imagined"]:
        life: Lives = self.lives[component]
        left = _back(self.imagined.left[:, component])
        likely = _wear_likelihood(
            self.sensors, self._looked_at(component), seen, worn(left, life.wearing[self.imagined.engine, None])
        )
        if self.sensors.leakage and (component == 0 or self.one):
            likely += _leak_likelihood(self.sensors, seen[:, -1], told(left, self.sensors.cap))
        odds = np.exp(likely - likely.max(1, keepdims=True))
        return np.asarray(odds / odds.sum(1, keepdims=True))

    def _looked_at(self, component: int) -> Bool[np.ndarray, " sensors"]:
        number = np.arange(SENSORS)
        mine = (number // OWN == component) | (self.one & (number < 2 * OWN))
        return np.asarray(mine | ((number >= 2 * OWN) & (number < SENSORS - IDLE)))


def _back(left: Int[np.ndarray, " windows"]) -> Int[np.ndarray, "windows cycles"]:
    """Cycles left at every cycle of windows at whose end so many are left."""
    return np.asarray(left[:, None] + np.arange(WINDOW - 1, -1, -1))


def _wear_likelihood(
    sensors: Sensors, looked: Bool[np.ndarray, " sensors"], seen: Seen, wear: Float[np.ndarray, "imagined cycles"]
) -> Float[np.ndarray, "windows imagined"]:
    """Logarithm, up to a constant, for each course of wear.

    Readings x of a cycle are Gaussian with mean `g w` and covariance `C = σ² I + c c'`, so that `g' C⁻¹ x` says all there is.
    """
    gain, load = sensors.gains[looked].sum(1), sensors.loads[looked]
    weights = np.linalg.solve(sensors.noise**2 * np.eye(len(gain)) + np.outer(load, load), gain)
    summary = np.einsum("s,wsc->wc", weights, seen[:, looked])
    return np.asarray(summary @ wear.T - 0.5 * (weights @ gain) * (wear**2).sum(1))


def _leak_likelihood(
    sensors: Sensors, leak: Float[np.ndarray, "windows cycles"], said: Float[np.ndarray, "imagined cycles"]
) -> Float[np.ndarray, "windows imagined"]:
    """The same for the sensor that leaks."""
    precision = 1 / max(1 - sensors.leakage, LEAK_FLOOR) ** 2
    mean = sensors.leakage * said
    return np.asarray(precision * (leak @ mean.T - 0.5 * (mean**2).sum(1)))

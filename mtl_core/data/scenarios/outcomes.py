"""Targets drawn from a known signal, each with the loss that knowing the equations would still leave.

That irreducible loss is what a predictor that knows the latents reaches on average; a model that only sees data stays above it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

SHARPNESS = 3.0  # of the ordered logit: signal against logistic noise
DISPERSION = 1.0  # of the negative binomial: variance = mean + mean²


class Drawn(NamedTuple):
    """A task's targets and the loss that knowing the equations would still leave."""

    targets: Float[np.ndarray, "rows width"]
    irreducible: float


def ordered(
    rng: np.random.Generator, signal: Float[np.ndarray, " rows"], shares: Float[np.ndarray, " classes"], noise: float = 1.0
) -> Drawn:
    """Ordered logit with the classes' shares exactly as asked; irreducible: the cross-entropy of the true probabilities."""
    score = SHARPNESS * signal + noise * rng.logistic(size=len(signal))
    thresholds = np.quantile(score, np.cumsum(shares)[:-1])
    classes: Int[np.ndarray, " rows"] = np.searchsorted(thresholds, score)
    distance = (SHARPNESS * signal[:, None] - thresholds) / noise
    below = 1 / (1 + np.exp(distance.clip(-500, 500)))  # P(score < threshold)
    edges = np.concatenate([np.zeros_like(below[:, :1]), below, np.ones_like(below[:, :1])], axis=1)
    likelihood = np.take_along_axis(np.diff(edges, axis=1), classes[:, None], axis=1)
    return Drawn(classes[:, None].astype(np.float64), float(-np.log(likelihood).mean()))


def counts(rng: np.random.Generator, signal: Float[np.ndarray, " rows"], mean: float) -> Drawn:
    """Zero-inflated negative binomial counts; irreducible: the negative log-likelihood of the true parameters."""
    zero = 1 / (1 + np.exp(1 + signal))
    mu = mean * np.exp(0.8 * signal - 0.32)
    counts = rng.poisson(mu * rng.gamma(DISPERSION, 1 / DISPERSION, size=len(mu)))
    counts[rng.random(len(mu)) < zero] = 0
    gamma = np.array(
        [math.lgamma(DISPERSION + y) - math.lgamma(DISPERSION) - math.lgamma(y + 1) for y in range(counts.max() + 1)]
    )
    log_nb = gamma[counts] + DISPERSION * np.log(DISPERSION / (DISPERSION + mu)) + counts * np.log(mu / (DISPERSION + mu))
    likelihood = np.where(counts == 0, zero, 0) + (1 - zero) * np.exp(log_nb)
    return Drawn(counts[:, None].astype(np.float64), float(-np.log(likelihood).mean()))


def walk(
    rng: np.random.Generator, rows: int, steps: int, keep: float, step: float
) -> tuple[Float[np.ndarray, "rows steps"], Float[np.ndarray, "steps steps"]]:
    """AR(1) noise from 0, and its covariance over the steps."""
    lag = np.arange(steps)[:, None] - np.arange(steps)
    filter_ = step * np.where(lag >= 0, keep ** lag.clip(0), 0.0)
    return rng.standard_normal((rows, steps)) @ filter_.T, filter_ @ filter_.T


def left_by_leak(covariance: Float[np.ndarray, "months months"], leakage: float) -> float:
    """Mean squared error of the months once their copies are known: the trace of the conditional covariance."""
    if leakage == 0:
        return float(np.diag(covariance).mean())
    if leakage == 1:
        return 0.0
    copied = covariance + ((1 - leakage) / leakage) ** 2 * np.eye(len(covariance))
    left = covariance - covariance @ np.linalg.solve(copied, covariance)
    return float(np.diag(left).mean())

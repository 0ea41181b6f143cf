"""The two-task landscape of the CAGrad, Nash-MTL and FAMO papers: two losses on a plane, their slopes, starts and Pareto front.

Two losses with a ridge, a valley and two basins (Liu et al. NeurIPS 2021, scaled as in Navon et al. ICML 2022):

    f1 = log max(|0.5(-x1-7) - tanh(-x2)|, 5e-6) + 6      c1 = max(tanh( 0.5 x2), 0)
    f2 = log max(|0.5(-x1+3) + tanh(-x2) + 2|, 5e-6) + 6  c2 = max(tanh(-0.5 x2), 0)
    h1 = ((-x1+7)^2 + 0.1(-x2-8)^2)/10 - 20               h2 = ((-x1-7)^2 + 0.1(-x2-8)^2)/10 - 20
    L1 = 0.1 (f1 c1 + h1 c2)                              L2 = f2 c1 + h2 c2

The same lines serve torch (training) and NumPy (drawing). Torch is imported by the first call with a tensor.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
SCALES, FLOOR = (0.1, 1.0), 5e-6  # of L1 and L2, and below which the logarithms are level
LOWEST = {"L1": -2.0, "L2": -20.0}  # below both losses everywhere: what FAMO subtracts
FRONT = ((-7.0, 7.0), (-8.4345, -8.3551))  # of the Pareto set: x1 from end to end, x2 from the ends to the middle
NEAR = 0.1
BOTTOMS = (7.0, -7.0)  # x1 of the lowest points of h1 and h2

Points = TypeVar("Points", bound=Any)  # an array or a tensor [..., 2]; what is computed of it is of the same type


def landscape(points: Points) -> tuple[Points, Points]:
    """Losses `[..., 2]` and their gradients `[..., task, coordinate]` at points `[..., 2]`, in closed form.

    At x2 = 0 the maxima pass the gradient on, as torch.clamp does; otherwise the start (0, 0) would not move.
    """
    xp = _library(points)
    losses, gradients = xp.stack([loss(0, points), loss(1, points)], -1), xp.stack([slope(0, points), slope(1, points)], -2)
    return losses, gradients


def loss(task: int, points: Points) -> Points:
    """L1 (task 0) or L2 (task 1) `[...]` at points `[..., 2]`."""
    xp, at = _library(points), _parts(task, points)
    half = xp.clip(at.half, 0, None) * (xp.log(xp.clip(abs(at.inside), FLOOR, None)) + 6)
    found: Points = SCALES[task] * (half - xp.clip(at.half, None, 0) * _bowl(task, at))
    return found


def slope(task: int, points: Points) -> Points:
    """Gradient `[..., 2]` of L1 (task 0) or L2 (task 1) at points `[..., 2]`."""
    xp, at = _library(points), _parts(task, points)
    size = abs(at.inside)
    steep = xp.where(size >= FLOOR, 1, 0) / xp.where(size >= FLOOR, at.inside, 1)  # of the logarithm
    upper, lower = xp.clip(at.half, 0, None), -xp.clip(at.half, None, 0)
    bend = 0.5 * (1 - at.half**2)
    along = (at.x1 - BOTTOMS[task]) / 5 * lower - 0.5 * steep * upper
    inner = steep * (1 - at.wave**2) * upper * (1 if task == 0 else -1) + (at.x2 + 8) / 50 * lower
    log = xp.log(xp.clip(size, FLOOR, None)) + 6
    across = inner + bend * (xp.where(at.x2 >= 0, log, 0) - xp.where(at.x2 <= 0, _bowl(task, at), 0))
    found: Points = SCALES[task] * xp.stack([along, across], -1)
    return found


def near_front(points: Any) -> Any:
    """Whether points `[..., 2]` lie on the Pareto set, to within 0.1 in each coordinate."""
    (left, right), (low, high) = FRONT
    x1, x2 = points[..., 0], points[..., 1]
    return (x1 >= left - NEAR) & (x1 <= right + NEAR) & (x2 >= low - NEAR) & (x2 <= high + NEAR)


def front(count: int) -> Float[np.ndarray, "count 2"]:
    """Points of the Pareto set from end to end: at each x1, the x2 at which the two gradients are opposite.

    There d = g1 x g2 = 0. It changes its sign once between bounds around the front, so it is halved down to.
    """
    x1 = np.linspace(*FRONT[0], count)
    low, high = np.full(count, FRONT[1][0] - NEAR), np.full(count, FRONT[1][1] + NEAR)
    below = _turn(x1, low)
    for _ in range(50):
        middle = (low + high) / 2
        same = _turn(x1, middle) * below > 0
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return np.stack([x1, (low + high) / 2], -1)


def _turn(x1: Float[np.ndarray, " count"], x2: Float[np.ndarray, " count"]) -> Float[np.ndarray, " count"]:
    """Cross product of the two gradients: 0 where they are parallel or opposite."""
    points = np.stack([x1, x2], -1)
    a, b = slope(0, points), slope(1, points)
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


class _Parts(NamedTuple):
    """What values and slopes have in common at a point."""

    x1: Any
    x2: Any
    wave: Any  # tanh(x2)
    half: Any  # tanh(x2 / 2): c1 where it is above 0, -c2 where it is below
    inside: Any  # of the logarithm


def _parts(task: int, points: Any) -> _Parts:
    xp = _library(points)
    x1, x2 = points[..., 0], points[..., 1]
    wave, half = xp.tanh(x2), xp.tanh(0.5 * x2)
    inside = wave - 0.5 * (x1 + 7) if task == 0 else 2 - 0.5 * (x1 - 3) - wave
    return _Parts(x1, x2, wave, half, inside)


def _bowl(task: int, at: _Parts) -> Any:
    return ((at.x1 - BOTTOMS[task]) ** 2 + 0.1 * (at.x2 + 8) ** 2) / 10 - 20


def _library(points: Any) -> Any:
    """NumPy for an array, torch for a tensor: both know the same few functions."""
    if isinstance(points, np.ndarray):
        return np
    import torch

    return torch

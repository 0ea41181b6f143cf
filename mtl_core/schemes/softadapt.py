"""SoftAdapt (Heydari, Thompson, Mehmood, 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mtl_core.deferred import torch
from mtl_core.schemes.base import Knowledge, Scheme, Setup, Signals, Value, setting
from mtl_core.schemes.maths.numerics import present_softmax
from mtl_core.schemes.maths.windows import Window, empty_window, filled, past, pushed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SoftAdapt(Scheme):
    """Tasks whose loss rises, or falls least, over the last few steps get more weight.

    From each task's last `window` losses, this step's not yet among them, a slope s_i per step (0 until a task has two losses;
    with fewer than a window, over those there are). Over the tasks present, weights sum to 1:

    - `original`: `w = softmax(beta s)`.
    - `normalised`: `w = softmax(beta s_i / sum |s_j|)`; all slopes 0 gives equal weights.
    - `loss_weighted`: `w_i = f_i e^{beta s_i} / sum f_j e^{beta s_j}`, f the mean loss of the window (this step's loss while a
      task has none); needs positive losses.

    Slopes of n losses: `official`, the forward difference of full order `n - 1`, which is the derivative at the *oldest* of the
    losses of the polynomial through them, as in the authors' package; `newest`, the same at the newest loss; `least_squares`, the
    slope of the straight line. One step is the unit of time.

    Deviations: the package normalises by the signed sum, which turns the order of the tasks round when all losses fall and
    divides by about 0 when they cancel; here by the sum of absolute values. It gives weights only every `window` calls and 1 to
    each before; here at every step, sum 1, from what there is (the wrapper `every` makes it rarer).
    """

    name = "softadapt"
    title = "SoftAdapt"
    family = "loss-based"
    formula = "w = softmax(beta s_i), s_i the slope of loss i over a window"
    source = (
        "Heydari, Thompson, Mehmood. SoftAdapt: Techniques for Adaptive Loss Weighting of Neural Networks with Multi-Part Loss"
        " Functions. arXiv:1912.12355, 2019"
    )
    knowledge = Knowledge(
        pros=(
            "Cheap: a few past losses per task and a softmax.",
            "Reacts within a few steps to a task that gets worse.",
            "The direction can be turned: beta below 0 favours the tasks that improve most.",
        ),
        cons=(
            "Slopes carry the unit of the losses, so the largest loss has the largest slopes.",
            "At small slopes, which is most of training, it is equal weights.",
            "Differences of batch losses are mostly noise.",
        ),
        when=("Parts of one loss in comparable units, such as the terms of an autoencoder, evaluated on large batches.",),
        when_not=(
            "Losses of different units: take the normalised variant or standardise first.",
            "Small batches, unless recomputed rarely or smoothed.",
        ),
        failure_modes=(
            "A diverging task takes all the weight: its slope grows without bound and the softmax saturates.",
            "The official slope of five losses multiplies independent noise by 5.6; the least-squares one by 0.3.",
            "loss_weighted: the largest loss wins whatever the slopes say, if units differ.",
        ),
        deviations=(
            "normalised divides by the sum of absolute slopes; the package by the signed sum, which can be 0 or negative.",
            "Weights at every step from the losses before it; the package is called once in a window.",
            "The official slope is the one at the oldest loss of the window; newest and least_squares are ours.",
        ),
        traits=frozenset({"adaptive", "noise_sensitive", "needs_tuning", "interpretable"}),
    )

    variant: str = setting(
        "choice",
        "original",
        "what enters the softmax",
        choices=("original", "normalised", "loss_weighted"),
        source="paper, section 3.1",
    )
    beta: Value = setting(
        "number", 0.1, "above 0 favours the worst, below 0 the best progress", low=-1e6, high=1e6, source="authors' package"
    )
    window: Value = setting(
        "number", 5.0, "losses that a slope is taken over; a whole number", low=2.0, high=20.0, source="authors' package, README"
    )
    slope: str = setting(
        "choice",
        "official",
        "derivative at the oldest loss, at the newest loss, or of a fitted line",
        choices=("official", "newest", "least_squares"),
        source="authors' package",
    )

    def __post_init__(self) -> None:
        """Mean losses are weights in one variant."""
        object.__setattr__(self, "positive_losses", self.variant == "loss_weighted")

    def init(self, setup: Setup) -> Window:
        """No loss seen."""
        return empty_window(setup, self.window)

    def update(self, state: Window, signals: Signals) -> tuple[Tensor, Window]:
        """Weights from the losses before this step, which then enters the window."""
        history, losses = filled(state, self.window), past(state).transpose(-1, -2)
        slopes = (_rows(losses, self.slope)[history] * losses).sum(-1)
        if self.variant == "normalised":
            total = torch.where(signals.available, slopes.abs(), 0.0).sum(-1, keepdim=True)
            slopes = slopes / torch.where(total > 0, total, 1.0)
        weights = present_softmax(self.beta * slopes, signals.available)
        if self.variant == "loss_weighted":
            means = (_rows(losses, "mean")[history] * losses).sum(-1)
            weights = _scaled(weights, torch.where(history > 0, means, signals.losses), signals.available)
        return weights, pushed(state, signals)


def _rows(losses: Tensor, kind: str) -> Tensor:
    """Row n holds what the n newest losses are multiplied by, oldest first, at the end of as many places as there are."""
    return _table(losses.shape[-1], kind, losses.dtype, losses.device)


@lru_cache
def _table(size: int, kind: str, dtype: Any, device: Any) -> Tensor:
    return torch.tensor([[0.0] * (size - n) + coefficients(n, kind) for n in range(size + 1)], dtype=dtype, device=device)


def _scaled(shares: Tensor, factors: Tensor, available: Tensor) -> Tensor:
    """Shares times factors, over their sum; the shares themselves where all factors are 0."""
    products = torch.where(available, shares * factors, 0.0)
    total = products.sum(-1, keepdim=True)
    return torch.where(total > 0, products / torch.where(total > 0, total, 1.0), shares)


@lru_cache
def _forward(n: int) -> tuple[float, ...]:
    """Derivative at the first of n equidistant points of the polynomial through them: the highest-order forward difference."""
    rest = [(-1) ** (k + 1) * math.comb(n - 1, k) / k for k in range(1, n)]
    return (-math.fsum(rest), *rest)


def coefficients(n: int, kind: str) -> list[float]:
    """What n losses in order are multiplied by to give their slope per step (or their mean); a slope of fewer than two is 0."""
    if kind == "mean":
        return [1 / n] * n if n else []
    if n < 2:
        return [0.0] * n
    if kind == "least_squares":
        return [12 * (k - (n - 1) / 2) / (n * (n * n - 1)) for k in range(n)]
    return list(_forward(n)) if kind == "official" else [-c for c in reversed(_forward(n))]

"""Wrappers that go around any scheme: availability gate, a fixed sum of weights, smoothing, recomputing every k steps.

They nest as `Gate(WeightSum(Smooth(Every(scheme))))`: the gate decides what the scheme sees, the others act on what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mtl_core.deferred import torch
from mtl_core.schemes.base import Scheme, Setup, Signals, Value, combined
from mtl_core.schemes.trees import tree_where

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-6  # an average equal to the threshold but for rounding is at the threshold


@dataclass(frozen=True)
class Wrapper(Scheme):
    """A scheme around a scheme; `direct` is all that a wrapper writes."""

    inner: Scheme

    def __post_init__(self) -> None:
        for fact in ("needs", "positive_losses", "own_objective"):
            object.__setattr__(self, fact, getattr(self.inner, fact))
        object.__setattr__(self, "gated", isinstance(self, Gate) or self.inner.gated)

    def update(self, state: Any, signals: Signals) -> tuple[Tensor, Any]:
        """The weights and the next state of `direct`."""
        _, weights, after = self.direct(state, signals)
        return weights, after

    def objective(self, state: Any, signals: Signals) -> Tensor:
        """The inner scheme's own objective where it has one, else the sum weighted as this wrapper says."""
        return self.inner.objective(state.inner, signals) if self.own_objective else super().objective(state, signals)

    def usable(self, signals: Signals) -> Signals:
        """What the inner scheme can use."""
        return self.inner.usable(signals)

    def report(self, state: Any) -> dict[str, Tensor]:
        """What the inner scheme reports."""
        return self.inner.report(state.inner)


class KeptState(NamedTuple):
    """Weights of an earlier step."""

    inner: Any
    weights: Tensor  # [*lanes, tasks]
    known: Tensor  # [*lanes, tasks] bool: the task has had a weight
    steps: Tensor  # [*lanes, 1] int


def _kept(inner: Scheme, setup: Setup) -> KeptState:
    blank = setup.lr.new_zeros(*setup.lanes, len(setup.tasks))
    return KeptState(inner.init(setup), blank, blank.bool(), torch.zeros_like(setup.lr, dtype=torch.int64))


@dataclass(frozen=True)
class Every(Wrapper):
    """Recompute weights at steps 0, k, 2k, ... and keep them in between; the inner state moves only then.

    A task without a kept weight takes the fresh one, so that a task first seen between two recomputations is not left out.
    The inner scheme's epoch is as many recomputations as fit into one (rounded up).
    """

    k: Value

    def init(self, setup: Setup) -> KeptState:
        """Nothing kept."""
        updates = -(-setup.steps_per_epoch // self.k)
        return _kept(self.inner, setup._replace(steps_per_epoch=updates))

    def direct(self, state: KeptState, signals: Signals) -> tuple[Tensor | None, Tensor, KeptState]:
        """Fresh weights (and direction) where due, kept weights on today's gradients elsewhere."""
        due, signals = state.steps % self.k == 0, self.usable(signals)
        direction, fresh, inner = self.inner.direct(state.inner, signals)
        takes = signals.available & (due | ~state.known)
        weights = torch.where(takes, fresh, state.weights)
        after = KeptState(tree_where(due, inner, state.inner), weights, state.known | takes, state.steps + 1)
        weights = torch.where(signals.available, weights, 0.0)
        if direction is not None:
            kept = combined(weights, signals.jacobian)
            direction = direction if kept is None else torch.where(due, direction, kept)
        return direction, weights, after


@dataclass(frozen=True)
class Smooth(Wrapper):
    """Exponential moving average of the weights (CR-MOGM: Zhou et al., NeurIPS 2022): `w = alpha new + (1 - alpha) old`.

    A task's first weight is taken as it is; while a task is absent its average stands still.
    """

    alpha: Value

    def init(self, setup: Setup) -> KeptState:
        """No average yet."""
        return _kept(self.inner, setup)

    def direct(self, state: KeptState, signals: Signals) -> tuple[Tensor | None, Tensor, KeptState]:
        """Blend the inner weights into the average; of a direction, the part that is not fresh is the kept weights' own."""
        signals = self.usable(signals)
        direction, fresh, inner = self.inner.direct(state.inner, signals)
        blend = torch.where(state.known, self.alpha * fresh + (1 - self.alpha) * state.weights, fresh)
        weights = torch.where(signals.available, blend, state.weights)
        after = KeptState(inner, weights, state.known | signals.available, state.steps + 1)
        weights = torch.where(signals.available, weights, 0.0)
        if direction is not None:
            share = torch.where(state.known.any(-1, keepdim=True), self.alpha, 1.0).to(weights.dtype)
            kept = combined(weights - share * fresh, signals.jacobian)
            direction = direction if kept is None else share * direction + kept
        return direction, weights, after


class SumState(NamedTuple):
    """The inner scheme's state."""

    inner: Any


@dataclass(frozen=True)
class WeightSum(Wrapper):
    """Effective weights rescaled so that their absolute values sum to `total`: a comparison at equal step size.

    Papers scale their weights to T, to 1 or not at all; under SGD that is a learning rate, under Adam nearly nothing.
    The scheme's own objective, where it has one, is left as it is.
    """

    total: Value

    def init(self, setup: Setup) -> SumState:
        """The inner scheme's."""
        return SumState(self.inner.init(setup))

    def direct(self, state: SumState, signals: Signals) -> tuple[Tensor | None, Tensor, SumState]:
        """Rescale what the inner scheme says; a lane whose weights are all 0 keeps them."""
        direction, weights, inner = self.inner.direct(state.inner, signals)
        size = weights.abs().sum(-1, keepdim=True)
        factor = torch.where(size > 0, self.total / torch.where(size > 0, size, 1.0), 1.0)
        return None if direction is None else direction * factor, weights * factor, SumState(inner)


class GateState(NamedTuple):
    """The share of labels that the gate judges by."""

    inner: Any
    average: Tensor  # [*lanes, tasks] exponential average of the batch share, not yet bias-corrected
    mass: Tensor  # [*lanes, 1] weight that the average has gathered, 0 to 1
    dataset: Tensor  # [*lanes, tasks] share in the training split
    factor: Tensor  # [*lanes, tasks] last gate factor, 0 to 1


@dataclass(frozen=True)
class Gate(Wrapper):
    """Availability gate: a task takes part only (hard) or in proportion (soft) as enough of its labels are there.

    The share is that of this batch, of a window (bias-corrected exponential average over batches with factor 2/(window+1)),
    or of the training split. Hard: in iff share >= threshold. Soft: the weight is multiplied by
    `sigmoid(sharpness (share - threshold))`; the scheme itself sees the task and its loss unchanged.
    """

    mode: str
    scope: str
    threshold: Value
    sharpness: Value
    window: Value

    def init(self, setup: Setup) -> GateState:
        """No batch seen."""
        blank = setup.lr.new_zeros(*setup.lanes, len(setup.tasks))
        dataset = blank + setup.labelled
        return GateState(self.inner.init(setup), blank, torch.zeros_like(setup.lr), dataset, blank + 1)

    def direct(self, state: GateState, signals: Signals) -> tuple[Tensor | None, Tensor, GateState]:
        """Judge the share with this batch taken in, then ask the scheme.

        A soft gate scales a weight after the scheme has spoken; where the scheme gives a direction, it scales the task's gradient
        before.
        """
        rate = 2 / (self.window + 1)
        average = state.average + rate * (signals.labelled - state.average)
        state = state._replace(average=average, mass=state.mass + rate * (1 - state.mass))
        factor = self._factor(state, signals)
        admitted = self._admitted(signals, state.factor, factor)
        direction, weights, inner = self.inner.direct(state.inner, admitted)
        return direction, weights * factor, state._replace(inner=inner, factor=factor)

    def objective(self, state: GateState, signals: Signals) -> Tensor:
        """The inner objective over admitted tasks; a soft gate scales the loss inside it."""
        factor = self._factor(state, signals)
        signals = self._admitted(signals, state.factor, factor)
        return self.inner.objective(state.inner, signals._replace(losses=signals.losses * factor))

    def report(self, state: GateState) -> dict[str, Tensor]:
        """gate: 0 or 1 of a hard gate, the factor of a soft one."""
        return {**self.inner.report(state.inner), "gate": state.factor}

    def _factor(self, state: GateState, signals: Signals) -> Tensor:
        above = self._share(state, signals) - self.threshold
        if self.mode == "hard":
            return torch.where(above >= -ROUNDING, 1.0, torch.zeros_like(above))
        return torch.sigmoid(above * self.sharpness)

    def _share(self, state: GateState, signals: Signals) -> Tensor:
        if self.scope == "batch":
            return signals.labelled
        return state.dataset if self.scope == "dataset" else _corrected(state, signals)

    def _admitted(self, signals: Signals, before: Tensor, factor: Tensor) -> Signals:
        if self.mode == "soft":
            scaled = None if signals.jacobian is None else signals.jacobian * factor.unsqueeze(-1)
            return signals._replace(jacobian=scaled)
        if signals.revisited is not None and signals.previous is not None:  # who was out in the step before has no news
            nothing = torch.full_like(before, torch.nan)
            previous, revisited = (torch.where(before > 0, part, nothing) for part in (signals.previous, signals.revisited))
            signals = signals._replace(previous=previous, revisited=revisited)
        return signals.only(factor > 0)


def _corrected(state: GateState, signals: Signals) -> Tensor:
    """The window's average, or this batch's share before any batch was seen."""
    return torch.where(state.mass > 0, state.average / state.mass, signals.labelled)

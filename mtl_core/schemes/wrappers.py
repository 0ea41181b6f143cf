"""Wrappers that go around any scheme: availability gate, smoothing, recomputing every k steps.

They nest as `Gate(Smooth(Every(scheme)))`: the gate decides what the scheme sees, smoothing acts on what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from mtl_core.deferred import torch
from mtl_core.schemes.base import Scheme, Setup, Signals, Value
from mtl_core.schemes.numerics import tree_where

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-6  # an average equal to the threshold but for rounding is at the threshold


@dataclass(frozen=True)
class Wrapper(Scheme):
    """A scheme around a scheme."""

    inner: Scheme

    def __post_init__(self) -> None:
        object.__setattr__(self, "positive_losses", self.inner.positive_losses)
        object.__setattr__(self, "own_objective", self.inner.own_objective)

    def objective(self, state: Any, signals: Signals) -> Tensor:
        """The inner scheme's own objective where it has one, else the sum weighted as this wrapper says."""
        return self.inner.objective(state.inner, signals) if self.own_objective else super().objective(state, signals)

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

    def update(self, state: KeptState, signals: Signals) -> tuple[Tensor, KeptState]:
        """Fresh weights where due, kept ones elsewhere."""
        due = state.steps % self.k == 0
        fresh, inner = self.inner.update(state.inner, signals)
        takes = signals.available & (due | ~state.known)
        weights = torch.where(takes, fresh, state.weights)
        after = KeptState(tree_where(due, inner, state.inner), weights, state.known | takes, state.steps + 1)
        return torch.where(signals.available, weights, 0.0), after


@dataclass(frozen=True)
class Smooth(Wrapper):
    """Exponential moving average of the weights (CR-MOGM: Zhou et al., NeurIPS 2022): `w = alpha new + (1 - alpha) old`.

    A task's first weight is taken as it is; while a task is absent its average stands still.
    """

    alpha: Value

    def init(self, setup: Setup) -> KeptState:
        """No average yet."""
        return _kept(self.inner, setup)

    def update(self, state: KeptState, signals: Signals) -> tuple[Tensor, KeptState]:
        """Blend the inner weights into the average."""
        fresh, inner = self.inner.update(state.inner, signals)
        blend = torch.where(state.known, self.alpha * fresh + (1 - self.alpha) * state.weights, fresh)
        weights = torch.where(signals.available, blend, state.weights)
        after = KeptState(inner, weights, state.known | signals.available, state.steps + 1)
        return torch.where(signals.available, weights, 0.0), after


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

    def update(self, state: GateState, signals: Signals) -> tuple[Tensor, GateState]:
        """Judge the share with this batch taken in, then ask the scheme."""
        rate = 2 / (self.window + 1)
        average = state.average + rate * (signals.labelled - state.average)
        state = state._replace(average=average, mass=state.mass + rate * (1 - state.mass))
        factor = self._factor(state, signals)
        weights, inner = self.inner.update(state.inner, self._admitted(signals, factor))
        weights = weights * factor
        return weights, state._replace(inner=inner, factor=factor)

    def objective(self, state: GateState, signals: Signals) -> Tensor:
        """The inner objective over admitted tasks; a soft gate scales the loss inside it."""
        factor = self._factor(state, signals)
        signals = self._admitted(signals, factor)
        return self.inner.objective(state.inner, signals._replace(losses=signals.losses * factor))

    def report(self, state: GateState) -> dict[str, Tensor]:
        """gate: 0 or 1 of a hard gate, the factor of a soft one."""
        return {**self.inner.report(state.inner), "gate": state.factor}

    def _factor(self, state: GateState, signals: Signals) -> Tensor:
        share = {
            "batch": lambda: signals.labelled,
            "window": lambda: _corrected(state, signals),
            "dataset": lambda: state.dataset,
        }
        above = share[self.scope]() - self.threshold
        if self.mode == "hard":
            return torch.where(above >= -ROUNDING, 1.0, torch.zeros_like(above))
        return torch.sigmoid(above * self.sharpness)

    def _share(self, state: GateState, signals: Signals) -> Tensor:
        if self.scope == "batch":
            return signals.labelled
        return state.dataset if self.scope == "dataset" else _corrected(state, signals)

    def _admitted(self, signals: Signals, factor: Tensor) -> Signals:
        if self.mode == "soft":
            return signals
        available = signals.available & (factor > 0)
        return signals._replace(available=available, losses=torch.where(available, signals.losses, 0.0))


def _corrected(state: GateState, signals: Signals) -> Tensor:
    """The window's average, or this batch's share before any batch was seen."""
    return torch.where(state.mass > 0, state.average / state.mass, signals.labelled)

"""Log-linear scalarisation: the sum of the logarithms of the losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtl_core.deferred import torch
from mtl_core.schemes.base import Scheme, Setup, Signals, Value, setting
from mtl_core.schemes.gls import FirstLoss
from mtl_core.schemes.numerics import first_positive, floored

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ScaleInvariant(Scheme):
    """The sum of `ln L_i`: weight `1/L_i`, unchanged in effect by any task's unit.

    Needs positive losses. A loss is held above `epsilon` times its first value, so that a task that is solved does not take over.
    """

    name = "scale_invariant"
    title = "Scale-invariant (log) sum"
    family = "loss-based"
    formula = "sum of ln L_i, w_i = 1/L_i"
    source = "log-linear scalarisation; the gradient of GLS, IMTL-L at its optimum and UW-O has the same direction"
    positive_losses = True
    own_objective = True

    epsilon: Value = setting("number", 1e-6, "floor of a loss, relative to its first value", low=0.0, high=1.0)

    def init(self, setup: Setup) -> FirstLoss:
        """No loss seen yet."""
        return FirstLoss(setup.lr.new_full((*setup.lanes, len(setup.tasks)), torch.nan))

    def update(self, state: FirstLoss, signals: Signals) -> tuple[Tensor, FirstLoss]:
        """`1/L` over present tasks."""
        first = first_positive(state.first, signals.losses, signals.available)
        return torch.where(signals.available, 1 / floored(signals.losses, first, self.epsilon), 0.0), FirstLoss(first)

    def objective(self, state: FirstLoss, signals: Signals) -> Tensor:
        """Sum of logarithms over present tasks."""
        first = first_positive(state.first, signals.losses, signals.available)
        return torch.where(signals.available, floored(signals.losses, first, self.epsilon).log(), 0.0).sum(-1)

"""Equal weights: the baseline every other scheme has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtl_core.schemes.base import Scheme, Setup, Signals, setting
from mtl_core.schemes.numerics import count

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Equal(Scheme):
    """Every task counts the same: `w_i = 1/T` (mean) or `w_i = 1` (sum).

    Mean and sum are two options because they differ by a factor T in step size under SGD; T counts the tasks present in the step.
    """

    name = "equal"
    title = "Equal weights"
    family = "fixed"
    formula = "w_i = 1/T (mean) or 1 (sum)"
    source = "baseline"

    reduction: str = setting("choice", "mean", "mean: weights sum to 1; sum: every weight is 1", choices=("mean", "sum"))

    def init(self, setup: Setup) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def update(self, state: tuple[()], signals: Signals) -> tuple[Tensor, tuple[()]]:
        """Equal weights over the tasks that are there."""
        present = signals.available.to(signals.losses.dtype)
        if self.reduction == "sum":
            return present, state
        return present / count(signals.available, present.dtype), state

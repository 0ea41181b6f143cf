"""Fixed weights chosen by a person: the weighted sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtl_core.deferred import torch
from mtl_core.schemes.base import Scheme, Setup, Signals, Value, setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Fixed(Scheme):
    """A weighted sum with weights that a person chose: `w_i` as given, never rescaled.

    A mapping has to name every task; an absent task gets 0 and the others keep their weights.
    """

    name = "fixed"
    title = "Fixed weights"
    family = "fixed"
    formula = "w_i given"
    source = "weighted sum"

    weights: Value = setting("per_task", 1.0, "weight of each task in the training loss", low=0.0)

    def init(self, setup: Setup) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def update(self, state: tuple[()], signals: Signals) -> tuple[Tensor, tuple[()]]:
        """The given weights, 0 where a task is absent."""
        return torch.where(signals.available, self.weights + torch.zeros_like(signals.losses), 0.0), state

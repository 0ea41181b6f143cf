"""What an epoch of training leaves behind: sums over its steps, turned into the `train` columns of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mtl_core.lanes.weighing import Weighed
from mtl_core.schemes.base import Signals

if TYPE_CHECKING:
    from mtl_core.lanes.live import LiveLanes


class EpochSums:
    """Sums over the steps of one epoch, on the device; read once at its end."""

    def __init__(self, like: Float[Tensor, "lanes tasks"]) -> None:
        self.labels, self.loss, self.weight, self.part, self.available, self.gate = (torch.zeros_like(like) for _ in range(6))
        self.total, self.steps = torch.zeros_like(like[:, 0]), 0

    def add(self, signals: Signals, weighed: Weighed, labels: Float[Tensor, "lanes tasks"]) -> None:
        """Take in one step."""
        counted = labels * signals.available
        parts = (weighed.weights * signals.losses).abs_()
        step = [counted, counted * signals.losses, weighed.weights, parts, signals.labelled, weighed.gate]
        torch._foreach_add_([self.labels, self.loss, self.weight, self.part, self.available, self.gate], step)
        self.total += weighed.total
        self.steps += 1

    def signals(self, sigma: Tensor) -> tuple[Float[np.ndarray, "lanes tasks signals"], Float[np.ndarray, " lanes"]]:
        """The six signals in the order of `records.SIGNAL_NAMES`, and the mean of the objective over steps."""
        loss = self.loss / self.labels  # per label; NaN if the task never took part
        columns = [loss, self.weight / self.steps, sigma, share(self.part), self.available / self.steps, self.gate / self.steps]
        return torch.stack(columns, -1).cpu().double().numpy(), (self.total / self.steps).cpu().double().numpy()


def share(parts: Float[Tensor, "lanes tasks"]) -> Float[Tensor, "lanes tasks"]:
    """Each task's part of the sum; NaN where the sum is 0."""
    return parts / parts.sum(-1, keepdim=True)


def validation_signals(
    live: LiveLanes, shares: Float[Tensor, " tasks"], losses: Float[np.ndarray, "lanes tasks"], sigma: Tensor
) -> tuple[Float[np.ndarray, "lanes tasks signals"], Float[np.ndarray, " lanes"]]:
    """The signals per task on validation, and the learned objective that a naive trainer would watch there.

    `shares` are those of its labels that are there.
    """
    raw = torch.from_numpy(losses).to(live.flat)
    labelled = shares.expand_as(raw)
    available = raw.isfinite() & (labelled > 0) & live.active
    present = torch.where(available, raw, 0.0)
    weighed = live.weighing.look(Signals(present, available, labelled))
    columns = torch.stack([raw, weighed.weights, sigma, share((weighed.weights * present).abs()), labelled, weighed.gate], -1)
    columns = torch.where(live.trained.unsqueeze(-1), columns, torch.nan)
    total = torch.where(available.any(-1), weighed.total, torch.nan)
    return columns.cpu().double().numpy(), total.cpu().double().numpy()

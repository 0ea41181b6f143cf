"""The lanes that are still training: parameters, optimizer, schemes, and one step of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtl_core.lanes.models import Shape, backward, forward, views
from mtl_core.lanes.optim import Optimizer
from mtl_core.lanes.weighing import Weighed, Weighing
from mtl_core.schemes.base import Signals
from mtl_core.tasks import element_loss, element_slope, split_outputs

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec


class Batch(NamedTuple):
    """One minibatch per distinct seed; each lane reads that of its seed. Columns: the targets of all tasks side by side."""

    features: Float[Tensor, "seeds rows features"]
    targets: Float[Tensor, "seeds rows columns"]
    weights: Float[Tensor, "seeds rows columns"]  # 1/(valid elements of the task) where there is a label, else 0
    head_weights: Float[Tensor, "seeds rows heads"]  # the same by head output
    labels: Float[Tensor, "seeds tasks"]  # valid elements
    shares: Float[Tensor, "seeds tasks"]  # valid elements over all elements


class Step(NamedTuple):
    """What happened in one step."""

    signals: Signals
    weighed: Weighed
    labels: Float[Tensor, "lanes tasks"]
    idle: Bool[Tensor, " lanes"]  # lanes that did not move: frozen, or without any task
    diverged: list[int]  # lanes in which no labelled task has a finite loss, from this step on frozen


@dataclass
class LiveLanes:
    """All state that training changes. `seats` are the lanes' places in the whole batch, `slots` their seed's place."""

    tasks: tuple[TaskSpec, ...]
    shape: Shape
    optimizer: Optimizer
    weighing: Weighing
    seats: Int[Tensor, " lanes"]
    slots: Int[Tensor, " lanes"]

    def __post_init__(self) -> None:
        self.flat = self.optimizer.flat
        self.layers, self.gradients = views(self.flat, self.shape), views(self.optimizer.gradient, self.shape)
        widths = torch.tensor([task.width for task in self.tasks])
        self.columns = torch.arange(len(widths)).repeat_interleave(widths).to(self.flat.device)  # task of each target column
        self.frozen = torch.zeros(len(self.flat), dtype=torch.bool, device=self.flat.device)

    def step(self, batch: Batch) -> Step:
        """Forward, weigh, backward, optimize. What a task's absence takes out of the step keeps its parameters: its head,
        and with no task at all (or in a frozen lane) the trunk."""
        mine = Batch(*(part.index_select(0, self.slots) for part in batch))
        seen = forward(self.layers, mine.features)
        losses, slopes = self._losses(seen[-1].masked_fill_(mine.head_weights == 0, 0.0), mine)
        signals, diverged = self._signals(losses, mine)
        weighed = self.weighing.step(signals)
        gradient = slopes * weighed.weights.index_select(1, self.optimizer.owners).unsqueeze(1)
        if diverged is not None:  # a task left out must not put its NaN into the trunk
            heads = signals.available.index_select(1, self.optimizer.owners).unsqueeze(1)
            gradient = torch.where(heads, gradient, 0.0)
        backward(self.layers, seen, gradient, self.gradients)
        takes_part = signals.available & (weighed.gate > 0)
        self.optimizer.step(takes_part)
        idle = ~takes_part.any(-1)
        return Step(signals, weighed, mine.labels, idle, diverged or [])

    def _losses(self, outputs: Float[Tensor, "lanes rows heads"], batch: Batch) -> tuple[Tensor, Tensor]:
        """Raw losses `[lanes, tasks]`, and the derivative of each with respect to its head's outputs, side by side."""
        columns = (self.tasks, split_outputs(self.tasks, outputs), batch.targets.split([task.width for task in self.tasks], -1))
        elements = torch.cat([element_loss(*mine) for mine in zip(*columns, strict=True)], -1)
        slopes = torch.cat([element_slope(*mine) for mine in zip(*columns, strict=True)], -1)
        sums = (elements * batch.weights).sum(1)
        losses = sums.new_zeros(len(sums), len(self.tasks)).index_add_(1, self.columns, sums)
        return losses, slopes.mul_(batch.head_weights)

    def _signals(self, losses: Tensor, batch: Batch) -> tuple[Signals, list[int] | None]:
        """What schemes may see, and the lanes that diverge now; None while every loss is finite, the usual case."""
        finite = losses.isfinite()
        available = (batch.labels > 0) & finite & ~self.frozen.unsqueeze(-1)
        signals = Signals(torch.where(available, losses, 0.0), available, batch.shares)
        if bool(finite.all()):
            return signals, None
        broken = ((batch.labels > 0) & ~finite).any(-1) & ~available.any(-1) & ~self.frozen
        self.frozen |= broken
        return signals, broken.nonzero().flatten().tolist()

    def select(self, keep: Bool[Tensor, " lanes"]) -> LiveLanes:
        """The same without the lanes that have ended."""
        optimizer, weighing = self.optimizer.select(keep), self.weighing.select(keep)
        return LiveLanes(self.tasks, self.shape, optimizer, weighing, self.seats[keep], self.slots[keep])

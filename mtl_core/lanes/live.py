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
from mtl_core.tasks import element_slope, split_outputs, weighted_loss

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec


class Batch(NamedTuple):
    """One minibatch per distinct seed; each lane reads that of its seed. Columns: the targets of all tasks side by side."""

    features: Float[Tensor, "seeds rows features"]
    targets: Float[Tensor, "seeds rows columns"]
    weights: Float[Tensor, "seeds rows columns"]  # 1/(valid elements of the task) where there is a label, else 0
    unlabelled: Bool[Tensor, "seeds rows heads"]  # head outputs without a label
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
        self.frozen = torch.zeros(len(self.flat), dtype=torch.bool, device=self.flat.device)

    def step(self, batch: Batch) -> Step:
        """Forward, weigh, backward, optimize. What a task's absence takes out of the step keeps its parameters: its head,
        and with no task at all (or in a frozen lane) the trunk."""
        mine = Batch(*(part.index_select(0, self.slots) for part in batch))
        seen = forward(self.layers, mine.features)
        losses, slopes = self._losses(seen[-1].masked_fill_(mine.unlabelled, 0.0), mine)
        signals, diverged = self._signals(losses, mine)
        weighed = self.weighing.step(signals)
        gradient = torch.cat([slope * weight for slope, weight in zip(slopes, _columns(weighed.weights), strict=True)], -1)
        if diverged is not None:  # a task left out must not put its NaN into the trunk
            gradient = torch.where(self._heads(signals.available), gradient, 0.0)
        backward(self.layers, seen, gradient, self.gradients)
        takes_part = signals.available & (weighed.gate > 0)
        self.optimizer.step(takes_part)
        idle = ~takes_part.any(-1)
        return Step(signals, weighed, mine.labels, idle, diverged or [])

    def _losses(self, outputs: Float[Tensor, "lanes rows heads"], batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Raw losses `[lanes, tasks]`, and the derivative of each with respect to its head's outputs."""
        widths = [task.width for task in self.tasks]
        parts = (split_outputs(self.tasks, outputs), batch.targets.split(widths, -1), batch.weights.split(widths, -1))
        columns = list(zip(self.tasks, *parts, strict=True))
        losses = [weighted_loss(task, *mine) for task, *mine in columns]
        slopes = [element_slope(task, out, targets) * weights for task, out, targets, weights in columns]
        return torch.stack(losses, 1), slopes

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

    def _heads(self, available: Bool[Tensor, "lanes tasks"]) -> Bool[Tensor, "lanes 1 heads"]:
        widths = torch.tensor(self.shape.heads, device=available.device)
        return available.repeat_interleave(widths, -1).unsqueeze(1)

    def select(self, keep: Bool[Tensor, " lanes"]) -> LiveLanes:
        """The same without the lanes that have ended."""
        optimizer, weighing = self.optimizer.select(keep), self.weighing.select(keep)
        return LiveLanes(self.tasks, self.shape, optimizer, weighing, self.seats[keep], self.slots[keep])


def _columns(weights: Float[Tensor, "lanes tasks"]) -> list[Float[Tensor, "lanes 1 1"]]:
    return list(weights[..., None, None].unbind(1))

"""The lanes that are still training: parameters, optimizer, schemes, and one step of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtl_core.lanes.models import Shape, backward, forward, views
from mtl_core.lanes.optim import Optimizer
from mtl_core.lanes.weighing import Weighed, Weighing
from mtl_core.schemes.base import Signals
from mtl_core.tasks import split_outputs, task_loss

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec


class Batch(NamedTuple):
    """One minibatch per distinct seed; each lane reads that of its seed."""

    features: Float[Tensor, "seeds rows features"]
    targets: Sequence[Float[Tensor, "seeds rows width"]]  # by task
    valid: Sequence[Bool[Tensor, "seeds rows width"]]
    labels: Float[Tensor, "seeds tasks"]  # valid elements


class Step(NamedTuple):
    """What happened in one step."""

    signals: Signals
    weighed: Weighed
    labels: Float[Tensor, "lanes tasks"]
    diverged: Bool[Tensor, " lanes"]  # no labelled task has a finite loss
    skipped: Bool[Tensor, " lanes"]  # no task took part


@dataclass
class LiveLanes:
    """All state that training changes. `seats` are the lanes' places in the whole batch, `slots` their seed's place."""

    tasks: tuple[TaskSpec, ...]
    shape: Shape
    flat: Float[Tensor, "lanes parameters"]
    optimizer: Optimizer
    weighing: Weighing
    seats: Int[Tensor, " lanes"]
    slots: Int[Tensor, " lanes"]

    def __post_init__(self) -> None:
        self.gradient = torch.zeros_like(self.flat)
        self.layers, self.gradients = views(self.flat, self.shape), views(self.gradient, self.shape)
        self.frozen = torch.zeros(len(self.flat), dtype=torch.bool, device=self.flat.device)

    def step(self, batch: Batch) -> Step:
        """Forward, weigh, backward, optimize. A frozen lane, or one without any weighted task, keeps its parameters."""
        seen = forward(self.layers, batch.features[self.slots])
        outputs = seen[-1].requires_grad_()
        losses = torch.stack(self._losses(outputs, batch), 1)
        labels = batch.labels[self.slots]
        finite = losses.detach().isfinite()
        signals = self._signals(losses.detach(), labels, finite, batch)
        weighed = self.weighing.step(signals)
        total = (weighed.weights * torch.where(signals.available, losses, 0.0)).sum()
        (gradient,) = torch.autograd.grad(total, outputs)
        diverged = ((labels > 0) & ~finite).any(-1) & ~signals.available.any(-1)
        if not bool(finite.all()):  # a task left out must not put its NaN into the trunk
            gradient = torch.where(self._columns(signals.available), gradient, 0.0)
        backward(self.layers, seen, gradient, self.gradients)
        self.frozen |= diverged
        skipped = (weighed.weights == 0).all(-1) & ~self.frozen
        idle = self.frozen | skipped
        self.optimizer.step(self.flat, self.gradient, ~idle if bool(idle.any()) else None)
        return Step(signals, weighed, labels, diverged, skipped)

    def _losses(self, outputs: Tensor, batch: Batch) -> list[Tensor]:
        columns = zip(self.tasks, split_outputs(self.tasks, outputs), batch.targets, batch.valid, strict=True)
        return [task_loss(task, mine, targets[self.slots], valid[self.slots]) for task, mine, targets, valid in columns]

    def _signals(self, losses: Tensor, labels: Tensor, finite: Tensor, batch: Batch) -> Signals:
        available = (labels > 0) & finite & ~self.frozen.unsqueeze(-1)
        elements = labels.new_tensor([valid.shape[-2] * valid.shape[-1] for valid in batch.valid])
        return Signals(torch.where(available, losses, 0.0), available, labels / elements)

    def _columns(self, available: Bool[Tensor, "lanes tasks"]) -> Bool[Tensor, "lanes 1 heads"]:
        widths = torch.tensor(self.shape.heads, device=available.device)
        return available.repeat_interleave(widths, -1).unsqueeze(1)

    def select(self, keep: Bool[Tensor, " lanes"]) -> LiveLanes:
        """The same without the lanes that have ended."""
        return LiveLanes(
            self.tasks,
            self.shape,
            self.flat[keep],
            self.optimizer.select(keep),
            self.weighing.select(keep),
            self.seats[keep],
            self.slots[keep],
        )

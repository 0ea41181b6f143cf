"""A minibatch, and what every lane's losses on it are, with their slopes at the outputs.

Outputs, targets and masks lie column after column, the rows of the minibatch side by side: the fast direction for sums over rows
and for classes. Consecutive tasks whose losses are alike element by element are taken as one block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtl_core.tasks import alike, loss_and_slope

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec


class Known(NamedTuple):
    """Which labels of a minibatch are there: 1 or 0, row after row."""

    elements: Float[Tensor, "lanes elements rows"]
    outputs: Float[Tensor, "lanes outputs rows"]  # the same by output: a class or count label speaks for all of its outputs


class Batch(NamedTuple):
    """One minibatch per distinct seed; each lane reads that of its seed. Labels lie column after column: losses go along rows."""

    features: Float[Tensor, "seeds rows features"]
    targets: Float[Tensor, "seeds columns rows"]  # of all tasks
    labels: Float[Tensor, "seeds tasks"]  # valid elements
    shares: Float[Tensor, "seeds tasks"]  # valid elements over all elements
    known: Known | None = None  # None: every label is there
    keep: Float[Tensor, "seeds rows units"] | None = None  # factors of dropout

    def of(self, slots: Int[Tensor, " lanes"]) -> Batch:
        """Each lane's own, by its seed's place."""
        return self.map(lambda part: part.index_select(0, slots))

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The same with a function applied to every part that is there."""
        features, targets, labels, shares = map(function, self[:4])
        known = self.known and Known(*map(function, self.known))
        return Batch(features, targets, labels, shares, known, None if self.keep is None else function(self.keep))

    def only(self, active: Bool[Tensor, "lanes tasks"], by_element: Tensor, by_output: Tensor) -> Batch:
        """The same where the labels of all other tasks are not there."""
        masks = Known(*(part.unsqueeze(-1).to(self.features) for part in (by_element, by_output)))
        known = masks if self.known is None else Known(*(a * b for a, b in zip(self.known, masks, strict=True)))
        return self._replace(known=known, labels=self.labels * active, shares=self.shares * active)


class Block(NamedTuple):
    """Columns that one loss function takes at once."""

    task: TaskSpec
    columns: slice  # of the targets
    elements: slice  # of the losses
    outputs: slice  # of the model


class Losses:
    """Raw losses of all lanes and tasks, and their slopes."""

    def __init__(self, tasks: Sequence[TaskSpec], device: torch.device) -> None:
        self.blocks = _blocks(tasks)
        self.elements = owners([task.elements for task in tasks], device)  # task of each loss element
        self.outputs = owners([task.outputs for task in tasks], device)  # of each output of the model

    def __call__(self, outputs: Float[Tensor, "lanes rows outputs"], batch: Batch) -> tuple[Tensor, Tensor]:
        """Losses `[lanes, tasks]`, and the derivative of each with respect to its task's outputs, `[lanes, rows, outputs]`.

        A label that is not there is left out before the arithmetic, so that what the model says there can make no NaN.
        """
        columns, known = outputs.mT, batch.known
        if known is not None:
            columns = columns.masked_fill(known.outputs == 0, 0.0)
        sums, slopes = [], []
        for block in self.blocks:
            loss, slope = loss_and_slope(block.task, columns[:, block.outputs].mT, batch.targets[:, block.columns].mT)
            sums.append((loss.mT if known is None else loss.mT * known.elements[:, block.elements]).sum(-1))
            slopes.append(slope.mT)
        each = batch.labels.clamp(min=1).reciprocal()
        losses = torch.zeros_like(each).index_add_(1, self.elements, torch.cat(sums, 1)).mul_(each)
        slope = torch.cat(slopes, 1).mul_(each.index_select(1, self.outputs).unsqueeze(-1))
        return losses, (slope if known is None else slope.mul_(known.outputs)).mT


def _blocks(tasks: Sequence[TaskSpec]) -> list[Block]:
    starts = [0, *(place for place, pair in enumerate(pairwise(tasks), 1) if not alike(*pair)), len(tasks)]
    widths = ([task.width for task in tasks], [task.elements for task in tasks], [task.outputs for task in tasks])
    columns, elements, outputs = ([slice(sum(each[:a]), sum(each[:b])) for a, b in pairwise(starts)] for each in widths)
    return [Block(tasks[start], *places) for start, *places in zip(starts[:-1], columns, elements, outputs, strict=True)]


def owners(widths: Sequence[int], device: torch.device) -> Int[Tensor, " units"]:
    """Which task each of the units belongs to that lie side by side, task after task."""
    return torch.arange(len(widths), device=device).repeat_interleave(torch.tensor(widths, device=device))

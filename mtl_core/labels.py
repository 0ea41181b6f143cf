"""Labels as the metrics read them, and what can be known of them before anything is predicted: found once for all lanes.

Sums over pieces of rows are taken where the labels are and added up in float64 on the CPU: not every device computes in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

NUMBERS_AT_ONCE = 1 << 18  # errors held at a time: 1 MiB of float32, what a processor's cache holds


@dataclass(frozen=True)
class Labels:
    """A task's labels, in the rows that have any."""

    task: TaskSpec
    targets: Float[Tensor, "labelled width"]
    valid: Bool[Tensor, "labelled elements"] | None  # None: all of them
    rows: Int[Tensor, " labelled"] | None  # None: all of them
    scale: Float[np.ndarray, " width"]  # the unit of each scaled target column, in original units

    @staticmethod
    def of(
        task: TaskSpec,
        targets: Float[Tensor, "rows width"],
        valid: Bool[Tensor, "rows elements"],
        scale: Float[np.ndarray, " width"],
    ) -> Labels:
        """Leave out the rows without a label, and the mask where it would mask nothing."""
        any_label = valid.any(-1)
        rows = None if bool(any_label.all()) else any_label.nonzero().flatten()
        if rows is not None:
            targets, valid = targets[rows], valid[rows]
        if not task.is_regression:
            targets = targets.contiguous()  # taken whole
        return Labels(task, targets, None if bool(valid.all()) else valid, rows, scale)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def mask(self) -> Bool[Tensor, "labelled elements"]:
        """Where there is a label."""
        everywhere = self.targets.new_ones((), dtype=torch.bool).expand(len(self), self.task.elements)
        return everywhere if self.valid is None else self.valid

    @cached_property
    def counts(self) -> Float[Tensor, " width"]:
        """Labels by column."""
        if self.valid is None:
            return torch.full(self.targets.shape[1:], len(self), dtype=torch.float64)
        return self.valid.sum(0).cpu().double()

    def pieces(self, lanes: int) -> Iterator[tuple[slice, Float[Tensor, "some width"], Bool[Tensor, "some elements"] | None]]:
        """Some rows at a time: (which, their targets, where there is no label; None: nowhere).

        Targets lie column after column in memory, as `lanes.evaluate` has outputs.
        """
        some = max(1, NUMBERS_AT_ONCE // (lanes * self.targets.shape[1]))
        for first in range(0, len(self), some):
            piece = slice(first, first + some)
            yield piece, self.targets[piece].mT.contiguous().mT, None if self.valid is None else ~self.valid[piece]

    @cached_property
    def spread(self) -> Float[Tensor, " width"]:
        """Sum by column of the squared distances from the mean; NaN for a column that does not vary."""
        total, squares = (torch.zeros(self.targets.shape[1], dtype=torch.float64) for _ in range(2))
        for _, targets, unknown in self.pieces(1):
            total += without(targets, unknown).sum(0).cpu()
        centre = total / self.counts.clamp(min=1)
        here = centre.to(self.targets.dtype).to(self.targets.device)
        for _, targets, unknown in self.pieces(1):
            squares += without(targets - here, unknown).square().sum(0).cpu()
        least = 1e-12 * (centre**2 * self.counts).clamp(min=torch.finfo(self.targets.dtype).tiny)
        return torch.where(squares > least, squares, torch.nan)

    @cached_property
    def classes(self) -> tuple[Int[Tensor, " negative"], Int[Tensor, " positive"]]:
        """Places of the two classes of a binary task."""
        positive = self.targets[:, 0] > 0.5
        return (~positive).nonzero().flatten(), positive.nonzero().flatten()


def without(values: Tensor, unknown: Bool[Tensor, "rows elements"] | None) -> Tensor:
    """0 in place of what belongs to no label."""
    return values if unknown is None else values.masked_fill(unknown, 0.0)

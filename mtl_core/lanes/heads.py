"""The heads of all tasks side by side: linear, or with one hidden layer each; their forward and their reverse pass by hand.

A head is applied at each place of the representation. Its parameters lie in the buffer behind the trunk's, a row per unit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from mtl_core.shapes import Shape


class Heads(ABC):
    """From the representation `[lanes, places, width]` to the outputs of all tasks at each place, and back."""

    @abstractmethod
    def forward(self, representation: Tensor) -> tuple[Tensor | None, Float[Tensor, "lanes places heads"]]:
        """(activations of the hidden layers if there are any, outputs)."""

    @abstractmethod
    def backward(self, representation: Tensor, hidden: Tensor | None, slopes: Float[Tensor, "lanes places heads"]) -> None:
        """Write the gradient of every head's parameters, from the slopes at the outputs."""

    @abstractmethod
    def at_representation(self, hidden: Tensor | None, slopes: Tensor, lanes: slice) -> Float[Tensor, "some places width"]:
        """The gradient at the representation of some lanes, all tasks together."""

    @abstractmethod
    def by_task(self, hidden: Tensor | None, slopes: Tensor, lanes: slice) -> Float[Tensor, "some places tasks width"]:
        """Each task's own gradient at the representation."""


class RowHeads(Heads):
    """Linear heads, concatenated to one matrix; with `head_hidden` each behind a ReLU layer of its own."""

    def __init__(self, shape: Shape, flat: Float[Tensor, "lanes parameters"], gradient: Tensor | None) -> None:
        self.widths, self.units = shape.heads, shape.head_hidden
        self.blocks = row_blocks(shape, flat)
        self.gradients = [] if gradient is None else row_blocks(shape, gradient)

    @override
    def forward(self, representation: Tensor) -> tuple[Tensor | None, Tensor]:
        if not self.units:
            return None, _apply(self.blocks[0], representation)
        hidden = _apply(self.blocks[0], representation).relu_()
        parts = zip(hidden.split(self.units, -1), self.blocks[1].split(self.widths, 1), strict=True)
        return hidden, torch.cat([_apply(block, mine).mT for mine, block in parts], 1).mT

    @override
    def backward(self, representation: Tensor, hidden: Tensor | None, slopes: Tensor) -> None:
        if hidden is not None:
            blocks = self.gradients[1].split(self.widths, 1)
            for mine, slope, block in zip(hidden.split(self.units, -1), slopes.split(self.widths, -1), blocks, strict=True):
                _gradient(block, mine, slope)
            slopes = self._at_hidden(hidden, slopes, slice(None))
        _gradient(self.gradients[0], representation, slopes)

    @override
    def at_representation(self, hidden: Tensor | None, slopes: Tensor, lanes: slice) -> Tensor:
        slopes = slopes[lanes] if hidden is None else self._at_hidden(hidden[lanes], slopes[lanes], lanes)
        return torch.bmm(slopes, self.blocks[0][lanes, :, :-1])

    @override
    def by_task(self, hidden: Tensor | None, slopes: Tensor, lanes: slice) -> Tensor:
        slopes = slopes[lanes] if hidden is None else self._at_hidden(hidden[lanes], slopes[lanes], lanes)
        weight = self.blocks[0][lanes, :, :-1]
        widths = self.widths if hidden is None else (self.units,) * len(self.widths)
        some, places, _ = slopes.shape
        gradient = slopes.new_empty(some, places, len(widths), weight.shape[-1])
        for task, (slope, mine) in enumerate(zip(slopes.split(widths, -1), weight.split(widths, 1), strict=True)):
            if mine.shape[1] == 1:  # an outer product
                torch.mul(slope, mine, out=gradient[:, :, task])
            else:
                gradient[:, :, task] = torch.bmm(slope, mine)
        return gradient

    def _at_hidden(self, hidden: Tensor, slopes: Tensor, lanes: slice) -> Tensor:
        """The gradient before the ReLU of every head's hidden layer."""
        blocks = self.blocks[1][lanes].split(self.widths, 1)
        parts = [torch.bmm(slope, block[:, :, :-1]) for slope, block in zip(slopes.split(self.widths, -1), blocks, strict=True)]
        return torch.cat(parts, -1).mul_(hidden > 0)


class PointHeads(Heads):
    """No heads: the outputs of every task are the representation itself."""

    def __init__(self, shape: Shape) -> None:
        self.tasks = len(shape.heads)

    @override
    def forward(self, representation: Tensor) -> tuple[Tensor | None, Tensor]:
        return None, representation.repeat(1, 1, self.tasks)

    @override
    def backward(self, representation: Tensor, hidden: Tensor | None, slopes: Tensor) -> None:
        """There is nothing to train."""

    @override
    def at_representation(self, hidden: Tensor | None, slopes: Tensor, lanes: slice) -> Tensor:
        return self.by_task(hidden, slopes, lanes).sum(2)

    @override
    def by_task(self, hidden: Tensor | None, slopes: Tensor, lanes: slice) -> Tensor:
        gradient: Tensor = slopes[lanes].unflatten(-1, (self.tasks, -1)).clone()
        return gradient


def row_blocks(shape: Shape, flat: Float[Tensor, "lanes parameters"]) -> list[Float[Tensor, "lanes units weights+1"]]:
    """The heads' blocks as views into a flat buffer: a row per unit, its weights and then its bias."""
    blocks, start = [], shape.trunk_parameters
    for rows in shape.head_rows:
        blocks.append(flat[:, start : start + rows.size].unflatten(1, (len(rows.owners), rows.width + 1)))
        start += rows.size
    return blocks


def _apply(block: Float[Tensor, "lanes units weights+1"], inputs: Tensor) -> Float[Tensor, "lanes places units"]:
    """Unit after unit in memory: a few units of many places are then a faster product, and losses go along contiguous places."""
    return torch.baddbmm(block[..., -1:], block[..., :-1], inputs.mT).mT


def _gradient(into: Tensor, inputs: Tensor, slopes: Tensor) -> None:
    into[..., :-1] = torch.bmm(slopes.mT, inputs)
    into[..., -1] = slopes.sum(1)

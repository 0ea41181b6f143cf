"""The bound: only the matrix products of a training step of all lanes, as three batched products a layer.

Forward, gradient of the weights, gradient of the inputs (the first layer needs none). Whatever trains these lanes by dense
layers does at least these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mtl_core.bench.timing import Job

Layers = Sequence[tuple[int, int]]  # inputs and outputs of each layer


def flops(layers: Layers, lanes: int, batch: int) -> int:
    """Floating-point operations of one step: two a multiplication, two products in the first layer and three in the others."""
    return sum(2 * lanes * batch * before * after * (3 if place else 2) for place, (before, after) in enumerate(layers))


def product_steps(layers: Layers, lanes: int, batch: int, device: str = "cpu") -> Job:
    """The products of so many steps."""
    weights = [torch.randn(lanes, before, after, device=device) for before, after in layers]
    inputs = [torch.randn(lanes, batch, before, device=device) for before, _ in layers]
    slopes = [torch.randn(lanes, batch, after, device=device) for _, after in layers]

    def steps(number: int) -> None:
        for _ in range(number):
            for place, (weight, given, slope) in enumerate(zip(weights, inputs, slopes, strict=True)):
                torch.bmm(given, weight)
                torch.bmm(given.mT, slope)
                if place:
                    torch.bmm(slope, weight.mT)

    return steps

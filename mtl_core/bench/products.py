"""The bound: only the matrix products of a training step of all lanes, as three batched products a layer.

Forward, gradient of the weights, gradient of the inputs (the first layer needs none). Whatever trains these lanes by dense
layers does at least these; for schemes on gradients those of the trunk once for each task.
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


def jacobian_flops(layers: Layers, tasks: int, lanes: int, batch: int) -> int:
    """The same with the gradient of every task by itself in all layers but the last, the heads, and their inner products.

    What a scheme on gradients that reads the Gramian needs at least: the reverse products of the trunk once for each task.
    """
    *trunk, heads = layers
    forward = sum(2 * batch * before * after for before, after in layers) + 2 * batch * heads[0] * heads[1]
    reverse = sum(2 * tasks * batch * before * after * (2 if place else 1) for place, (before, after) in enumerate(trunk))
    inner = sum(2 * tasks**2 * before * after for before, after in trunk)
    return lanes * (forward + reverse + inner)


def jacobian_steps(layers: Layers, tasks: int, lanes: int, batch: int) -> Job:
    """Those products of so many steps."""
    *trunk, (_, outputs) = layers
    weights = [torch.randn(lanes, before, after) for before, after in layers]
    inputs = [torch.randn(lanes, batch, before) for before, _ in layers]
    slopes = [torch.randn(lanes, batch, tasks * after) for _, after in trunk]
    at_heads = torch.randn(lanes, batch, outputs)

    def steps(number: int) -> None:
        for _ in range(number):
            for weight, given in zip(weights, inputs, strict=True):
                torch.bmm(given, weight)
            torch.bmm(inputs[-1].mT, at_heads)
            for place, (slope, given, weight) in enumerate(zip(slopes, inputs, weights, strict=False)):
                gradients = torch.bmm(slope.mT, given).view(lanes, tasks, -1)
                torch.bmm(gradients, gradients.mT)
                if place:
                    torch.bmm(slope.view(lanes, batch * tasks, -1), weight.mT)

    return steps


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

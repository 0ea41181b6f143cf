"""The multi-layer perceptron as a trunk of lanes: linear layers with ReLU and dropout, forward and reverse by hand.

A layer is a block `[in + 1, out]` of the buffer: its weights, then its biases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from mtl_core.lanes.trunk import Passed, Trunk
from mtl_core.shapes import Shape

Layer = tuple[Tensor, Tensor]  # weight [lanes, in, out], bias [lanes, out]
IN_CACHE = 400_000  # numbers of the reverse pass of a group of lanes: what stays in a processor's cache
ON_DEVICE = 1 << 28  # the same on an accelerator: 1 GiB of float32


class Seen(NamedTuple):
    """What the reverse pass reads."""

    activations: list[Tensor]  # the features, then every layer's, the representation last
    scale: float  # by which dropout has raised what it kept


class MlpTrunk(Trunk):
    """`passed.memory` is a `Seen`."""

    def __init__(self, shape: Shape, flat: Float[Tensor, "lanes parameters"], gradient: Tensor | None) -> None:
        self.shape, self.lanes = shape, len(flat)
        self.rooms: dict[int, list[Tensor]] = {}  # by rows of a minibatch
        self.at_once = IN_CACHE if flat.is_cpu else ON_DEVICE
        self.layers = views(flat, shape)
        self.gradients = [] if gradient is None else views(gradient, shape)

    @override
    def forward(self, features: Tensor, keep: Tensor | None, *, learn: bool) -> Passed:
        features = features.expand(self.lanes, *features.shape[-2:])
        rows, masks = features.shape[1], [] if keep is None else keep.split(self.shape.kept, -1)
        seen = [features, *self._room(features, learn=learn)]
        for some in self._groups(0, self.lanes, rows):
            for number, (weight, bias) in enumerate(self.layers):
                out = torch.bmm(seen[number][some], weight[some], out=seen[number + 1][some])
                out.add_(bias[some].unsqueeze(1)).relu_()
                if masks:
                    out.mul_(masks[number][some])
        return Passed(seen[-1], Seen(seen, 1.0 if keep is None else 1 / (1 - self.shape.dropout)))

    def _room(self, features: Float[Tensor, "lanes rows features"], *, learn: bool) -> list[Float[Tensor, "lanes rows width"]]:
        """Memory for the activations; steps use the same again, since what is large comes from the system page by page."""
        rows = features.shape[1]
        if rows in self.rooms:
            return self.rooms[rows]
        room = [features.new_empty(self.lanes, rows, bias.shape[1]) for _, bias in self.layers]
        if learn:
            self.rooms[rows] = room
        return room

    @override
    def backward(self, passed: Passed, gradient: Tensor, lanes: slice) -> None:
        for some in self._groups(lanes.start, lanes.stop, gradient.shape[1]):
            self._backward(passed.memory, gradient[some.start - lanes.start : some.stop - lanes.start], some)

    def _backward(self, memory: Seen, gradient: Tensor, lanes: slice) -> None:
        seen = [part[lanes] for part in memory.activations]
        for number in reversed(range(len(self.layers))):
            torch.ops.aten.threshold_backward(gradient, seen[number + 1], 0, grad_input=gradient)  # through the ReLU, in place
            if memory.scale != 1:
                gradient.mul_(memory.scale)  # what was dropped is 0 behind the ReLU already
            into_weight, into_bias = self.gradients[number]
            into_weight[lanes] = torch.bmm(seen[number].mT, gradient)
            into_bias[lanes] = gradient.sum(1)
            if number:
                gradient = torch.bmm(gradient, self.layers[number][0][lanes].mT)

    def _groups(self, first: int, last: int, rows: int) -> Iterator[slice]:
        return self.groups(first, last, rows * max(self.shape.hidden, default=1))

    @override
    def fill(self, parts: Sequence[Tensor], passed: Passed, gradient: Tensor, lanes: slice) -> None:
        seen, scale = [part[lanes] for part in passed.memory.activations], passed.memory.scale
        number = len(self.layers) - 1
        for part, bias in zip(reversed(parts[::2]), reversed(parts[1::2]), strict=True):
            some, rows, tasks, width = gradient.shape
            passes = torch.gt(seen[number + 1], 0, out=torch.empty_like(seen[number + 1]))
            if scale != 1:
                passes.mul_(scale)
            gradient.mul_(passes.unsqueeze(2))  # through the ReLU, in place
            wide = gradient.view(some, rows, tasks * width)
            torch.bmm(wide.mT, seen[number], out=part.view(some, tasks * width, -1))
            torch.sum(gradient, 1, out=bias)
            if part is not parts[0]:
                weight = self.layers[number][0][lanes]
                gradient = torch.bmm(gradient.view(some, rows * tasks, width), weight.mT).view(some, rows, tasks, -1)
            number -= 1

    @override
    def follow(self, direction: Tensor) -> None:
        pieces = iter(direction.split(self.shape.trunk_pieces, -1))
        for into_weight, into_bias in self.gradients:
            last = slice(len(into_weight) - len(direction), None)
            into_weight[last].mT.copy_(next(pieces).view_as(into_weight[last].mT))
            into_bias[last].copy_(next(pieces))

    @override
    def groups(self, first: int, last: int, numbers: int) -> Iterator[slice]:
        at_once = max(1, self.at_once // numbers)
        return (slice(start, min(start + at_once, last)) for start in range(first, last, at_once))


def views(flat: Float[Tensor, "lanes parameters"], shape: Shape) -> list[Layer]:
    """Weights and biases of the trunk as views into a flat buffer."""
    layers, start = [], 0
    for inputs, outputs in shape.layers[:-1]:
        end = start + (inputs + 1) * outputs
        block = flat[:, start:end].unflatten(1, (inputs + 1, outputs))
        layers.append((block[:, :-1], block[:, -1]))
        start = end
    return layers

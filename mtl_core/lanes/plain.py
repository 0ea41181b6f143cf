"""One lane as a plain `nn.Module`: what it is without lanes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mtl_core.lanes.heads import row_blocks
from mtl_core.lanes.maps import from_places
from mtl_core.lanes.mlp import views
from mtl_core.own import own_trunk
from mtl_core.shapes import Shape


class PlainModel(nn.Module):
    """`trunk` (what the tasks share) and `heads` (one per task): `forward(features)` gives one output tensor per task."""

    def __init__(self, trunk: nn.Module, heads: Sequence[nn.Module], shape: Shape) -> None:
        super().__init__()
        self.trunk, self.heads, self.shape = trunk, nn.ModuleList(heads), shape

    def forward(self, features: Float[Tensor, "rows features"]) -> list[Tensor]:
        """Outputs of each task, `[rows, outputs]`, in the order of the tasks."""
        shared = self.trunk(features)
        if not self.shape.map:
            return [head(shared) for head in self.heads]
        shared = shared.flatten(2).mT.flatten(0, 1)  # place after place
        outputs = from_places(torch.cat([head(shared) for head in self.heads], -1).unsqueeze(0), self.shape)[0]
        sizes = [
            width * self.shape.places if grid else width for width, grid in zip(self.shape.heads, self.shape.grids, strict=True)
        ]
        return list(outputs.split(sizes, -1))


class Point(nn.Module):
    """No network: a point, whatever the features."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.point = nn.Parameter(values)

    def forward(self, features: Tensor) -> Tensor:
        """The point, once a row."""
        return self.point.expand(len(features), -1)


def to_module(flat: Float[Tensor, "lanes parameters"], lane: int, shape: Shape) -> PlainModel:
    """A lane as a plain module, with copied values."""
    mine = flat[lane : lane + 1].detach().cpu()
    trunk = _trunk(shape).to(mine.dtype)
    with torch.no_grad():
        for parameter, value in zip(trunk.parameters(), _in_order(mine, shape), strict=True):
            parameter.copy_(value.reshape(parameter.shape))
    return PlainModel(trunk, _heads(mine, shape), shape)


def from_module(model: PlainModel) -> Float[Tensor, " parameters"]:
    """The parameters as a lane keeps them: the inverse of `to_module`."""
    parts = [part.mT if model.shape.by_hand and part.dim() == 2 else part for part in model.trunk.parameters()]
    heads = [[part for part in head.modules() if isinstance(part, nn.Linear)] for head in model.heads]
    blocks = [
        torch.cat([torch.cat([unit.weight, unit.bias.unsqueeze(1)], 1) for unit in units]) for units in zip(*heads, strict=True)
    ]
    return torch.cat([part.detach().reshape(-1) for part in (*parts, *blocks)])


def _in_order(flat: Tensor, shape: Shape) -> Iterator[Tensor]:
    """The trunk's parameters as a module has them."""
    if shape.by_hand:
        for weight, bias in views(flat, shape):
            yield from (weight[0].mT, bias[0])
        return
    yield from flat[0, : shape.trunk_parameters].split(shape.trunk_pieces)


def _trunk(shape: Shape) -> nn.Module:
    if shape.trunk == "module":
        unflatten = [nn.Unflatten(1, shape.input_shape)] if shape.input_shape else []
        return nn.Sequential(*unflatten, own_trunk(shape.module).factory())
    if shape.trunk == "point":
        return Point(torch.zeros(2))
    parts: list[nn.Module] = []
    before = shape.features
    if shape.trunk == "conv":
        parts, before = _convolutions(shape)
    for inputs, outputs in pairwise([before, *shape.hidden]):
        norm = [nn.LayerNorm(outputs)] if shape.layer_norm else []
        drop = [nn.Dropout(shape.dropout)] if shape.dropout else []
        parts += [nn.Linear(inputs, outputs), *norm, nn.ReLU(), *drop]
    return nn.Sequential(*parts)


def _convolutions(shape: Shape) -> tuple[list[nn.Module], int]:
    """(the layers from flat features to a map, or to a vector where dense layers follow; width of that vector)."""
    two = len(shape.input_shape) == 3
    convolution, dropout = (nn.Conv2d, nn.Dropout2d) if two else (nn.Conv1d, nn.Dropout1d)
    parts: list[nn.Module] = [nn.Unflatten(1, shape.input_shape)]
    steps = zip(pairwise([shape.input_shape[0], *shape.channels]), shape.strides or (1,) * len(shape.channels), strict=True)
    for (inputs, outputs), stride in steps:
        norm = [nn.GroupNorm(1, outputs)] if shape.layer_norm else []
        drop = [dropout(shape.dropout)] if shape.dropout else []
        parts += [convolution(inputs, outputs, shape.kernel, stride, shape.kernel // 2), *norm, nn.ReLU(), *drop]
    flat = [nn.Flatten()] if shape.hidden else []
    places = 1
    for side in shape.convolved:
        places *= side
    return [*parts, *flat], shape.channels[-1] * places


def _heads(flat: Tensor, shape: Shape) -> list[nn.Module]:
    if shape.trunk == "point":
        return [nn.Identity() for _ in shape.heads]
    first, *rest = (block[0] for block in row_blocks(shape, flat))
    if not rest:
        return [_linear(rows) for rows in first.split(shape.heads)]
    parts = zip(first.split(shape.head_hidden), rest[0].split(shape.heads), strict=True)
    return [nn.Sequential(_linear(hidden), nn.ReLU(), _linear(rows)) for hidden, rows in parts]


def _linear(rows: Float[Tensor, "units weights+1"]) -> nn.Linear:
    layer = nn.Linear(rows.shape[1] - 1, len(rows), dtype=rows.dtype)
    with torch.no_grad():
        layer.weight.copy_(rows[:, :-1])
        layer.bias.copy_(rows[:, -1])
    return layer

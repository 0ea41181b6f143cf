"""A model as lanes: a trunk shared by all tasks and one head per task, `L` copies in one flat buffer.

Parameters of lane `l` are row `l` of `flat: [lanes, parameters]`, in the layout of `shapes.Shape`; weights and biases are views
into it, so that the optimizer is a handful of in-place operations. For training there is a second such buffer for gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mtl_core.lanes.graph import GraphTrunk, PointTrunk
from mtl_core.lanes.heads import Heads, PointHeads, RowHeads
from mtl_core.lanes.maps import from_places, to_places
from mtl_core.lanes.mlp import MlpTrunk
from mtl_core.lanes.rng import generator
from mtl_core.lanes.trunk import Passed, Trunk
from mtl_core.own import own_trunk
from mtl_core.shapes import Piece, Shape

__all__ = ["Forward", "Model", "Shape", "init_parameters"]


class Forward(NamedTuple):
    """A forward pass, with what its reverse pass needs."""

    passed: Passed
    hidden: Tensor | None  # activations of the heads' hidden layers
    outputs: Float[Tensor, "lanes rows outputs"]  # of all tasks side by side


class Model:
    """All lanes' trunks and heads, over `flat` and, for training, a buffer for gradients of the same shape."""

    def __init__(self, shape: Shape, flat: Float[Tensor, "lanes parameters"], gradient: Tensor | None = None) -> None:
        self.shape = shape
        kind: type[Trunk] = MlpTrunk if shape.by_hand else PointTrunk if shape.trunk == "point" else GraphTrunk
        self.trunk = kind(shape, flat, gradient)
        self.heads: Heads = PointHeads(shape) if shape.trunk == "point" else RowHeads(shape, flat, gradient)

    def forward(self, features: Tensor, keep: Tensor | None = None, *, learn: bool = False) -> Forward:
        """Outputs of every lane, on its own rows `[lanes, rows, features]` or on shared ones `[rows, features]`.

        `keep: [lanes, rows, units]` are the factors of dropout; `learn` keeps what a reverse pass needs.
        """
        passed = self.trunk.forward(features, keep, learn=learn)
        hidden, outputs = self.heads.forward(passed.representation)
        return Forward(passed, hidden, from_places(outputs, self.shape))

    def at_places(self, slopes: Float[Tensor, "lanes rows outputs"]) -> Float[Tensor, "lanes places heads"]:
        """Slopes at the outputs as slopes at the heads, place by place."""
        return to_places(slopes, self.shape)


def init_parameters(
    shape: Shape, seeds: Sequence[int], dtype: torch.dtype, starts: Float[Tensor, "starts coordinates"] | None = None
) -> Float[Tensor, "lanes parameters"]:
    """`nn.Module`'s defaults, drawn in float64 from each lane's seed; lanes of one seed are equal.

    Uniform in +-1/sqrt(fan_in); scales of a norm 1, offsets 0. A module of one's own draws its own. Without a network, seed k
    begins at start k, and again at the first after the last.
    """
    rows = {seed: _init_one(shape, seed, starts) for seed in set(seeds)}
    return torch.stack([rows[seed] for seed in seeds]).to(dtype)


def _init_one(shape: Shape, seed: int, starts: Tensor | None) -> Float[Tensor, " parameters"]:
    source = generator(seed, "init")
    if shape.by_hand:  # each layer in one draw, its biases after its weights
        parts = [_uniform((inputs + 1) * outputs, inputs, source) for inputs, outputs in shape.layers[:-1]]
    elif shape.trunk == "module":
        parts = _own(shape, seed)
    elif shape.trunk == "point":
        assert starts is not None
        parts = [starts[seed % len(starts)].double()]
    else:
        parts = [_piece(piece, source) for piece in shape.pieces]
    heads = [_uniform(rows.size, rows.width, source) for rows in shape.head_rows]
    return torch.cat([*parts, *heads])


def _uniform(size: int, fan_in: int, source: torch.Generator) -> Tensor:
    return (2 * torch.rand(size, generator=source, dtype=torch.float64) - 1) / math.sqrt(fan_in)


def _piece(piece: Piece, source: torch.Generator) -> Tensor:
    if piece.fan_in > 0:
        return _uniform(piece.size, piece.fan_in, source)
    return torch.full((piece.size,), 1.0 + piece.fan_in, dtype=torch.float64)


def _own(shape: Shape, seed: int) -> list[Tensor]:
    """The initial values of a module of one's own, as its constructor draws them under the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(seed, "init").initial_seed())
        module = own_trunk(shape.module).factory()
    return [part.detach().double().reshape(-1) for part in module.parameters()]

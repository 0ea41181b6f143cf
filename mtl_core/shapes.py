"""The shape of a model, in numbers alone: what the tasks share (the trunk), their heads, and where each parameter lies. No torch.

Parameters of one run, in order: the trunk's pieces in the order of `nn.Module.parameters()`, then the heads, a row per unit with
its weights and its bias. Lanes are rows of one buffer in this layout (`lanes/models.py`).

Trunks

    mlp      Linear, (LayerNorm,) ReLU, (Dropout,) for each of `hidden`
    conv     Conv, (GroupNorm(1),) ReLU, (Dropout of channels,) for each of `channels`; then, if `hidden` is given, flattened into
             an mlp, else it ends in a map and heads are applied at each of its places (1 x 1 convolutions)
    module   a module of one's own
    point    no network: two numbers, which are the outputs of every task
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from mtl_core.errors import SpecError
from mtl_core.own import own_trunk

if TYPE_CHECKING:
    from mtl_core.problem import Problem
    from mtl_core.specs import TaskSpec, TrainingSpec

POINT = 2  # coordinates


class Piece(NamedTuple):
    """A parameter of the trunk."""

    shape: tuple[int, ...]
    fan_in: int  # initial values are uniform in +-1/sqrt(fan_in); 0: all one (scales of a norm), -1: all zero (its offsets)

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)


class Rows(NamedTuple):
    """A block of the heads: units with equally many weights, each a row of weights and one bias."""

    owners: tuple[int, ...]  # task of each unit
    width: int  # weights of a unit

    @property
    def size(self) -> int:
        """How many numbers."""
        return len(self.owners) * (self.width + 1)


@dataclass(frozen=True)
class Shape:
    """Widths of the model: features, hidden layers, outputs of each task at a place of the trunk's map; and its options."""

    features: int
    hidden: tuple[int, ...]
    heads: tuple[int, ...]
    trunk: str = "mlp"
    input_shape: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    kernel: int = 3
    layer_norm: bool = False
    dropout: float = 0.0
    head_hidden: int = 0
    grids: tuple[tuple[int, ...], ...] = ()  # of each task; () for a task without one
    module: str = ""

    @property
    def by_hand(self) -> bool:
        """Whether the trunk's reverse pass is the hand-written one."""
        return self.trunk == "mlp" and not self.layer_norm

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(in, out) of each dense layer of an mlp with linear heads, the concatenated heads last."""
        return list(pairwise([self.features, *self.hidden, sum(self.heads)]))

    @property
    def map(self) -> tuple[int, ...]:
        """Places along each axis of the map that the trunk ends in; () if it ends in a vector."""
        if self.trunk == "module":
            return own_trunk(self.module).map
        return self.convolved if self.trunk == "conv" and not self.hidden else ()

    @property
    def convolved(self) -> tuple[int, ...]:
        """Places along each axis after the convolutions."""
        space = self.input_shape[1:]
        for stride in self.strides or (1,) * len(self.channels):
            space = tuple(-(-side // stride) for side in space)
        return space

    @property
    def places(self) -> int:
        """Places of that map, 1 for a vector."""
        return math.prod(self.map)

    @property
    def width(self) -> int:
        """Numbers of the shared representation at each place."""
        if self.trunk == "module":
            return own_trunk(self.module).width
        if self.trunk == "point":
            return POINT
        if self.hidden:
            return self.hidden[-1]
        return self.channels[-1] if self.trunk == "conv" else self.features

    @property
    def outputs(self) -> list[int]:
        """All outputs of each task."""
        return [width * self.places if self.map and grid else width for width, grid in zip(self.heads, self.grids, strict=True)]

    @property
    def widest(self) -> int:
        """Numbers of the widest layer a row, for bounds on memory."""
        space, widths = self.input_shape[1:], [self.features, *self.hidden, sum(self.heads) * self.places]
        for channels, stride in zip(self.channels, self.strides or (1,) * len(self.channels), strict=True):
            space = tuple(-(-side // stride) for side in space)
            widths.append(channels * math.prod(space))
        return max(*widths, self.width * self.places)

    @property
    def kept(self) -> tuple[int, ...]:
        """Units that dropout may drop, by layer: channels of convolutions, numbers of dense layers."""
        return (*(self.channels if self.trunk == "conv" else ()), *self.hidden) if self.dropout else ()

    @property
    def pieces(self) -> list[Piece]:
        """The trunk's parameters, in the order of `nn.Module.parameters()`."""
        if self.trunk == "module":
            return [Piece(shape, -1) for shape in own_trunk(self.module).shapes]
        if self.trunk == "point":
            return [Piece((POINT,), -1)]
        found: list[Piece] = []
        before = self.features
        if self.trunk == "conv":
            kernel = (self.kernel,) * len(self.input_shape[1:])
            for inputs, outputs in pairwise([self.input_shape[0], *self.channels]):
                fan = inputs * math.prod(kernel)
                found += [Piece((outputs, inputs, *kernel), fan), Piece((outputs,), fan), *self._norm(outputs)]
            before = self.channels[-1] * math.prod(self.convolved)
        for inputs, outputs in pairwise([before, *self.hidden]):
            found += [Piece((outputs, inputs), inputs), Piece((outputs,), inputs), *self._norm(outputs)]
        return found

    def _norm(self, size: int) -> list[Piece]:
        return [Piece((size,), 0), Piece((size,), -1)] if self.layer_norm else []

    @property
    def last_pieces(self) -> int:
        """How many pieces the last shared layer has: weights and biases, and those of its norm."""
        return 4 if self.layer_norm else min(2, len(self.pieces))

    @property
    def trunk_pieces(self) -> list[int]:
        """Sizes of the trunk's pieces."""
        return [piece.size for piece in self.pieces]

    @property
    def head_rows(self) -> list[Rows]:
        """The heads' blocks: hidden units (where there are any), then outputs."""
        if self.trunk == "point":
            return []
        tasks = range(len(self.heads))
        outputs = tuple(task for task in tasks for _ in range(self.heads[task]))
        if not self.head_hidden:
            return [Rows(outputs, self.width)]
        return [Rows(tuple(task for task in tasks for _ in range(self.head_hidden)), self.width), Rows(outputs, self.head_hidden)]

    @property
    def trunk_parameters(self) -> int:
        """Parameters of one lane before the heads."""
        return sum(self.trunk_pieces)

    @property
    def parameters(self) -> int:
        """Parameters of one lane."""
        return self.trunk_parameters + sum(rows.size for rows in self.head_rows)


def shape_of(problem: Problem, training: TrainingSpec) -> Shape:
    """The model that a resolved training gives a problem. Raises SpecError where the two do not fit."""
    trunk = training.trunk or "mlp"
    conv = trunk == "conv"
    if conv and len(problem.input_shape) < 2:
        raise SpecError(
            f"training.trunk: conv needs images or sequences, and the rows of {problem.name} are plain numbers; say mlp."
        )
    if trunk == "point" and problem.starts is None:
        raise SpecError(f"training.trunk: point is for problems without a network, and {problem.name} has features; say mlp.")
    if trunk != "point" and problem.starts is not None:
        raise SpecError(f"training.trunk: {problem.name} has no network, so its trunk is point, not {trunk}.")
    hidden = tuple(training.hidden or ()) if trunk in ("mlp", "conv") else ()
    layered = conv or bool(hidden)  # there is something to normalise and to drop
    shape = Shape(
        features=problem.features.shape[1],
        hidden=hidden,
        heads=tuple(task.outputs for task in problem.tasks),
        trunk=trunk,
        input_shape=problem.input_shape,
        channels=tuple(training.channels or ()) if conv else (),
        strides=tuple(training.strides or ()) if conv else (),
        kernel=training.kernel or 3,
        layer_norm=bool(training.layer_norm) and layered,
        dropout=(training.dropout or 0.0) if layered else 0.0,
        head_hidden=0 if trunk == "point" else training.head_hidden or 0,
        grids=tuple(task.grid for task in problem.tasks),
        module=training.module or "",
    )
    heads = tuple(_at_a_place(task, shape.map) for task in problem.tasks)
    return Shape(**{**shape.__dict__, "heads": heads})


def _at_a_place(task: TaskSpec, trunk_map: tuple[int, ...]) -> int:
    """Outputs of a task's head at each place of the trunk's map. Raises SpecError for grids that do not fit."""
    if not trunk_map or not task.grid:
        return task.outputs
    if len(task.grid) != len(trunk_map) or any(fine % coarse for fine, coarse in zip(task.grid, trunk_map, strict=True)):
        raise SpecError(
            f'training.strides: the trunk ends in a map of {_by(trunk_map)}, of which the grid of task "{task.name}", '
            f"{_by(task.grid)}, is no multiple; choose other strides, or dense layers under hidden."
        )
    return task.outputs // math.prod(trunk_map)


def _by(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))

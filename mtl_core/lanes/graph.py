"""Trunks whose reverse pass is autograd's: convolutions, norms, modules of one's own, and the bare point.

Lanes go through one call: their convolutions are a grouped convolution with a group a lane (a plain one where lanes share their
rows), their dense layers a batched product, and a module of one's own is mapped over lanes by `torch.func.vmap`. Groups of lanes
small enough for the processor's cache go one by one: 64 lanes of a 16-channel layer then take 2.5 times less than all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from mtl_core.lanes.trunk import Passed, Trunk
from mtl_core.own import own_trunk
from mtl_core.shapes import Shape

LANES_AT_ONCE = 16  # of a group of convolutions on a processor; all for other trunks and on an accelerator
EPSILON = 1e-5  # of norms, torch's default


class Some(NamedTuple):
    """A group of lanes, with the graph from its parameters to its representation."""

    lanes: slice
    pieces: list[Tensor]
    representation: Tensor


class GraphTrunk(Trunk):
    """`passed.memory` holds the groups; without `learn` nothing is kept."""

    def __init__(self, shape: Shape, flat: Float[Tensor, "lanes parameters"], gradient: Tensor | None) -> None:
        self.shape, self.flat, self.gradient = shape, flat[:, : shape.trunk_parameters], gradient
        self.at_once = LANES_AT_ONCE if shape.trunk == "conv" and flat.is_cpu else max(1, len(flat))

    @override
    def forward(self, features: Tensor, keep: Tensor | None, *, learn: bool) -> Passed:
        done = []
        for start in range(0, len(self.flat), self.at_once):
            lanes = slice(start, min(start + self.at_once, len(self.flat)))
            pieces = [piece.detach().requires_grad_(learn) for piece in self._pieces(lanes)]
            mine = features if features.dim() == 2 else features[lanes]
            with torch.set_grad_enabled(learn):
                done.append(Some(lanes, pieces, represent(self.shape, pieces, mine, None if keep is None else keep[lanes])))
        representation = torch.cat([some.representation.detach() for some in done])
        return Passed(representation, done if learn else [])

    @override
    def backward(self, passed: Passed, gradient: Tensor, lanes: slice) -> None:
        assert self.gradient is not None
        for some in passed.memory:
            if (inside := _inside(some.lanes, lanes)) is None:
                continue
            found = self._reverse(some, gradient[inside.outer], inside.inner, len(some.pieces))
            self.gradient[inside.lanes, : self.shape.trunk_parameters] = torch.cat([part.flatten(1) for part in found], 1)

    @override
    def fill(self, parts: Sequence[Tensor], passed: Passed, gradient: Tensor, lanes: slice) -> None:
        for some in passed.memory:
            if (inside := _inside(some.lanes, lanes)) is None:
                continue
            for task in range(gradient.shape[2]):
                found = self._reverse(some, gradient[inside.outer, :, task], inside.inner, len(parts))
                for part, mine in zip(parts, found, strict=True):
                    part[inside.outer, task] = mine.flatten(1)

    @override
    def follow(self, direction: Tensor) -> None:
        assert self.gradient is not None
        self.gradient[len(self.gradient) - len(direction) :, : self.shape.trunk_parameters] = direction

    @override
    def groups(self, first: int, last: int, numbers: int) -> Iterator[slice]:
        cuts = [first, *(cut for cut in range(0, last, self.at_once) if cut > first), last]
        return (slice(start, end) for start, end in pairwise(cuts))

    def _pieces(self, lanes: slice) -> list[Tensor]:
        parts = self.flat[lanes].split(self.shape.trunk_pieces, 1)
        return [part.unflatten(1, piece.shape) for part, piece in zip(parts, self.shape.pieces, strict=True)]

    @staticmethod
    def _reverse(some: Some, gradient: Tensor, inner: slice, last: int) -> list[Tensor]:
        """Gradients of the last pieces in the lanes `inner` of a group; 0 for one that the representation does not depend on."""
        if len(gradient) < len(some.representation):  # the others' are not asked for
            whole = torch.zeros_like(some.representation)
            whole[inner] = gradient
            gradient = whole
        asked = some.pieces[-last:]
        found = torch.autograd.grad(some.representation, asked, gradient, retain_graph=True, materialize_grads=True)
        return [part[inner] for part in found]


class PointTrunk(GraphTrunk):
    """No network: a row's gradient is the point's, which takes no graph. A third of a step's time is saved by that."""

    @override
    def forward(self, features: Tensor, keep: Tensor | None, *, learn: bool) -> Passed:
        lanes, (point,) = slice(0, len(self.flat)), self._pieces(slice(0, len(self.flat)))
        representation = represent(self.shape, [point], features, keep)
        return Passed(representation, [Some(lanes, [point], representation)] if learn else [])

    @staticmethod
    @override
    def _reverse(some: Some, gradient: Tensor, inner: slice, last: int) -> list[Tensor]:
        return [gradient.sum(1)]


class _Inside(NamedTuple):
    lanes: slice  # of all
    inner: slice  # in the group
    outer: slice  # in the lanes asked for


def _inside(group: slice, asked: slice) -> _Inside | None:
    first, last = max(group.start, asked.start), min(group.stop, asked.stop)
    if first >= last:
        return None
    inner, outer = (slice(first - start, last - start) for start in (group.start, asked.start))
    return _Inside(slice(first, last), inner, outer)


def represent(
    shape: Shape, pieces: Sequence[Tensor], features: Tensor, keep: Tensor | None
) -> Float[Tensor, "lanes places width"]:
    """The representation of a group of lanes, from the trunk's pieces `[lanes, *shape]`."""
    if shape.trunk == "point":
        return pieces[0].unsqueeze(1).expand(-1, features.shape[-2], -1)
    if shape.trunk == "module":
        return _own(shape, pieces, features)
    rest = iter(pieces)
    masks = iter([] if keep is None else keep.split(shape.kept, -1))
    if shape.trunk == "conv":
        features = _convolve(shape, rest, features, masks, len(pieces[0]))
    for _ in shape.hidden:
        weight, bias = next(rest), next(rest)
        features = torch.baddbmm(bias.unsqueeze(1), features.expand(len(weight), *features.shape[-2:]), weight.mT)
        if shape.layer_norm:
            scale, offset = next(rest), next(rest)
            features = functional.layer_norm(features, features.shape[-1:], eps=EPSILON) * scale.unsqueeze(1) + offset.unsqueeze(
                1
            )
        features = torch.relu(features)
        if keep is not None:
            features = features * next(masks)
    return features


def _convolve(shape: Shape, rest: Iterator[Tensor], features: Tensor, masks: Iterator[Tensor], lanes: int) -> Tensor:
    """All convolutions, on `[rows, lanes * channels, *space]`, then a vector or place after place."""
    axes = len(shape.input_shape) - 1
    convolution = functional.conv1d if axes == 1 else functional.conv2d
    rows = features.shape[-2]
    shared = features.dim() == 2
    maps = features.unflatten(-1, shape.input_shape)
    maps = maps if shared else maps.transpose(0, 1).flatten(1, 2)
    for stride in shape.strides or (1,) * len(shape.channels):
        weight, bias = next(rest), next(rest)
        maps = convolution(
            maps, weight.flatten(0, 1), bias.flatten(), stride=stride, padding=shape.kernel // 2, groups=1 if shared else lanes
        )
        shared = False
        if shape.layer_norm:
            maps = _group_norm(maps, next(rest), next(rest))
        maps = torch.relu(maps)
        if shape.dropout:
            mask = next(masks, None)
            if mask is not None:
                maps = maps * mask.transpose(0, 1).reshape(rows, -1, *(1,) * axes)
    maps = maps.unflatten(1, (lanes, -1)).transpose(0, 1)  # [lanes, rows, channels, *space]
    found: Tensor = maps.flatten(2) if shape.hidden else maps.flatten(3).mT.flatten(1, 2)
    return found


def _group_norm(maps: Tensor, scale: Float[Tensor, "lanes channels"], offset: Float[Tensor, "lanes channels"]) -> Tensor:
    """Each row of each lane over all its channels and places: `nn.GroupNorm(1, channels)`."""
    return functional.group_norm(maps, len(scale), scale.flatten(), offset.flatten(), EPSILON)


def _own(shape: Shape, pieces: Sequence[Tensor], features: Tensor) -> Tensor:
    module = own_trunk(shape.module).module
    module.train(torch.is_grad_enabled())
    names = [name for name, _ in module.named_parameters()]
    buffers = {name: value.to(pieces[0]) if value.is_floating_point() else value for name, value in module.named_buffers()}

    def one(*values: Tensor) -> Tensor:
        *parts, rows = values
        given = {**dict(zip(names, parts, strict=True)), **buffers}
        found: Tensor = torch.func.functional_call(module, given, (rows.clone(),))  # a module may write to its input
        return found

    rows = features.unflatten(-1, shape.input_shape) if shape.input_shape else features
    found = torch.vmap(one, in_dims=(*(0 for _ in pieces), None if features.dim() == 2 else 0))(*pieces, rows)
    return found if found.dim() == 3 else found.flatten(3).mT.flatten(1, 2)

"""From the outputs of heads at the places of a trunk's map to the outputs of tasks, and back.

Heads see one place of the map. A task with a grid gets, at each place, the outputs of all finer places inside it (sub-pixel
convolution, Shi et al., CVPR 2016); a task without one gets the mean of its head's outputs over the map (for a linear head its
output for the mean: global average pooling).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mtl_core.shapes import Shape


def from_places(outputs: Float[Tensor, "lanes places heads"], shape: Shape) -> Float[Tensor, "lanes rows outputs"]:
    """Outputs of all tasks side by side, those of a map place after place of its own grid."""
    if not shape.map:
        return outputs
    rows = outputs.shape[1] // shape.places
    parts = outputs.unflatten(1, (rows, shape.places)).split(shape.heads, -1)
    return torch.cat([_task(part, shape.map, grid) for part, grid in zip(parts, shape.grids, strict=True)], -1)


def to_places(slopes: Float[Tensor, "lanes rows outputs"], shape: Shape) -> Float[Tensor, "lanes places heads"]:
    """The reverse: slopes at the tasks' outputs as slopes at the heads, place by place."""
    if not shape.map:
        return slopes
    parts = zip(slopes.split(shape.outputs, -1), shape.grids, strict=True)
    return torch.cat([_places(part, shape.map, grid) for part, grid in parts], -1).flatten(1, 2)


def _task(outputs: Float[Tensor, "lanes rows places width"], coarse: tuple[int, ...], grid: tuple[int, ...]) -> Tensor:
    if not grid:
        return outputs.mean(2)
    sizes, order = _interleaved(coarse, grid, outputs.shape[-1])
    return outputs.reshape(*outputs.shape[:2], *sizes).permute(0, 1, *(2 + axis for axis in order)).flatten(2)


def _places(slopes: Float[Tensor, "lanes rows outputs"], coarse: tuple[int, ...], grid: tuple[int, ...]) -> Tensor:
    places = math.prod(coarse)
    if not grid:
        return (slopes / places).unsqueeze(2).expand(-1, -1, places, -1)
    width = slopes.shape[-1] // places
    sizes, order = _interleaved(coarse, grid, width)
    back = sorted(range(len(order)), key=order.__getitem__)
    parts = slopes.reshape(*slopes.shape[:2], *(sizes[axis] for axis in order))
    return parts.permute(0, 1, *(2 + axis for axis in back)).reshape(*slopes.shape[:2], places, width)


def _interleaved(coarse: tuple[int, ...], grid: tuple[int, ...], width: int) -> tuple[list[int], list[int]]:
    """(axes of a map's outputs: coarse places, finer places in each, numbers there; the order that makes them a fine map)."""
    factors = [fine // side for fine, side in zip(grid, coarse, strict=True)]
    axes = len(coarse)
    order = [axis for pair in zip(range(axes), range(axes, 2 * axes), strict=True) for axis in pair]
    return [*coarse, *factors, width // math.prod(factors)], [*order, 2 * axes]

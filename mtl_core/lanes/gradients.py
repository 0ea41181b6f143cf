"""The gradient of every task by itself, for lanes whose scheme asks for more than losses.

The heads' reverse pass carries all tasks at once, `[lanes, places, tasks, width]`; the trunk makes of it the Jacobian over its
parameters, and from that comes the Gramian. The trunk's step is then the weighted sum of what is already there: no second reverse
pass. Lanes go through in groups small enough to stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mtl_core.lanes.models import Forward, Model
from mtl_core.schemes.base import Gradients


class Section(NamedTuple):
    """Consecutive lanes that take the same gradients."""

    first: int
    last: int  # exclusive
    gradients: Gradients


@dataclass(frozen=True)
class Jacobian:
    """The task gradients of the trunk's parameters, in pieces as they come: weights and biases of each layer.

    In the order of `nn.Module.parameters()`: weights `[out, in]`, then biases `[out]`, layer after layer.
    """

    parts: tuple[Float[Tensor, "lanes tasks part"], ...]
    first: int  # lanes from here on have one

    def of(self, lanes: slice) -> Float[Tensor, "lanes tasks parameters"]:
        """The whole of it, for some lanes."""
        return torch.cat([part[self._here(lanes)] for part in self.parts], -1)

    def combined(self, lanes: slice, weights: Float[Tensor, "lanes tasks"]) -> Float[Tensor, "lanes parameters"]:
        """The weighted sum of the task gradients."""
        rows = weights.unsqueeze(1)
        return torch.cat([torch.bmm(rows, part[self._here(lanes)]).squeeze(1) for part in self.parts], -1)

    def only(self, available: Bool[Tensor, "all_lanes tasks"]) -> Jacobian:
        """The same with the rows of all other tasks 0."""
        keep = available[self.first :].unsqueeze(-1)
        return Jacobian(tuple(torch.where(keep, part, 0.0) for part in self.parts), self.first)

    def _here(self, lanes: slice) -> slice:
        return slice(lanes.start - self.first, lanes.stop - self.first)


class TakenGradients(NamedTuple):
    """What the lanes of some sections say of a step."""

    gramian: Float[Tensor, "lanes tasks tasks"]  # 0 in lanes that take no gradients
    jacobian: Jacobian | None  # of the lanes that take all shared parameters, the last ones


def take(model: Model, done: Forward, slopes: Float[Tensor, "lanes places heads"], sections: Sequence[Section]) -> TakenGradients:
    """Task gradients from the slopes of the losses at the heads (0 for an absent task)."""
    shape, (lanes, places, _) = model.shape, slopes.shape
    tasks = len(shape.heads)
    gramian = slopes.new_zeros(lanes, tasks, tasks)
    first = min((section.first for section in sections if section.gradients == "shared"), default=lanes)
    whole = _empty(slopes, lanes - first, shape.trunk_pieces, tasks)
    for section in sections:
        for some in model.trunk.groups(section.first, section.last, places * tasks * max(shape.hidden, default=shape.width)):
            gradient = model.heads.by_task(done.hidden, slopes, some)
            if section.gradients == "representation":
                parts = [gradient.transpose(1, 2).flatten(2)]
            elif section.gradients == "last_layer":
                parts = _empty(slopes, some.stop - some.start, shape.trunk_pieces[-shape.last_pieces :], tasks)
            else:
                parts = [part[some.start - first : some.stop - first] for part in whole]
            if section.gradients != "representation":
                model.trunk.fill(parts, done.passed, gradient, some)
            for part in parts:
                gramian[some].baddbmm_(part, part.mT)
    return TakenGradients(gramian, Jacobian(tuple(whole), first) if first < lanes else None)


def _empty(like: Tensor, lanes: int, sizes: Sequence[int], tasks: int) -> list[Tensor]:
    """Room for the task gradients of pieces of these sizes."""
    return [like.new_empty(lanes, tasks, size) for size in sizes]

"""Arithmetic that schemes share: Adam as a pure function, trees of tensors, softmax over present tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxtyping import Bool, Float, Int

from mtl_core.deferred import torch

if TYPE_CHECKING:
    from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # torch.optim.Adam's defaults


class Adam(NamedTuple):
    """Adam's moments, element by element; each element counts its own steps, so an absent task's state stands still."""

    steps: Int[Tensor, "*lanes tasks"]
    mean: Float[Tensor, "*lanes tasks"]
    square: Float[Tensor, "*lanes tasks"]

    @staticmethod
    def zeros(like: Float[Tensor, "*lanes tasks"]) -> Adam:
        """Before the first step."""
        return Adam(torch.zeros_like(like, dtype=torch.int64), torch.zeros_like(like), torch.zeros_like(like))


def adam_step(
    adam: Adam, parameter: Tensor, gradient: Tensor, lr: Tensor, where: Bool[Tensor, "*lanes tasks"]
) -> tuple[Tensor, Adam]:
    """One step of Adam (Kingma & Ba 2015, as in torch.optim.Adam) on the elements `where`; the others keep all state."""
    steps = adam.steps + where
    mean = torch.where(where, adam.mean + (1 - BETA1) * (gradient - adam.mean), adam.mean)
    square = torch.where(where, BETA2 * adam.square + (1 - BETA2) * gradient * gradient, adam.square)
    count = steps.clamp(min=1).to(parameter.dtype)
    step = mean / (1 - BETA1**count) / ((square / (1 - BETA2**count)).sqrt() + EPSILON)
    return torch.where(where, parameter - lr * step, parameter), Adam(steps, mean, square)


def present_softmax(scores: Tensor, present: Bool[Tensor, "*lanes tasks"]) -> Float[Tensor, "*lanes tasks"]:
    """Softmax over the present tasks of each lane, 0 elsewhere; a lane without tasks gets zeros."""
    masked = scores.masked_fill(~present, -torch.inf)
    top = masked.amax(-1, keepdim=True).nan_to_num(neginf=0.0)
    shares = (masked - top).exp()
    return shares / shares.sum(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)


def count(present: Bool[Tensor, "*lanes tasks"], dtype: torch.dtype) -> Float[Tensor, "*lanes 1"]:
    """How many tasks each lane has in this step, at least 1 so that it can be divided by."""
    return present.sum(-1, keepdim=True).clamp(min=1).to(dtype)


def first_positive(first: Tensor, losses: Tensor, available: Tensor) -> Tensor:
    """Each task's first loss, NaN until it has one."""
    return torch.where(first.isnan() & available, losses, first)


def floored(losses: Tensor, first: Tensor, epsilon: Any) -> Tensor:
    """Losses held above `epsilon` times their first value, so that logarithms and reciprocals stay finite in any unit."""
    floor = (first.nan_to_num() * epsilon).clamp(min=torch.finfo(losses.dtype).tiny)
    return torch.maximum(losses, floor)


# --- trees: states are NamedTuples of tensors [*lanes, k], possibly nested -------------------------------------------


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply a function to corresponding leaves of equally shaped trees of tuples."""
    if isinstance(tree, tuple):
        parts = [tree_map(function, *items) for items in zip(tree, *others, strict=True)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return function(tree, *others)


def tree_where(condition: Bool[Tensor, "*lanes 1"], yes: Any, no: Any) -> Any:
    """Leaf by leaf and lane by lane: `yes` where the condition holds, else `no`."""
    return tree_map(lambda a, b: torch.where(condition, a, b), yes, no)


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves, in a fixed order: what a checkpoint keeps."""
    return [leaf for item in tree for leaf in tree_leaves(item)] if isinstance(tree, tuple) else [tree]


def tree_fill(template: Any, leaves: list[Any]) -> Any:
    """Inverse of `tree_leaves`, shaped like the template."""
    rest = iter(leaves)
    return tree_map(lambda _: next(rest), template)

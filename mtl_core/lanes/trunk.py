"""What a trunk does for lanes: forward, the step's gradient, and the gradient of every task by itself.

Two implementations: `MlpTrunk`, whose reverse pass is written by hand, and `GraphTrunk`, which leaves it to autograd and so takes
convolutions, norms and modules of one's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from mtl_core.shapes import Shape


class Passed(NamedTuple):
    """What a forward pass through the trunk leaves."""

    representation: Float[Tensor, "lanes places width"]  # place after place of row after row
    memory: Any  # the trunk's own, for its reverse pass


class Trunk(ABC):
    """The shared part of every lane, over a buffer of parameters and one of gradients; nothing is summed over lanes."""

    @abstractmethod
    def __init__(self, shape: Shape, flat: Float[Tensor, "lanes parameters"], gradient: Tensor | None) -> None: ...

    @abstractmethod
    def forward(self, features: Tensor, keep: Tensor | None, *, learn: bool) -> Passed:
        """Features, each lane's own `[lanes, rows, features]` or shared `[rows, features]`, to the representation."""

    @abstractmethod
    def backward(self, passed: Passed, gradient: Float[Tensor, "some places width"], lanes: slice) -> None:
        """Write the gradient of the trunk's parameters in some lanes, from the one at their representation (overwritten)."""

    @abstractmethod
    def fill(
        self,
        parts: Sequence[Float[Tensor, "some tasks part"]],
        passed: Passed,
        gradient: Float[Tensor, "some places tasks width"],
        lanes: slice,
    ) -> None:
        """Write the task gradients of the trunk's last pieces, as many as there are parts; `gradient` may be overwritten."""

    @abstractmethod
    def follow(self, direction: Float[Tensor, "last_lanes parameters"]) -> None:
        """Take a direction, in the order of `nn.Module.parameters()`, for the gradient of the last lanes."""

    @abstractmethod
    def groups(self, first: int, last: int, numbers: int) -> Iterator[slice]:
        """Lanes `first` to `last` in pieces for `fill`, which takes so many numbers a lane."""

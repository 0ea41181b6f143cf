"""Optimizers over a flat buffer: each lane is a row with its own learning rate, weight decay, moments and step counts.

Adam, AdamW and SGD without momentum as in `torch.optim` (default betas and epsilon), by its fused kernels.
Absence is what it is in a plain loop that sums the losses of the tasks that are there: a parameter without gradient is not
touched. So the head of an absent task keeps its parameters, moments and step count, and a lane without any task keeps all. A part
that is frozen is not touched either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mtl_core.lanes.heads import row_blocks
from mtl_core.schemes.maths.adam import BETA1, BETA2, EPSILON
from mtl_core.shapes import Shape

Rows = list[list[Tensor]]  # parameters, gradient, two moments, step counts: a tensor a lane, or one for all
Block = tuple[Tensor, Tensor, Tensor, Tensor]  # parameters, gradient, moments: [lanes, units, weights + 1] each
CLIP_EPSILON = 1e-6  # of torch.nn.utils.clip_grad_norm_


@dataclass
class Optimizer:
    """State of all lanes; updated in place. The trunk's columns come first, then the heads'."""

    kind: str  # adam, adamw, sgd
    shape: Shape
    clip: float  # bound on the length of a lane's gradient; 0: none
    flat: Float[Tensor, "lanes parameters"]
    gradient: Float[Tensor, "lanes parameters"]
    lr: Float[Tensor, "lanes 1"]
    trunk_lr: Float[Tensor, "lanes 1"]
    weight_decay: Float[Tensor, "lanes 1"]
    mean: Float[Tensor, "lanes parameters"]
    square: Float[Tensor, "lanes parameters"]
    steps: Float[Tensor, " lanes"]
    head_steps: Float[Tensor, "lanes tasks"]

    @staticmethod
    def start(kind: str, shape: Shape, flat: Tensor, lr: Tensor, weight_decay: Tensor, clip: float = 0.0) -> Optimizer:
        """Before the first step."""
        steps = torch.zeros(len(flat), dtype=torch.float32, device=flat.device)
        head_steps = flat.new_zeros(len(flat), len(shape.heads))
        blank = [torch.zeros_like(flat) for _ in range(3)]
        return Optimizer(kind, shape, clip, flat, blank[0], lr, lr, weight_decay, blank[1], blank[2], steps, head_steps)

    def __post_init__(self) -> None:
        """A lane's row as one tensor, and its trunk's part as another, as the kernels want them."""
        buffers = (self.flat, self.gradient, self.mean, self.square)
        counts = list(self.steps.unbind(0))
        self._all: Rows = [*([buffer] for buffer in buffers), counts[:1]]
        self._rows: Rows = [*(list(buffer.unbind(0)) for buffer in buffers), counts]
        self._trunks: Rows = [*(list(buffer[:, : self.shape.trunk_parameters].unbind(0)) for buffer in buffers), counts]
        self._heads: list[Block] = list(zip(*(row_blocks(self.shape, buffer) for buffer in buffers), strict=True))
        self._owners = [torch.tensor(rows.owners, device=self.flat.device) for rows in self.shape.head_rows]
        self._decays = bool((self.weight_decay > 0).any())
        self.set_rates(self.lr, self.trunk_lr)

    def set_rates(self, lr: Float[Tensor, "lanes 1"], trunk_lr: Float[Tensor, "lanes 1"]) -> None:
        """Learning rates from now on."""
        self.lr, self.trunk_lr = lr, trunk_lr
        self._alike: dict[tuple[float, float], list[int]] = {}
        for lane, numbers in enumerate(zip(trunk_lr[:, 0].tolist(), self.weight_decay[:, 0].tolist(), strict=True)):
            self._alike.setdefault(numbers, []).append(lane)
        self._compare_counts()

    def _compare_counts(self) -> None:
        """Note the lanes whose heads have made every step of their trunk, at its rate: such a lane moves as one row.

        Where all lanes do so at one step and rate, the whole buffer moves at once.
        """
        self._together = (self.head_steps == self.steps.unsqueeze(-1)).all(-1) & (self.lr == self.trunk_lr).flatten()
        self.all_together = bool(self._together.all())
        self._level = self.all_together and len(self._alike) == 1 and bool((self.steps == self.steps[:1]).all())

    def forget(self) -> None:
        """Start anew: no moments, no steps."""
        for part in self.memory:
            part.zero_()
        self._compare_counts()

    def step(
        self, takes_part: Bool[Tensor, "lanes tasks"], *, trunk: bool = True, heads: Bool[Tensor, " tasks"] | None = None
    ) -> None:
        """One step with what `gradient` holds. `trunk` False: it is frozen; `heads`: those that are not."""
        moving = takes_part if heads is None else takes_part & heads
        self.shorten(moving, trunk=trunk)
        if trunk and self.all_together and bool(moving.all()):  # the usual case
            self.advance()
        else:
            self._in_parts(takes_part, moving, trunk=trunk)

    def advance(self) -> None:
        """Move all lanes, each as one row; with one step count and rate the whole buffer at once. Only where `all_together`."""
        self.steps += 1
        self.head_steps += 1
        if self._level:
            self._kernel(self._all, *next(iter(self._alike)))
        else:
            self._fused(self._rows)

    def _in_parts(self, takes_part: Tensor, moving: Tensor, *, trunk: bool) -> None:
        """Lanes that move as one row do so; in the others the trunk by itself, and each head with its own step count."""
        whole = self._together & moving.all(-1) & trunk
        going = takes_part.any(-1) & trunk
        self.steps += going
        self.head_steps += moving
        self._fused(self._rows, whole)
        if self.shape.trunk_parameters:
            self._fused(self._trunks, going & ~whole)
        alone = moving & ~whole.unsqueeze(-1)
        for block, owners in zip(self._heads, self._owners, strict=True):
            flat, _, mean, square = block
            for old, new in zip((flat, mean, square), self._stepped(block, owners), strict=True):
                old.copy_(torch.where(_by_unit(alone, owners), new, old))
        self._compare_counts()

    def shorten(self, moving: Bool[Tensor, "lanes tasks"], *, trunk: bool) -> None:
        """Shorten each lane's gradient, of the parts that move, to `clip` where it is longer (as clip_grad_norm_)."""
        if not self.clip:
            return
        size = self.shape.trunk_parameters
        squares = [self.gradient[:, :size].square().sum(1)] if trunk else []
        for (_, gradient, _, _), owners in zip(self._heads, self._owners, strict=True):
            squares.append((gradient * _by_unit(moving, owners)).square().sum((1, 2)))
        length = torch.stack(squares).sum(0).sqrt()
        self.gradient.mul_((self.clip / (length + CLIP_EPSILON)).clamp(max=1).unsqueeze(1))

    def _fused(self, rows: Rows, which: Bool[Tensor, " lanes"] | None = None) -> None:
        """One step of some lanes, or of all; those of equal rates together."""
        chosen = None if which is None else set(which.nonzero().flatten().tolist())
        for numbers, alike in self._alike.items():
            lanes = alike if chosen is None else [lane for lane in alike if lane in chosen]
            if lanes:
                self._kernel([[part[lane] for lane in lanes] for part in rows], *numbers)

    def _kernel(self, rows: Rows, lr: float, weight_decay: float) -> None:
        flat, gradient, mean, square, counts = rows
        common: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "maximize": False}
        common |= {"grad_scale": None, "found_inf": None}
        if self.kind == "sgd":
            torch._fused_sgd_(flat, gradient, [], momentum=0.0, dampening=0.0, nesterov=False, is_first_step=False, **common)
            return
        kernel = torch._fused_adamw_ if self.kind == "adamw" else torch._fused_adam_
        kernel(flat, gradient, mean, square, [], counts, amsgrad=False, beta1=BETA1, beta2=BETA2, eps=EPSILON, **common)

    def _stepped(self, block: Block, owners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Parameters and moments of a block of heads after a step, each with its own task's step count."""
        flat, gradient, mean, square = block
        if self._decays and self.kind == "adamw":
            flat = flat * (1 - self.lr * self.weight_decay).unsqueeze(-1)
        elif self._decays:
            gradient = gradient + self.weight_decay.unsqueeze(-1) * flat
        if self.kind == "sgd":
            return flat - self.lr.unsqueeze(-1) * gradient, mean, square
        mean = mean.lerp(gradient, 1 - BETA1)
        square = (square * BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        steps = self.head_steps.clamp(min=1)
        size, root = self.lr / (1 - BETA1**steps), (1 - BETA2**steps).sqrt()
        denominator = square.sqrt().div_(_by_unit(root, owners)).add_(EPSILON)
        return flat - (mean / denominator).mul_(_by_unit(size, owners)), mean, square

    @property
    def memory(self) -> tuple[Tensor, ...]:
        """What a checkpoint keeps beside the parameters."""
        return self.mean, self.square, self.steps, self.head_steps

    def select(self, keep: Bool[Tensor, " lanes"]) -> Optimizer:
        """The same for some of the lanes."""
        parts = (self.flat, self.gradient, self.lr, self.trunk_lr, self.weight_decay, *self.memory)
        return Optimizer(self.kind, self.shape, self.clip, *(part[keep] for part in parts))


def _by_unit(by_task: Float[Tensor, "lanes tasks"], owners: Tensor) -> Float[Tensor, "lanes units 1"]:
    return by_task.index_select(1, owners).unsqueeze(-1)

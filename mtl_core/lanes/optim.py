"""Optimizers over one flat buffer `[lanes, parameters]`: every lane its own learning rate, weight decay and step count.

Each follows `torch.optim` (Adam, AdamW, SGD without momentum; default betas and epsilon). A lane that sits a step out
keeps its parameters, moments and count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mtl_core.schemes.numerics import BETA1, BETA2, EPSILON


@dataclass
class Optimizer:
    """State of all lanes. Updated in place: the buffers are the hot path's memory."""

    kind: str  # adam, adamw, sgd
    lr: Float[Tensor, "lanes 1"]
    weight_decay: Float[Tensor, "lanes 1"]
    mean: Float[Tensor, "lanes parameters"]
    square: Float[Tensor, "lanes parameters"]
    steps: Float[Tensor, "lanes 1"]

    @staticmethod
    def start(kind: str, flat: Tensor, lr: Tensor, weight_decay: Tensor) -> Optimizer:
        """Before the first step."""
        blank = torch.zeros_like(flat if kind != "sgd" else flat[:, :0])
        return Optimizer(kind, lr, weight_decay, blank, blank.clone(), torch.zeros_like(lr))

    def step(self, flat: Tensor, gradient: Tensor, lanes: Bool[Tensor, " lanes"] | None) -> None:
        """One step on all lanes, or on those where `lanes` is True. `gradient` is used up."""
        if lanes is None:
            self._step(flat, gradient)
            return
        before = [buffer.clone() for buffer in (flat, self.mean, self.square, self.steps)]
        self._step(flat, gradient)
        for buffer, old in zip((flat, self.mean, self.square, self.steps), before, strict=True):
            buffer.copy_(torch.where(lanes.unsqueeze(1), buffer, old))

    def _step(self, flat: Tensor, gradient: Tensor) -> None:
        self.steps += 1
        decays = bool((self.weight_decay > 0).any())
        if decays and self.kind == "adamw":
            flat.mul_(1 - self.lr * self.weight_decay)
        elif decays:
            gradient.addcmul_(self.weight_decay, flat)
        if self.kind == "sgd":
            flat.addcmul_(self.lr, gradient, value=-1)
            return
        self.mean.lerp_(gradient, 1 - BETA1)
        self.square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        size = self.lr / (1 - BETA1**self.steps)
        root = (1 - BETA2**self.steps).sqrt()
        denominator = torch.sqrt(self.square, out=gradient).div_(root).add_(EPSILON)
        flat.sub_(torch.div(self.mean, denominator, out=gradient).mul_(size))

    def select(self, lanes: Tensor) -> Optimizer:
        """The same for some of the lanes."""
        parts = (self.lr, self.weight_decay, self.mean, self.square, self.steps)
        return Optimizer(self.kind, *(part[lanes] for part in parts))

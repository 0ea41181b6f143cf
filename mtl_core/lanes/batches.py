"""Minibatches: each seed's own order of the training rows, the same for all arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtl_core.lanes.live import Batch, owners
from mtl_core.lanes.rng import batch_order, generator
from mtl_core.lanes.tensors import Rows, Tensors


@dataclass(frozen=True)
class Batches:
    """The training split in minibatches; the last of an epoch may be smaller."""

    data: Tensors
    seeds: Sequence[int]
    size: int
    kept: tuple[int, ...] = ()  # units that dropout may drop, by layer
    dropout: float = 0.0

    @property
    def rows(self) -> Rows:
        """The training split."""
        return self.data.splits[0]

    @property
    def steps(self) -> int:
        """Minibatches an epoch."""
        return -(-len(self.rows) // self.size)

    def of(self, epoch: int) -> Iterator[Batch]:
        """Those of an epoch, counted from 1."""
        place = self.rows.features.device
        order = torch.stack([batch_order(seed, epoch, len(self.rows)) for seed in self.seeds]).to(place)
        for number, rows in enumerate(order.split(self.size, 1)):
            yield self._batch(rows, (epoch - 1) * self.steps + number)

    def _batch(self, rows: Int[Tensor, "seeds rows"], step: int) -> Batch:
        train, member = self.rows, self.data.membership
        parts = (train.features, train.targets, train.labels, train.output_labels)
        features, targets, valid, outputs = (part.index_select(0, rows.flatten()).unflatten(0, rows.shape) for part in parts)
        labels = valid.sum(1) @ member
        each = labels.clamp(min=1).reciprocal()
        weights = valid * each.index_select(1, self._elements).unsqueeze(1)
        output_weights = outputs * each.index_select(1, self._outputs).unsqueeze(1)
        elements = member.sum(0) * rows.shape[1]
        return Batch(features, targets, weights, output_weights, labels, labels / elements, self._keep(rows.shape[1], step))

    @cached_property
    def _elements(self) -> Int[Tensor, " elements"]:
        return owners(self.data.elements, self.rows.features.device)

    @cached_property
    def _outputs(self) -> Int[Tensor, " outputs"]:
        return owners(self.data.outputs, self.rows.features.device)

    def _keep(self, rows: int, step: int) -> Float[Tensor, "seeds rows units"] | None:
        """0 for what is dropped, else 1/(1 - dropout), in each seed's own draw of the step."""
        if not self.dropout:
            return None
        draws = [torch.rand(rows, sum(self.kept), generator=generator(seed, "dropout", step)) for seed in self.seeds]
        keep = torch.stack(draws) >= self.dropout
        return keep.to(self.rows.features) / (1 - self.dropout)

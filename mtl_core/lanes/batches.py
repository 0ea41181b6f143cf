"""Minibatches: each seed's own order of the training rows, the same for all arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtl_core.lanes.losses import Batch, Known
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
        train, member, count = self.rows, self.data.membership, rows.shape[1]
        features = train.features.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        elements = member.sum(0) * count
        if train.complete:
            targets, labels, known = self._columns(train.targets, rows), elements.expand(len(rows), -1), None
        else:
            parts = (train.targets, train.labels, train.output_labels)
            targets, valid, outputs = (self._columns(part, rows) for part in parts)
            labels, known = valid.sum(-1) @ member, Known(valid, outputs)
        return Batch(features, targets, labels, labels / elements, known, self._keep(count, step))

    @staticmethod
    def _columns(values: Float[Tensor, "all columns"], rows: Int[Tensor, "seeds rows"]) -> Float[Tensor, "seeds columns rows"]:
        return values.index_select(0, rows.flatten()).unflatten(0, rows.shape).mT.contiguous()

    def _keep(self, rows: int, step: int) -> Float[Tensor, "seeds rows units"] | None:
        """0 for what is dropped, else 1/(1 - dropout), in each seed's own draw of the step."""
        if not self.dropout:
            return None
        draws = [torch.rand(rows, sum(self.kept), generator=generator(seed, "dropout", step)) for seed in self.seeds]
        keep = torch.stack(draws) >= self.dropout
        return keep.to(self.rows.features) / (1 - self.dropout)

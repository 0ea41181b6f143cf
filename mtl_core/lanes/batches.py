"""Minibatches: each seed's own order of the training rows, the same for all arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from mtl_core.lanes.losses import Batch, Known
from mtl_core.lanes.rng import batch_order, generator
from mtl_core.lanes.tensors import Rows, Tensors

NUMBERS_AT_ONCE = 1 << 20  # gathered in one go


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
        order, step = self._order(epoch), (epoch - 1) * self.steps
        even = len(self.rows) // self.size * self.size
        for rows in order[:, :even].unflatten(1, (-1, self.size)).split(self._at_once, 1):
            yield from self._block(rows, step)
            step += rows.shape[1]
        if even < len(self.rows):
            yield from self._block(order[:, even:].unsqueeze(1), step)

    def _order(self, epoch: int) -> Int[Tensor, "seeds rows"]:
        order = torch.empty(len(self.seeds), len(self.rows), dtype=torch.int32)
        for mine, seed in zip(order, self.seeds, strict=True):
            mine.copy_(batch_order(seed, epoch, len(self.rows)))
        return order.to(self.rows.features.device)

    @property
    def _at_once(self) -> int:
        """Minibatches whose rows are gathered in one go."""
        data = self.data
        numbers = self.size * (self.rows.features.shape[1] + sum(data.widths) + sum(data.elements) + sum(data.outputs))
        return max(1, NUMBERS_AT_ONCE // (len(self.seeds) * numbers))

    def _block(self, rows: Int[Tensor, "seeds steps rows"], step: int) -> Iterator[Batch]:
        train, member, (_, steps, count) = self.rows, self.data.membership, rows.shape
        features, targets = self._rows_of(train.features, rows), self._rows_of(train.targets, rows).mT.contiguous()
        elements = member.sum(0) * count
        labels, known = elements.expand(len(rows), steps, -1), None
        if not train.complete:
            there = self._rows_of(train.valid, rows).mT.to(features.dtype).contiguous()
            known = Known(there, there.index_select(2, train.element))
            labels = known.elements.sum(-1) @ member
        shares = labels / elements
        for n in range(steps):
            some = known and Known(known.elements[:, n], known.outputs[:, n])
            yield Batch(features[:, n], targets[:, n], labels[:, n], shares[:, n], some, self._keep(count, step + n))

    @staticmethod
    def _rows_of(values: Shaped[Tensor, "all columns"], rows: Int[Tensor, "seeds steps rows"]) -> Tensor:
        found: Tensor = values.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        return found

    def _keep(self, rows: int, step: int) -> Float[Tensor, "seeds rows units"] | None:
        """0 for what is dropped, else 1/(1 - dropout), in each seed's own draw of the step."""
        if not self.dropout:
            return None
        draws = [torch.rand(rows, sum(self.kept), generator=generator(seed, "dropout", step)) for seed in self.seeds]
        keep = torch.stack(draws) >= self.dropout
        return keep.to(self.rows.features) / (1 - self.dropout)

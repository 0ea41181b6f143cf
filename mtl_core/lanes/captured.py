"""The usual step of all lanes as two CUDA graphs.

A step is about a hundred kernels of a few microseconds each; for models of this size launching them one by one takes ten times as
long as they run. Captured once, they are launched as one.

Usual is a step in which every lane and task takes part: all losses are finite, no gate is shut, nothing is frozen. Whether it is
stands in a flag after the first graph, which looks and weighs and writes gradients, but moves nothing; only then the second moves
schemes and parameters. In any other case the caller makes the step as always. Results are the same.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from mtl_core.lanes.live import LiveLanes, Step
    from mtl_core.lanes.losses import Batch

Replay = Callable[[], None]
Result = TypeVar("Result")


class Captured(NamedTuple):
    """One shape of minibatch."""

    batch: Batch  # the memory that the graphs read
    look: Replay
    step: Step
    usual: Tensor  # the flag
    move: Replay


class Replays:
    """Steps of lanes that allow it, captured for each shape of minibatch on its second step."""

    def __init__(self, live: LiveLanes) -> None:
        self.live, self.weighing = live, live.weighing
        self.captured: dict[torch.Size, Captured | None] = {}
        self.leaves = [[leaf.clone() for leaf in leaves] for leaves in live.weighing.leaves()]  # states, in memory of their own
        self.moved_on = True  # the schemes' states have moved on without us

    @staticmethod
    def possible(live: LiveLanes) -> bool:
        """Whether steps can be captured where these lanes are."""
        return live.flat.is_cuda

    @staticmethod
    def record(job: Callable[[], Result]) -> tuple[Replay, Result]:
        """Capture a job without running it: what does it, again and again into the same memory, and its result there.

        What it calls must have run before, as libraries set themselves up in their first call; and the graphs of a training that
        has ended must not be freed meanwhile.
        """
        graph, collects = torch.cuda.CUDAGraph(), gc.isenabled()
        gc.disable()
        try:
            with torch.cuda.graph(graph):
                result = job()
        finally:
            if collects:
                gc.enable()
        return graph.replay, result

    def step(self, batch: Batch) -> Step | None:
        """The step, if it is a usual one; else None, and nothing has moved."""
        found = self._for(batch) if self.live.optimizer.all_together else None
        if found is None:
            self.moved_on = True
            return None
        for mine, given in zip(_tensors(found.batch), _tensors(batch), strict=True):
            mine.copy_(given)
        found.look()
        if not bool(found.usual):
            self.moved_on = True
            return None
        found.move()
        return found.step

    def _for(self, batch: Batch) -> Captured | None:
        shape = batch.features.shape
        if shape not in self.captured:
            self.captured[shape] = None  # the first step is made as always
            return None
        if self.moved_on or self.weighing is not self.live.weighing:
            self._take_states()
        captured = self.captured[shape]
        if captured is None:
            captured = self.captured[shape] = self._capture(batch)
        return captured

    def _take_states(self) -> None:
        self.weighing = self.live.weighing
        for mine, now in zip(_flat(self.leaves), _flat(self.weighing.leaves()), strict=True):
            mine.copy_(now)
        self.weighing.fill(self.leaves)
        self.moved_on = False

    def _capture(self, batch: Batch) -> Captured:
        live, mine, before = self.live, batch.map(torch.clone), list(_flat(self.leaves))

        def look() -> tuple[Step, Tensor, Tensor, list[Tensor]]:
            step, takes_part, usual = live.look(mine)
            return step, takes_part, usual, _apart(list(_flat(live.weighing.leaves())), before)

        replay, (step, takes_part, usual, after) = self.record(look)
        live.weighing.fill(self.leaves)

        def move() -> None:
            for old, new in zip(before, after, strict=True):
                if new is not old:
                    old.copy_(new)
            live.optimizer.shorten(takes_part, trunk=True)
            live.optimizer.advance()

        return Captured(mine, replay, step, usual, self.record(move)[0])


def _apart(leaves: list[Tensor], before: list[Tensor]) -> list[Tensor]:
    """The next state, with what stands elsewhere in the memory of the one before copied, as that is about to be written."""
    memory = {old.untyped_storage().data_ptr() for old in before}
    return [
        new.clone() if new is not old and new.untyped_storage().data_ptr() in memory else new
        for new, old in zip(leaves, before, strict=True)
    ]


def _flat(leaves: list[list[Tensor]]) -> Iterator[Tensor]:
    return (leaf for group in leaves for leaf in group)


def _tensors(batch: Batch) -> Iterator[Tensor]:
    return (part for part in (*batch[:4], *(batch.known or ()), batch.keep) if part is not None)

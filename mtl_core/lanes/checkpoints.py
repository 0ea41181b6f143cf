"""Checkpoints as bytes: plain tensors, numbers and strings, so that loading them runs no code."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch

from mtl_core.lanes.results import Outcome
from mtl_core.selection import Criterion, Watch

if TYPE_CHECKING:
    from mtl_core.engine import Training


def pack(state: dict[str, Any]) -> bytes:
    """A state of plain values as bytes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, Any]:
    """Inverse of `pack`; tensors come to the CPU."""
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


def state_of(training: Training) -> dict[str, Any]:
    """What going on from the end of this epoch takes.

    What the next steps would change is copied; the parameters of lanes that train are `outcome.final` already.
    """
    live, criterion = training.live, training.criterion
    assert criterion is not None
    return {
        "epoch": training.epoch,
        "steps": training.steps,
        "seats": live.seats,
        "optimizer": [part.clone() for part in live.optimizer.memory],
        "schemes": [[leaf.clone() for leaf in leaves] for leaves in live.weighing.leaves()],
        "previous": live.previous,
        "watch": {name: torch.from_numpy(array.copy()) for name, array in training.watch.arrays().items()},
        "outcome": training.outcome.state(),
        "criterion": [torch.from_numpy(criterion.weights), torch.from_numpy(criterion.scale)],
    }


def resume(training: Training, state: dict[str, Any]) -> None:
    """Bring a training that has just been set up to such a state; one before the first epoch is where it is already."""
    if not state["epoch"]:
        return
    training.epoch, training.steps = state["epoch"], state["steps"]
    training.outcome = Outcome.restore(state["outcome"], training.place)
    kept = torch.isin(training.live.seats.cpu(), state["seats"].cpu()).to(training.place)
    live = training.live = training.live.select(kept)
    live.flat.copy_(training.outcome.final[live.seats])
    for part, saved in zip(live.optimizer.memory, state["optimizer"], strict=True):
        part.copy_(saved)
    live.weighing.fill([[leaf.to(training.place) for leaf in leaves] for leaves in state["schemes"]])
    live.previous = state["previous"].to(training.place)
    *_, live.before = training.batches.of(training.epoch)
    training.watch = Watch(**{name: tensor.numpy().copy() for name, tensor in state["watch"].items()})
    training.criterion = Criterion(*(tensor.numpy() for tensor in state["criterion"]))
    training.resume_point = state_of(training)

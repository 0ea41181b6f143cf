"""A captured step is the step: without a GPU with a stand-in for its graphs, with one with the real ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from engine_cases import problem, run_spec
from typing_extensions import override

from mtl_core import engine
from mtl_core.engine import Training
from mtl_core.lanes import live as live_module
from mtl_core.lanes.captured import Replays, _apart
from mtl_core.problem import Problem
from mtl_core.schemes import SCHEMES
from mtl_core.specs import ArmSpec, RunSpec

ON_LOSSES = [name for name, scheme in SCHEMES.items() if not scheme.needs]


class StandIn(Replays):
    """Records by running and undoing; replays by running again into the memory of the first result."""

    count = 0

    @staticmethod
    @override
    def possible(live: Any) -> bool:
        return True

    @override
    def record(self, job: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        optimizer, weighing = self.live.optimizer, self.live.weighing
        kept = [optimizer.flat, optimizer.gradient, *optimizer.memory, *_tensors(self.leaves)]
        before = [part.clone() for part in kept]
        result = job()
        memory = [*_tensors(result), *_tensors(weighing.leaves())]
        for part, old in zip(kept, before, strict=True):
            part.copy_(old)

        def replay() -> None:
            StandIn.count += 1
            states = weighing.leaves()
            for old, new in zip(memory, [*_tensors(job()), *_tensors(weighing.leaves())], strict=True):
                if old is not new:
                    old.copy_(new)
            weighing.fill(states)

        return replay, result


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for item in tree:
            yield from _tensors(item)


def trained(runs: list[RunSpec], data: Problem, device: str = "cpu") -> tuple[np.ndarray, list[Any]]:
    training = Training(data, runs, device)
    values = [record.values for record in training if record is not None]
    return np.stack(values), training.results()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    monkeypatch.setattr(live_module, "Replays", StandIn)
    monkeypatch.setattr(StandIn, "count", 0)
    return StandIn


def complete() -> Problem:
    """Every label is there, and training rows are no multiple of the minibatch."""
    data = problem()
    filled = {name: np.where(np.isfinite(column), column, 0.0) for name, column in data.targets.items()}
    return dataclasses.replace(data, targets=filled)


def test_a_state_that_moves_within_its_own_memory_is_copied_first() -> None:
    old, fresh = [torch.zeros(2), torch.ones(2), torch.ones(2)], torch.full((2,), 5.0)
    kept, moved, viewed = _apart([old[0], old[0], old[1][:1]], old)
    assert kept is old[0]
    old[0].copy_(fresh)
    old[1].copy_(fresh)
    assert moved.tolist() == [0.0, 0.0]
    assert viewed.tolist() == [1.0]


@pytest.mark.parametrize("scheme", ON_LOSSES)
def test_a_captured_step_is_the_step(scheme: str, stand_in: type[StandIn], monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [run_spec(ArmSpec(scheme=name), seed=seed, epochs=4) for seed in (0, 1) for name in {"equal": None, scheme: None}]
    captured, results = trained(runs, complete())
    assert stand_in.count > 4  # two graphs a step
    monkeypatch.setattr(live_module, "Replays", Replays)
    plain, expected = trained(runs, complete())
    np.testing.assert_array_equal(captured, plain)
    assert results == expected


def test_a_step_in_which_not_all_take_part_is_made_as_always(stand_in: type[StandIn], monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing labels, a gate, a lane that runs away: the flag is down, and nothing has moved by then."""
    arms = [ArmSpec(scheme="uncertainty"), ArmSpec(scheme="dwa", gate={"threshold": 0.5}), ArmSpec(scheme="softplus")]
    runs = [run_spec(arm, seed=3, epochs=5, lr=1e200 if number == 2 else 0.01) for number, arm in enumerate(arms)]
    for data in (problem(), complete()):
        captured, results = trained(runs, data)
        with monkeypatch.context() as patch:
            patch.setattr(live_module, "Replays", Replays)
            plain, expected = trained(runs, data)
        np.testing.assert_array_equal(captured, plain)
        assert results == expected
    assert results[2].status == "diverged"
    assert stand_in.count > 0


def test_a_checkpoint_of_captured_steps_goes_on_as_if_there_had_been_none(
    stand_in: type[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BREATH_SECONDS", -1.0)  # a breath after every step
    runs = [run_spec(ArmSpec(scheme="dwa"), seed=seed, epochs=6) for seed in (0, 1)]
    whole, _ = trained(runs, complete())
    training = Training(complete(), runs, "cpu")
    records = iter(training)
    first = [record.values for record in islice((record for record in records if record is not None), 3)]
    next(records)  # a breath in the middle of the next epoch
    checkpoint = training.checkpoint()
    list(records)  # goes on: what was kept must not change with it
    assert training.checkpoint() != checkpoint
    resumed = Training(complete(), runs, "cpu", checkpoint)
    rest = [record.values for record in resumed if record is not None]
    np.testing.assert_array_equal(np.stack([*first, *rest]), whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("scheme", ON_LOSSES)
def test_lanes_on_a_gpu_are_lanes_on_a_processor(scheme: str) -> None:
    runs = [run_spec(ArmSpec(scheme=scheme), seed=seed, epochs=4) for seed in (0, 1)]
    there, _ = trained(runs, complete(), "cuda")
    here, _ = trained(runs, complete())
    np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-9)

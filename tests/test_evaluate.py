"""Evaluation: the same in pieces of any size and whichever lanes are beside; results are those of the parameters kept."""

from __future__ import annotations

import numpy as np
import pytest

from mtl_core.bench.problems import mixed_heads
from mtl_core.engine import Training
from mtl_core.lanes import evaluate as module
from mtl_core.specs import ArmSpec, DataSpec, RunSpec, SelectionSpec, TrainingSpec


def trained(epochs: int = 1) -> Training:
    """Three lanes of the benchmark's problem, in double precision, to their end."""
    training = TrainingSpec(epochs=epochs, batch_size=32, lr=1e-2, hidden=(8,), weight_decay=0.0, dtype="float64")
    arm, data = ArmSpec(scheme="equal"), DataSpec(scenario="osint")  # never read: the problem is given
    runs = [RunSpec(data=data, arm=arm, seed=seed, training=training, selection=SelectionSpec()) for seed in range(3)]
    lanes = Training(mixed_heads(96), runs, "cpu")
    for _ in lanes:
        pass
    return lanes


def test_evaluation_is_the_same_in_pieces_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = trained()
    whole = lanes.judge(lanes.outcome.final, np.arange(3), 0)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", {True: 7 * lanes.shape.widest * 2, False: 1})
    monkeypatch.setattr(module, "OUTPUTS_AT_ONCE", 96 * 22 * 2)
    for found, expected in zip(lanes.judge(lanes.outcome.final, np.arange(3), 0), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_lane_is_judged_alone_as_among_others() -> None:
    lanes = trained()
    whole = lanes.judge(lanes.outcome.final, np.arange(3), 1)
    for lane in range(3):
        alone = lanes.judge(lanes.outcome.final[[lane]], np.array([lane]), 1)
        for found, expected in zip(alone, whole, strict=True):
            np.testing.assert_allclose(found[0], expected[lane], rtol=1e-12)


def test_results_are_those_of_the_parameters_that_were_kept_even_where_two_of_them_are_one() -> None:
    lanes = trained(epochs=12)
    lanes.outcome.final[0] = lanes.outcome.best[0]
    lanes.outcome.final[1:] = lanes.outcome.best[1:] * 0.5
    results = lanes.results()
    for at, flat in (("best", lanes.outcome.best), ("final", lanes.outcome.final)):
        for split, name in enumerate(("train", "validation", "test")):
            losses, _ = lanes.judge(flat, np.arange(3), split)
            for lane, result in enumerate(results):
                found = [result.metrics[at][name][task.name]["loss"] for task in lanes.problem.tasks]
                np.testing.assert_allclose(np.array(found, dtype=float), losses[lane], rtol=1e-12)

"""Plain PyTorch files to take away: executed here, they train as the lanes do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from code_cases import ARMS, experiment, info, lanes, taken_away
from engine_cases import NAMES, column, columns, train

from mtl_core.code import plain_torch
from mtl_core.engine import Training
from mtl_core.lanes.plain import to_module


def assert_follows(trained: Any, training: Training, records: Any, lane: int) -> None:
    """Weights, validation losses, criterion, selected epoch and its parameters."""
    history = trained.history
    assert len(history) == len([record for record in records if np.isfinite(record.values[lane]).any()])
    for epoch, seen in enumerate(history):
        for split, name, mine in (("train", "weight", seen["weights"]), ("validation", "loss", seen["losses"])):
            theirs = columns(training, records, split, name)[epoch, lane]
            expected = [mine.get(task, np.nan) for task in NAMES]
            np.testing.assert_allclose(theirs, expected, rtol=1e-9, atol=1e-9, err_msg=f"{name}, epoch {epoch + 1}")
        criterion = column(training, records, "validation", "", "criterion")[epoch, lane]
        assert seen["criterion"] == pytest.approx(criterion, rel=1e-9)
    assert trained.best_epoch == training.watch.best_epoch[lane]
    best = to_module(training.outcome.best, lane, training.live.shape)
    for mine, theirs in zip(trained.model.parameters(), best.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ARMS)
def test_a_plain_file_follows_the_lane_for_more_than_thirty_steps(name: str) -> None:
    training, records = lanes()
    assert_follows(taken_away(experiment({name: ARMS[name]}), name), training, records, list(ARMS).index(name))


TRAININGS: dict[str, dict[str, Any]] = {
    "sgd": {"training": {"optimizer": "sgd", "weight_decay": 0.01}},
    "adamw": {"training": {"optimizer": "adamw", "weight_decay": 0.3}},
    "adam with decay": {"training": {"weight_decay": 0.05}},
    "small batches": {"training": {"batch_size": 5, "epochs": 3}},
    "priors": {"selection": {"weights": "priors"}},
    "some tasks": {"selection": {"weights": {"level": 2.0, "path": 1.0}}},
    "baseline": {"selection": {"scale": "baseline"}},
    "patience": {"selection": {"stop": {"patience": 1, "min_delta": 0.05}}},
    "any": {"selection": {"stop": {"on": "any", "patience": 2}}},
    "all": {"selection": {"stop": {"on": "all", "patience": 1, "min_delta": 0.1}}},
    "primary": {"selection": {"stop": {"on": "primary", "task": "drift", "patience": 1}}},
}


@pytest.mark.parametrize("name", TRAININGS)
def test_training_and_selection_are_those_of_the_comparison(name: str) -> None:
    spec = experiment({"arm": {"scheme": "softplus"}}, **TRAININGS[name])
    training, records = train(list(spec.runs().values()))
    assert_follows(taken_away(spec, "arm"), training, records, 0)


def test_domain_weights_are_those_of_the_scenario() -> None:
    spec = experiment({"arm": {"scheme": "equal"}}, selection={"weights": "domain"})
    source = plain_torch(spec, info(), "arm")
    assert '"level": 0.0' in source
    assert '"regime": 1.0' in source  # the one task here that bears the name of one there


@pytest.mark.parametrize("name", ["imtl_g", "nash_mtl", "mgda", "aligned_mtl", "config", "pcgrad", "gradnorm"])
def test_gradients_that_are_parallel_or_cancel_do_not_stop_a_plain_file(name: str) -> None:
    """Two narrow layers: batches with one label a task often have task gradients along one line."""
    spec = experiment({name: {"scheme": name}}, training={"hidden": (3, 2), "batch_size": 3, "epochs": 3, "dtype": "float32"})
    for seen in taken_away(spec, name, model=False).history:
        assert np.isfinite([*seen["weights"].values(), *seen["losses"].values()]).all()

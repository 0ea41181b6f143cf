"""The landscape as arrays: the same values as for tensors, and a Pareto front on which no step helps both losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.landscape import Arm, descend
from mtl_core.data.scenarios import load
from mtl_core.engine import Training
from mtl_core.errors import SpecError
from mtl_core.landscape import FRONT, LOWEST, STARTS, front, landscape, near_front
from mtl_core.records import Channel
from mtl_core.resolving import needs_positive, resolve
from mtl_core.schemes import SCHEMES
from mtl_core.schemes.build import build
from mtl_core.specs import ArmSpec, parse_experiment


def test_arrays_and_tensors_give_the_same_losses_and_gradients() -> None:
    points = np.random.default_rng(0).uniform(-10, 10, (4, 50, 2))
    points[0, : len(STARTS)] = STARTS
    for drawn, trained in zip(landscape(points), landscape(torch.from_numpy(points)), strict=True):
        np.testing.assert_allclose(drawn, trained.numpy(), rtol=1e-12, atol=1e-14)


def test_on_the_bottom_of_the_ridge_values_are_finite_and_the_logarithm_has_no_slope() -> None:
    x2 = 3.0
    ridge = np.array([[7 - 2 * np.tanh(x2), x2], [-7 + 2 * np.tanh(x2), x2]])
    losses, gradients = landscape(ridge)
    assert np.isfinite(losses).all()
    assert np.isfinite(gradients).all()
    assert gradients[0, 1, 0] == 0
    assert gradients[1, 0, 0] == 0


def test_on_the_front_the_gradients_are_opposite_and_the_losses_trade_off() -> None:
    points = front(101)
    losses, gradients = landscape(points)
    inner = gradients[1:-1]
    unit = inner / np.linalg.norm(inner, axis=-1, keepdims=True)
    np.testing.assert_allclose((unit[:, 0] * unit[:, 1]).sum(-1), -1, atol=1e-6)
    assert (np.diff(losses[:, 0]) < 0).all()
    assert (np.diff(losses[:, 1]) > 0).all()
    assert near_front(points).all()
    np.testing.assert_allclose(points[[0, -1], 1], FRONT[1][0], atol=1e-3)
    np.testing.assert_allclose(points[50, 1], FRONT[1][1], atol=1e-3)


def test_no_drawn_point_is_better_on_both_losses_than_a_point_of_the_front() -> None:
    anywhere, _ = landscape(np.random.default_rng(1).uniform(-12, 12, (20_000, 2)))
    best, _ = landscape(front(31))
    assert not (anywhere[:, None] < best).all(-1).any()


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("scheme", ["equal", "mgda", "cagrad"])
def test_runs_of_the_engine_go_where_the_benchmark_goes(scheme: str, clip: float) -> None:
    """The same steps by two programs: lanes of the engine, and the descent that calls the schemes itself."""
    problem = load("landscape", {"steps": 50, "drawn": 0})
    asked = {"data": {"scenario": "landscape", "steps": 50, "drawn": 0}, "arms": {"a": scheme}, "seeds": 5}
    spec = resolve(parse_experiment({**asked, "training": {"epochs": 2, "clip": clip}}), problem)
    lanes = Training(problem, list(spec.runs().values()), "cpu")
    records = [record for record in lanes if record is not None]
    columns = [lanes.channels.index(Channel("validation", "L1", name)) for name in ("x1", "x2")]
    found = descend([Arm("a", spec.arms["a"], lr=spec.training.lr or 0.0, clip=clip or None)], steps=100)
    np.testing.assert_allclose(records[-1].values[:, columns], found.points[0].numpy(), rtol=1e-6)


def test_famos_bounds_are_below_both_losses() -> None:
    points = np.stack(np.meshgrid(np.linspace(-12, 12, 200), np.linspace(-14, 12, 200)), -1)
    losses, _ = landscape(points)
    assert losses[..., 0].min() > LOWEST["L1"]
    assert losses[..., 1].min() > LOWEST["L2"]


NEEDY = {"scheme": "softadapt", "settings": {"variant": "loss_weighted"}}


@pytest.mark.parametrize("arm", [{"scheme": "uncertainty"}, {"scheme": "gls", "smooth": 0.5}, {"scheme": "famo"}, NEEDY])
def test_an_arm_that_needs_positive_losses_is_refused_before_it_trains(arm: dict[str, Any]) -> None:
    asked = parse_experiment({"data": {"scenario": "landscape"}, "arms": {"fixed": "equal", "learned": arm}})
    with pytest.raises(SpecError) as refused:
        resolve(asked, load("landscape"))
    assert str(refused.value) == (
        f'Arm "learned": {arm["scheme"]} needs positive losses, and those of landscape go below 0; choose another scheme, '
        "such as mgda."
    )


def test_a_setting_or_a_scheme_for_losses_of_any_sign_is_let_in() -> None:
    bounded = {"scheme": "famo", "settings": {"bound": {"L1": -30.0, "L2": -30.0}}}
    asked = {"bounded": bounded, "mgda": "mgda", "softadapt": "softadapt", "fixed": "equal"}
    spec = parse_experiment({"data": {"scenario": "landscape"}, "arms": asked})
    assert list(resolve(spec, load("landscape")).arms) == list(asked)


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_what_refuses_losses_below_0_is_known_without_building_the_scheme(scheme: str) -> None:
    arm = ArmSpec.model_validate({"scheme": scheme})
    assert needs_positive(arm) == build(arm, load("landscape").tasks, torch.float64).positive_losses

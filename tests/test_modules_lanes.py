"""In a person's own loop every registered scheme trains to the parameters that its lane ends with, to rounding."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from engine_cases import TASKS, plain_net, problem, run_spec, train
from reference import Net, prepared, task_loss
from torch import Tensor

from mtl_core.engine import Training
from mtl_core.lanes.plain import to_module
from mtl_core.lanes.rng import batch_order
from mtl_core.modules import MultiTaskLoss
from mtl_core.schemes import SCHEMES
from mtl_core.specs import ArmSpec, RunSpec

EPOCHS = 5  # of six steps
HIDDEN = (16, 12)  # so many that no two task gradients are parallel: there a solver makes much of the last digits
GATE = {"mode": "hard", "threshold": 0.2, "scope": "batch"}
SOFT = {"mode": "soft", "threshold": 0.3, "scope": "batch", "sharpness": 7.0}
OPTIONS: dict[str, dict[str, Any]] = {
    "last layer": {"gradients": "last_layer"},
    "representation": {"gradients": "representation"},
    "weighted heads": {"head_gradients": "weighted"},
    "sum": {"weight_sum": 2.0},
    "hard gate": {"gate": GATE},
    "all": {"gate": SOFT, "smooth": 0.5, "every": 3, "weight_sum": 1.0},
}
WITH_OPTIONS = [name for name in ("mgda", "imtl_g", "pcgrad") if name in SCHEMES]
UNWEIGHTED = {
    "uncertainty unweighted heads": ArmSpec(scheme="uncertainty", head_gradients="unweighted"),
    "softplus unweighted heads all": ArmSpec(scheme="softplus", head_gradients="unweighted", **OPTIONS["all"]),
}
ARMS = (
    {name: ArmSpec(scheme=name) for name in SCHEMES}
    | {f"{name} all": ArmSpec(scheme=name, **OPTIONS["all"]) for name, cls in SCHEMES.items() if cls.needs}
    | {f"{name} {option}": ArmSpec(scheme=name, **more) for name in WITH_OPTIONS for option, more in OPTIONS.items()}
    | UNWEIGHTED
)


@functools.cache
def runs() -> dict[str, RunSpec]:
    """One lane an arm."""
    return {
        name: run_spec(arm, seed=2 + number % 3, epochs=EPOCHS, hidden=HIDDEN) for number, (name, arm) in enumerate(ARMS.items())
    }


@functools.cache
def together() -> Training:
    """All of them as lanes of one batch, trained to the end."""
    return train(list(runs().values()))[0]


def trunk_of(net: Net, x: Tensor) -> Tensor:
    for layer in net.trunk:
        x = torch.relu(layer(x))
    return x


def losses_of(net: Net, shared: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor | None]:
    return {task.name: task_loss(task, head(shared), targets[task.name]) for task, head in zip(TASKS, net.heads, strict=True)}


def criterion_for(arm: ArmSpec, net: Net, seed: int) -> MultiTaskLoss:
    wrappers = arm.model_dump(exclude={"scheme", "settings", "preset", "gradients", "tasks"})
    known: dict[str, Any] = {"lr": 0.01, "steps_per_epoch": 6, "labelled": problem().availability(0), "dtype": torch.float64}
    return MultiTaskLoss(TASKS, arm.scheme, arm.settings, seed=seed, parameters=net.trunk, **known, **wrappers)


def trained(arm: ArmSpec, seed: int) -> tuple[Net, MultiTaskLoss]:
    """A loop as a person writes it; what it knows of the arm is where gradients are taken."""
    net = plain_net(problem(), seed, HIDDEN)
    criterion = criterion_for(arm, net, seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    x, y = prepared(problem(), 0)
    for epoch in range(1, EPOCHS + 1):
        for rows in batch_order(seed, epoch, len(x)).split(12):
            targets = {name: target[rows] for name, target in y.items()}
            optimizer.zero_grad()
            shared = trunk_of(net, x[rows])
            where: dict[str, Any] = {"shared": net.trunk.parameters()}
            if arm.gradients == "last_layer":
                where = {"shared": net.trunk[-1].parameters()}
            elif arm.gradients == "representation":
                where = {"representation": shared}
            shares = {name: float(torch.isfinite(target).double().mean()) for name, target in targets.items()}
            criterion.backward(losses_of(net, shared, targets), availability=shares, **where)
            optimizer.step()
            with torch.no_grad():
                criterion.revisit(losses_of(net, trunk_of(net, x[rows]), targets))
    return net, criterion


@pytest.mark.parametrize("name", ARMS)
def test_an_exported_loss_trains_like_a_lane(name: str) -> None:
    training, lane = together(), list(runs()).index(name)
    net, criterion = trained(ARMS[name], runs()[name].seed)
    assert criterion.skipped == int(training.outcome.skipped[lane])
    final = to_module(training.outcome.final, lane, training.live.shape)
    for mine, theirs in zip(net.parameters(), final.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_the_arms_here_really_differ() -> None:
    last = together().outcome.final
    apart = (last.unsqueeze(0) - last.unsqueeze(1)).abs().amax(-1)
    names = list(ARMS)
    same = {frozenset((names[i], names[j])) for i, j in (apart < 1e-9).nonzero().tolist() if i != j}
    assert same <= {frozenset(("scale_invariant", "uw_o"))}, "the one pair that agrees by definition"

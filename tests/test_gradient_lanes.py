"""Lanes whose scheme asks for gradients, or for a second look at a batch, follow a plain loop that takes them by autograd.

The weights come from the scheme itself, asked without lanes; what is under test is everything around it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from engine_cases import EPOCHS, NAMES, column, columns, plain_net, problem, run_spec, train
from reference import optimizer_for, prepared, task_loss
from torch import Tensor

from mtl_core.engine import Training
from mtl_core.errors import SpecError
from mtl_core.lanes.rng import batch_order
from mtl_core.problem import Problem
from mtl_core.resolving import resolve
from mtl_core.schemes import SCHEMES, Setup, Signals, takes_gradients
from mtl_core.schemes.build import build
from mtl_core.specs import ArmSpec, RunSpec, TaskSpec, parse_experiment

OPTIONS: dict[str, dict[str, Any]] = {
    "last layer": {"gradients": "last_layer"},
    "representation": {"gradients": "representation"},
    "weighted heads": {"head_gradients": "weighted"},
    "sum of one": {"weight_sum": 1.0},
    "hard gate": {"gate": {"mode": "hard", "threshold": 0.2, "scope": "batch"}},
    "all": {"gate": {"mode": "soft", "threshold": 0.3, "scope": "batch", "sharpness": 7.0}, "smooth": 0.5, "every": 3},
}


def _arms() -> dict[str, ArmSpec]:
    bare = {name: ArmSpec(scheme=name) for name, cls in SCHEMES.items() if cls.needs}
    options = {f"{s} {n}": ArmSpec(scheme=s, **more) for s in ("mgda", "imtl_g") for n, more in OPTIONS.items()}
    rest = {
        "equal unweighted heads": ArmSpec(scheme="equal", head_gradients="unweighted"),
        "famo gated": ArmSpec(scheme="famo", **OPTIONS["hard gate"]),
        "famo all": ArmSpec(scheme="famo", **OPTIONS["all"]),
        "db_mtl all": ArmSpec(scheme="db_mtl", **OPTIONS["all"]),
        "graddrop hard gate": ArmSpec(scheme="graddrop", **OPTIONS["hard gate"]),
    }
    return bare | options | rest


ARMS = _arms()


@functools.cache
def runs() -> dict[str, RunSpec]:
    """One lane an arm; wide enough that no two task gradients are parallel, which would magnify rounding."""
    return {
        name: run_spec(arm, seed=3 + number % 3, hidden=(16, 12), lr=(0.003, 0.01)[number % 2])
        for number, (name, arm) in enumerate(ARMS.items())
    }


@functools.cache
def together() -> Any:
    """All of them as lanes of one batch."""
    return train(list(runs().values()))


class Loop:
    """One run, one model, one `torch.autograd.grad` a task."""

    def __init__(self, spec: RunSpec, data: Problem) -> None:
        self.arm, self.tasks, training = spec.arm, data.tasks, spec.training
        assert training.lr is not None
        assert training.batch_size is not None
        self.net = plain_net(data, spec.seed, training.hidden or ())
        self.trunk = list(self.net.trunk.parameters())
        self.optimizer = optimizer_for(self.net, training.optimizer, training.lr, 0.0)
        self.scheme = build(spec.arm, data.tasks, dtype=torch.float64)
        labelled = torch.tensor(list(data.availability(0).values()), dtype=torch.float64)
        lr, seed = torch.tensor([training.lr], dtype=torch.float64), torch.tensor([spec.seed])
        parameters = sum(part.numel() for part in self.trunk)
        self.state = self.scheme.init(
            Setup(data.tasks, (), lr, -(-data.rows(0) // training.batch_size), labelled, seed, parameters)
        )
        self.batch: Any = None  # the last one
        self.weights: list[np.ndarray] = []
        x, targets = prepared(data, 0)
        for epoch in range(1, (training.epochs or 0) + 1):
            batches = batch_order(spec.seed, epoch, data.rows(0)).split(training.batch_size)
            steps = [self._step(x[rows], {name: target[rows] for name, target in targets.items()}) for rows in batches]
            self.weights.append(np.mean(steps, 0))

    def _losses(self, hidden: Tensor, targets: dict[str, Tensor]) -> list[Tensor | None]:
        heads = zip(self.tasks, self.net.heads, strict=True)
        return [task_loss(task, head(hidden), targets[task.name]) for task, head in heads]

    def _hidden(self, x: Tensor) -> Tensor:
        for layer in self.net.trunk:
            x = torch.relu(layer(x))
        return x

    def _row(self, loss: Tensor | None, of: list[Tensor]) -> Tensor:
        size = sum(part.numel() for part in of)
        if loss is None:
            return torch.zeros(size, dtype=torch.float64)
        found = torch.autograd.grad(loss, of, retain_graph=True)
        return torch.cat([part.reshape(-1) for part in found])

    def _signals(self, losses: list[Tensor | None], hidden: Tensor, targets: dict[str, Tensor]) -> Signals:
        values = torch.tensor([torch.nan if loss is None else loss.item() for loss in losses], dtype=torch.float64)
        shares = torch.tensor([float(torch.isfinite(targets[n]).double().mean()) for n in NAMES], dtype=torch.float64)
        signals = Signals(values.nan_to_num(), ~values.isnan(), shares)
        if "revisited" in self.scheme.needs:
            signals = signals._replace(previous=self._before(0), revisited=self._before(1))
        if not takes_gradients(self.scheme):
            return signals
        asked = {"shared": self.trunk, "last_layer": self.trunk[-2:], "representation": [hidden]}[self.arm.gradients or "shared"]
        jacobian = torch.stack([self._row(loss, asked) for loss in losses])
        if "jacobian" in self.scheme.needs:
            return signals._replace(jacobian=jacobian)
        return signals._replace(gramian=jacobian @ jacobian.mT)

    def _before(self, which: int) -> Tensor:
        if self.batch is None:
            return torch.full((len(NAMES),), torch.nan, dtype=torch.float64)
        x, targets, then = self.batch
        now = [torch.nan if loss is None else loss.item() for loss in self._losses(self._hidden(x), targets)]
        return then if which == 0 else torch.tensor(now, dtype=torch.float64)

    def _step(self, x: Tensor, targets: dict[str, Tensor]) -> np.ndarray:
        hidden = self._hidden(x)
        losses = self._losses(hidden, targets)
        signals = self._signals(losses, hidden, targets)
        direction, weights, self.state = self.scheme.direct(self.state, signals)
        self.batch = (x, targets, torch.where(signals.available, signals.losses, torch.nan))
        gate = self.scheme.report(self.state).get("gate", torch.ones_like(weights))
        taking = signals.available & (gate > 0)
        if bool(taking.any()):
            self._move(losses, direction, weights, gate, taking)
        return weights.numpy()

    def _move(self, losses: list[Tensor | None], direction: Tensor | None, weights: Tensor, gate: Tensor, taking: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        if direction is None:
            rows = [w * self._row(loss, self.trunk) for w, loss in zip(weights, losses, strict=True)]
            direction = torch.stack(rows).sum(0)
        for parameter, part in zip(self.trunk, direction.split([p.numel() for p in self.trunk]), strict=True):
            parameter.grad = part.reshape(parameter.shape).clone()
        factors = gate if self.arm.head_gradients == "unweighted" else weights
        for head, loss, factor, takes in zip(self.net.heads, losses, factors, taking, strict=True):
            if takes and loss is not None:
                parts = list(head.parameters())
                for parameter, found in zip(parts, torch.autograd.grad(loss, parts, retain_graph=True), strict=True):
                    parameter.grad = factor * found
        self.optimizer.step()

    def judge(self, data: Problem) -> list[float]:
        x, targets = prepared(data, 1)
        return [np.nan if loss is None else loss.item() for loss in self._losses(self._hidden(x), targets)]


@pytest.mark.parametrize("name", ARMS)
def test_a_lane_with_gradients_follows_the_plain_loop(name: str) -> None:
    training, records = together()
    lane = list(runs()).index(name)
    loop = Loop(runs()[name], problem())
    weights = columns(training, records, "train", "weight")[:, lane]
    np.testing.assert_allclose(weights, np.stack(loop.weights), rtol=1e-9, atol=1e-11)
    losses = columns(training, records, "validation", "loss")[-1, lane]
    np.testing.assert_allclose(losses, loop.judge(problem()), rtol=1e-9)
    assert len(records) == EPOCHS


def test_which_gradients_are_taken_makes_a_difference() -> None:
    training, records = together()
    weights = columns(training, records, "train", "weight")[-1]
    places = [list(runs()).index(name) for name in ("mgda last layer", "mgda representation")]
    assert not np.allclose(weights[places[0]], weights[places[1]])


def test_lanes_with_gradients_do_not_disturb_those_without() -> None:
    """A mixed batch gives every lane what it gets alone."""
    names = ["mgda", "mgda last layer", "famo", "db_mtl", "equal unweighted heads"]
    training, records = together()
    for name in names:
        alone, alone_records = train([runs()[name]])
        lane = list(runs()).index(name)
        for split in ("train", "validation"):
            whole = columns(training, records, split, "loss")[:, lane]
            np.testing.assert_allclose(columns(alone, alone_records, split, "loss")[:, 0], whole, rtol=1e-9)


def test_an_interrupted_run_goes_on_bit_for_bit() -> None:
    """Also FAMO's memory of the last batch, tracked gradients, and the weights a task had last."""
    specs = [runs()[name] for name in ("mgda", "famo", "db_mtl", "moco", "gradnorm", "pcgrad", "equal unweighted heads")]
    whole, records = train(specs)
    first = Training(problem(), specs, device="cpu")
    steps = (record for record in first if record is not None)
    for _ in range(EPOCHS // 2):
        next(steps)
    second, rest = train(specs, checkpoint=first.checkpoint())
    last = np.stack([record.values for record in rest])
    np.testing.assert_array_equal(last, np.stack([record.values for record in records[EPOCHS // 2 :]]))
    assert second.results() == whole.results()


def test_a_scheme_on_gradients_keeps_its_last_weights_on_validation() -> None:
    training, records = together()
    lane = list(runs()).index("mgda")
    weights = columns(training, records, "validation", "weight")[:, lane]
    assert (weights >= 0).all()
    assert (weights.sum(-1) > 0).all()


def test_a_scheme_on_gradients_has_no_objective_that_could_choose_an_epoch() -> None:
    training, records = together()
    results = training.results()
    for lane, run in enumerate(runs().values()):
        minimises = run.arm.gradients is None
        assert (results[lane].counterfactual_epoch is not None) == minimises
        for split in ("train", "validation"):
            assert np.isfinite(column(training, records, split, "", "learned_total")[:, lane]).all() == minimises


def test_a_task_whose_gradient_overflows_is_left_out() -> None:
    """The loss is finite, its gradient's square is not: the task is absent, the others go on."""
    whole = problem()
    kept = tuple(task for task in whole.tasks if task.name in ("level", "regime", "events"))
    burst = TaskSpec(name="burst", kind="regression", loss="l1", scaled=False)
    values = whole.targets["drift"].copy()
    targets = {task.name: whole.targets[task.name] for task in kept} | {"burst": values}
    data = Problem("bursts", whole.features * 1.0, targets, (*kept, burst), whole.split, whole.feature_names)
    training = Training(data, [run_spec(ArmSpec(scheme=name), epochs=1) for name in ("imtl_g", "equal")], device="cpu")
    place = [int(seat) for seat in training.live.seats].index(0)
    head = training.live.model.heads.blocks[0][:, sum(task.outputs for task in kept) :, :-1].mT
    head[place] = 1e200  # its gradient in the trunk is as large; the L1 loss of 1e200 is still finite
    batch = next(iter(training.batches.of(1)))
    step = training.live.step(batch)
    assert not step.signals.available[place, -1]
    assert step.weighed.weights[place, -1] == 0
    assert step.weighed.weights[place].abs().sum() > 0
    assert torch.isfinite(training.live.flat).all()
    assert step.signals.available[1 - place, -1], "the lane beside it sees the task"


def test_gradients_need_shared_parameters() -> None:
    spec = parse_experiment({"data": {"scenario": "osint"}, "arms": {"a": "mgda"}, "training": {"hidden": []}})
    with pytest.raises(SpecError, match="mgda weighs the gradients of shared parameters"):
        resolve(spec, problem())


@pytest.mark.parametrize(
    ("arm", "sentence"),
    [
        ({"scheme": "dwa", "gradients": "shared"}, "dwa looks at losses only"),
        ({"scheme": "moco", "gradients": "representation"}, "moco takes the gradients of all shared parameters"),
        ({"scheme": "mgda", "gradients": "heads"}, "gradients"),
        ({"scheme": "mgda", "weight_sum": 0}, "weight_sum"),
        ({"scheme": "mgda", "head_gradients": "some"}, "head_gradients"),
    ],
)
def test_an_arms_options_on_gradients_are_checked(arm: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        parse_experiment({"data": {"scenario": "osint"}, "arms": {"a": arm}})


def test_defaults_are_spelled_out_in_the_spec() -> None:
    assert ArmSpec(scheme="gradnorm").gradients == "last_layer"
    assert ArmSpec(scheme="mgda").gradients == "shared"
    assert ArmSpec(scheme="mgda").head_gradients == "unweighted"
    assert ArmSpec(scheme="gradnorm").head_gradients == "weighted"
    assert ArmSpec(scheme="dwa").gradients is None
    assert ArmSpec(scheme="dwa").head_gradients == "weighted"

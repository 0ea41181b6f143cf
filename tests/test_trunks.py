"""Every trunk, head and schedule as lanes follows a plain PyTorch loop over plain modules, on the same batches."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_cases import columns, train
from reference import Run, Weighting, prepared
from torch import Tensor, nn

import mtl_core
from mtl_core.engine import Training
from mtl_core.errors import SpecError
from mtl_core.lanes.models import Model, init_parameters
from mtl_core.lanes.plain import PlainModel, from_module, to_module
from mtl_core.lanes.rng import batch_order, generator
from mtl_core.own import make_known
from mtl_core.problem import Problem
from mtl_core.shapes import shape_of
from mtl_core.specs import ArmSpec, DataSpec, PhaseSpec, RunSpec, SelectionSpec, TaskSpec, TrainingSpec

ROWS, BATCH = (30, 10, 10), 8  # four steps an epoch, the last of them with six rows
EPOCHS = 13


def images(*, two: bool = True, maps: bool = True) -> Problem:
    """Images of 2 x 8 x 6, or sequences of 2 x 12, with holes in the labels."""
    rng = np.random.default_rng(5)
    rows, size = sum(ROWS), (2, 8, 6) if two else (2, 12)
    x = rng.normal(size=(rows, int(np.prod(size)))) * 3 + np.repeat([5.0, -40.0], int(np.prod(size)) // 2)
    flat = np.tanh(x - x.mean(0))
    tasks = [TaskSpec(name="level", kind="regression"), TaskSpec(name="sort", kind="multiclass", classes=("a", "b", "c"))]
    y = {"level": 7 * flat[:, :3].sum(1, keepdims=True), "sort": np.digitize(flat[:, 3:4], [-0.4, 0.4]) * 1.0}
    if maps:
        tasks += [
            TaskSpec(name="classes", kind="segmentation", grid=(8, 6), classes=("a", "b", "c")),
            TaskSpec(name="depth", kind="dense_regression", grid=(4, 6), width=2 * 24, scaled=False),
            TaskSpec(name="notes", kind="detection", grid=(4, 3), classes=("p", "q"), box_weight=2.0, class_weight=0.5),
        ]
        y["classes"] = np.digitize(flat[:, :48], [-0.3, 0.3]) * 1.0
        y["depth"] = np.concatenate([flat[:, 48:72], flat[:, :24]], 1)
        cells = np.zeros((rows, 12, 6))
        there = rng.random((rows, 12)) < 0.2
        cells[there] = np.column_stack(
            [np.ones(there.sum()), rng.uniform(0.1, 0.9, (there.sum(), 4)), rng.integers(0, 2, there.sum())]
        )
        y["notes"] = cells.reshape(rows, -1)
    for name, values in y.items():
        values[rng.random(rows) < 0.25] = np.nan
        if name in ("classes", "depth"):
            values[rng.random(values.shape) < 0.1] = np.nan
    split = np.repeat([0, 1, 2], ROWS).astype(np.int8)
    return Problem("images", x, y, tuple(tasks), split, tuple(f"p{n}" for n in range(x.shape[1])), input_shape=size)


def run_spec(arm: Any = "equal", seed: int = 0, **training: Any) -> RunSpec:
    chosen = {"epochs": EPOCHS, "batch_size": BATCH, "lr": 0.01, "hidden": (), "weight_decay": 0.0, "dtype": "float64"}
    if "phases" in training:
        chosen.pop("epochs")
    return RunSpec(
        data=DataSpec(scenario="osint"),
        arm=ArmSpec.model_validate(arm),
        seed=seed,
        training=TrainingSpec.model_validate(chosen | training),
        selection=SelectionSpec(),
    )


# --- plain models, written down layer by layer ---------------------------------------------------------------------------


class Plain(nn.Module):
    """A trunk of plain layers; dropout by factors that are handed in; heads at each place of a map put together by hand."""

    def __init__(self, trunk: list[nn.Module], heads: list[nn.Module], data: Problem) -> None:
        super().__init__()
        self.trunk, self.heads = nn.ModuleList(trunk), nn.ModuleList(heads)
        self.data, self.tasks = data, data.tasks
        self.keep: list[Tensor] = []  # factors of dropout, a layer each

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        masks = iter(self.keep)
        x = x.reshape(len(x), *self.data.input_shape)
        for layer in self.trunk:
            if isinstance(layer, nn.Dropout | nn.Dropout1d | nn.Dropout2d):
                mask = next(masks, None)
                x = x if mask is None else x * mask.reshape(*mask.shape, *(1,) * (x.dim() - 2))
            else:
                x = layer(x)
        return {task.name: self._output(task, head, x) for task, head in zip(self.data.tasks, self.heads, strict=True)}

    @staticmethod
    def _output(task: TaskSpec, head: nn.Module, x: Tensor) -> Tensor:
        if x.dim() == 2:
            return head(x)
        rows, space = len(x), x.shape[2:]
        if not task.grid:
            return torch.stack([head(place) for place in x.flatten(2).unbind(2)]).mean(0)
        out = torch.zeros(rows, *task.grid, task.outputs_a_place, dtype=x.dtype)
        down, right = (fine // coarse for fine, coarse in zip(task.grid, space, strict=True))
        for i in range(space[0]):
            for j in range(space[1]):
                cell = head(x[:, :, i, j]).reshape(rows, down, right, task.outputs_a_place)
                out[:, i * down : (i + 1) * down, j * right : (j + 1) * right] = cell
        return out.flatten(1)


Case = tuple[Problem, dict[str, Any], list[Any]]


def _cases() -> dict[str, Case]:
    """By name: problem, training, the trunk's layers."""
    maps, image, sequence = images(), images(maps=False), images(two=False, maps=False)
    conv = {"trunk": "conv", "channels": (6, 5), "strides": (2, 1)}
    two = lambda *norm: [nn.Conv2d(2, 6, 3, 2, 1), *norm[:1], nn.ReLU(), nn.Conv2d(6, 5, 3, 1, 1), *norm[1:], nn.ReLU()]  # noqa: E731
    return {
        "map": (maps, conv, two()),
        "map with norm": (maps, conv | {"layer_norm": True}, two(nn.GroupNorm(1, 6), nn.GroupNorm(1, 5))),
        "map with hidden heads": (maps, conv | {"head_hidden": 7}, two()),
        "coarse map": (
            maps,
            {"trunk": "conv", "channels": (4,), "strides": (2,), "kernel": 5, "clip": 0.3},
            [nn.Conv2d(2, 4, 5, 2, 2), nn.ReLU()],
        ),
        "map with dropout": (
            maps,
            {"trunk": "conv", "channels": (6,), "strides": (2,), "dropout": 0.3},
            [nn.Conv2d(2, 6, 3, 2, 1), nn.ReLU(), nn.Dropout2d(0.3)],
        ),
        "image to a vector": (
            image,
            conv | {"hidden": (7,), "layer_norm": True},
            [*two(nn.GroupNorm(1, 6), nn.GroupNorm(1, 5)), nn.Flatten(), nn.Linear(5 * 4 * 3, 7), nn.LayerNorm(7), nn.ReLU()],
        ),
        "sequence to a vector": (
            sequence,
            {"trunk": "conv", "channels": (4, 3), "strides": (1, 2), "hidden": (7,), "dropout": 0.2},
            [
                *[nn.Conv1d(2, 4, 3, 1, 1), nn.ReLU(), nn.Dropout1d(0.2), nn.Conv1d(4, 3, 3, 2, 1), nn.ReLU(), nn.Dropout1d(0.2)],
                *[nn.Flatten(), nn.Linear(18, 7), nn.ReLU(), nn.Dropout(0.2)],
            ],
        ),
        "pooled sequence": (
            sequence,
            {"trunk": "conv", "channels": (4,), "strides": (2,)},
            [nn.Conv1d(2, 4, 3, 2, 1), nn.ReLU()],
        ),
        "mlp with norm": (
            sequence,
            {"hidden": (8, 6), "layer_norm": True, "clip": 0.5},
            [nn.Flatten(), nn.Linear(24, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 6), nn.LayerNorm(6), nn.ReLU()],
        ),
        "mlp with dropout and hidden heads": (
            sequence,
            {"hidden": (8, 6), "dropout": 0.25, "head_hidden": 5},
            [nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, 6), nn.ReLU(), nn.Dropout(0.25)],
        ),
        "mlp straight to maps": (maps, {"hidden": (8,)}, [nn.Flatten(), nn.Linear(96, 8), nn.ReLU()]),
    }


CASES = _cases()


def plain_model(case: Case, spec: RunSpec) -> Plain:
    """The layers with a lane's initial values."""
    data, _, layers = case
    shape = shape_of(data, spec.training)
    given = to_module(init_parameters(shape, [spec.seed], torch.float64), 0, shape)
    heads: list[nn.Module] = []
    for task in data.tasks:
        out = task.outputs // shape.places if task.grid else task.outputs
        hidden = [nn.Linear(shape.width, shape.head_hidden), nn.ReLU()] if shape.head_hidden else []
        heads.append(nn.Sequential(*hidden, nn.Linear(shape.head_hidden or shape.width, out)))
    model = Plain([type(layer)(*_made_of(layer)) for layer in layers], heads, data).double()
    with torch.no_grad():
        for mine, theirs in zip(model.parameters(), given.parameters(), strict=True):
            mine.copy_(theirs)
    return model


def _made_of(layer: nn.Module) -> tuple[Any, ...]:
    """A new one of its kind: no two runs may share a layer."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        return layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], layer.padding[0]
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, nn.GroupNorm):
        return layer.num_groups, layer.num_channels
    return (layer.normalized_shape,) if isinstance(layer, nn.LayerNorm) else ()


class Loop(Run):
    """A plain run by phases: who is active, what requires a gradient, which learning rates, what starts anew."""

    active: frozenset[str] | None = None
    clip = 0.0
    net: Plain
    kept_before: list[Tensor]  # factors of dropout of the last step

    def second_look(self) -> Any:
        """At the last batch, with what dropout dropped then."""
        now, self.net.keep = self.net.keep, getattr(self, "kept_before", [])
        found = super().second_look()
        self.net.keep = self.kept_before = now
        return found

    def found(self, x: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        losses = super().found(x, targets)
        return {name: loss for name, loss in losses.items() if self.active is None or name in self.active}

    def step(self, x: Tensor, targets: Mapping[str, Tensor]) -> None:
        known = {n: t if self.active is None or n in self.active else t * torch.nan for n, t in targets.items()}
        if not self.clip:
            return super().step(x, known)
        inner, self.optimizer = self.optimizer, _Clipped(self.optimizer, self.net, self.clip)  # type: ignore[assignment]
        super().step(x, known)
        self.optimizer = inner
        return None


class _Clipped:
    """An optimizer whose step first does what people write before it."""

    def __init__(self, optimizer: Any, net: nn.Module, clip: float) -> None:
        self.optimizer, self.net, self.clip = optimizer, net, clip
        self.zero_grad = optimizer.zero_grad

    def step(self) -> None:
        nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimizer.step()


def follow(case: Case, spec: RunSpec) -> tuple[list[dict[str, float]], list[dict[str, float]], Plain]:
    """(validation losses, mean weights) of every epoch of a plain loop, and its model."""
    data, training = case[0], spec.training
    shape = shape_of(data, training)
    net = plain_model(case, spec)
    steps = -(-data.rows(0) // BATCH)
    weighting = functools.partial(Weighting, spec.arm, data.tasks, steps_per_epoch=steps, labelled=data.availability(0))
    run = Loop(net, weighting(lr=training.lr), None)  # type: ignore[arg-type]
    run.clip = training.clip or 0.0
    phases = training.phases or (PhaseSpec(epochs=training.epochs or 1),)
    x, targets = prepared(data, 0)
    validation, weights, epoch = [], [], 0
    for number, phase in enumerate(phases):
        _enter(run, net, phase, data, training.lr or 0.0, first=number == 0)
        if number and "weights" in phase.reset:
            run.weighting = weighting(lr=phase.lr or training.lr)
        for _ in range(phase.epochs):
            epoch += 1
            run.weights = []
            for place, rows in enumerate(batch_order(spec.seed, epoch, len(x)).split(BATCH)):
                net.keep = _masks(spec.seed, (epoch - 1) * steps + place, len(rows), shape)
                run.step(x[rows], {name: target[rows] for name, target in targets.items()})
            net.keep = []
            active, run.active = run.active, None
            validation.append(run.judge(*prepared(data, 1)))
            run.active = active
            weights.append({t.name: sum(w.get(t.name, 0.0) for w in run.weights) / len(run.weights) for t in data.tasks})
    return validation, weights, net


def _enter(run: Loop, net: Plain, phase: PhaseSpec, data: Problem, lr: float, *, first: bool) -> None:
    names = [task.name for task in data.tasks]
    run.active = None if phase.tasks is None else frozenset(phase.tasks)
    net.trunk.requires_grad_("trunk" not in phase.frozen)
    for name, head in zip(names, net.heads, strict=True):
        head.requires_grad_(name not in phase.frozen)
    if first or "optimizer" in phase.reset:
        run.optimizer = torch.optim.Adam([{"params": net.trunk.parameters()}, {"params": net.heads.parameters()}], lr=lr)
    trunk, heads = run.optimizer.param_groups
    trunk["lr"], heads["lr"] = phase.trunk_lr or phase.lr or lr, phase.lr or lr


def _masks(seed: int, step: int, rows: int, shape: Any) -> list[Tensor]:
    if not shape.dropout:
        return []
    draw = torch.rand(rows, sum(shape.kept), generator=generator(seed, "dropout", step))
    return list(((draw >= shape.dropout).double() / (1 - shape.dropout)).split(shape.kept, 1))


def holds(case: Case, spec: RunSpec, lane: int, training: Training, records: Any) -> None:
    """Weights and validation losses of every epoch are the plain loop's."""
    validation, weights, _ = follow(case, spec)
    names = [task.name for task in case[0].tasks]
    seen = columns(training, records, "validation", "loss")[:, lane]
    np.testing.assert_allclose(seen, [[epoch[name] for name in names] for epoch in validation], rtol=1e-9)
    given = columns(training, records, "train", "weight")[:, lane]
    np.testing.assert_allclose(given, [[epoch[name] for name in names] for epoch in weights], rtol=1e-9, atol=1e-12)


# --- the twins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_lanes_of_every_trunk_follow_a_plain_loop_for_more_than_fifty_steps(name: str) -> None:
    data, training, _ = case = CASES[name]
    arms: list[Any] = ["equal", {"scheme": "uncertainty", "settings": {"lr_factor": 5.0}}, "famo"]
    specs = [run_spec(arm, seed=n % 2, lr=(0.01, 0.004)[n // 2], **training) for n, arm in enumerate(arms)]
    lanes, records = train(specs, data)
    assert lanes.results()[0].steps == 52
    for lane, spec in enumerate(specs):
        holds(case, spec, lane, lanes, records)


PHASES = (
    {"name": "heads", "epochs": 4, "frozen": ["trunk"], "tasks": ["notes", "classes"], "lr": 0.02},
    {"name": "all", "epochs": 6, "lr": 0.004, "trunk_lr": 0.001, "reset": ["weights", "optimizer"], "frozen": ["classes"]},
    {"name": "fine", "epochs": 3, "tasks": ["level", "notes"], "trunk_lr": 0.002},
)


@pytest.mark.parametrize("scheme", ["equal", "uncertainty", "dwa"])
def test_a_training_in_phases_follows_a_plain_loop_in_phases(scheme: str) -> None:
    case = CASES["map with hidden heads"]
    specs = [run_spec(scheme, seed=seed, phases=PHASES, **case[1]) for seed in (0, 1)]
    lanes, records = train(specs, case[0])
    assert len(records) == EPOCHS
    for lane, spec in enumerate(specs):
        holds(case, spec, lane, lanes, records)


@pytest.mark.parametrize("name", ["map", "mlp with dropout and hidden heads", "image to a vector"])
def test_a_frozen_trunk_does_not_move_by_a_single_bit(name: str) -> None:
    """Not by weight decay, not by momentum left over, whatever the scheme."""
    data, training, _ = CASES[name]
    phases = ({"epochs": 2}, {"epochs": 3, "frozen": ["trunk"]}, {"epochs": 1})
    schemes = ["equal", "uncertainty", "pcgrad", "mgda", "famo", "moco"]
    specs = [run_spec(s, optimizer="adamw", phases=phases, **training | {"weight_decay": 0.1}) for s in schemes]
    lanes = Training(data, specs, "cpu")
    kept = [lanes.live.flat[lanes.live.seats.argsort()].clone()]
    kept += [lanes.outcome.final.clone() for record in lanes if record is not None]
    trunk = lanes.shape.trunk_parameters
    steps = list(itertools.pairwise(kept))
    assert [bool((before[:, :trunk] == after[:, :trunk]).all()) for before, after in steps] == [
        False,
        False,
        True,
        True,
        True,
        False,
    ]
    assert all(bool((before[:, :trunk] != after[:, :trunk]).any(1).all()) for before, after in (steps[0], steps[1], steps[5]))
    assert all(bool((before[:, trunk:] != after[:, trunk:]).any(1).all()) for before, after in steps)


def test_a_head_that_is_not_active_does_not_move_and_its_task_has_no_weight() -> None:
    case = CASES["map"]
    phases = ({"epochs": 2, "tasks": ["notes"]}, {"epochs": 2})
    training, records = train([run_spec("uncertainty", phases=phases, **case[1])], case[0])
    weights = columns(training, records, "train", "weight")[:, 0]
    active = np.array([name == "notes" for name in (task.name for task in case[0].tasks)])
    assert (weights[:2, ~active] == 0).all()
    assert (weights[:2, active] != 0).all()
    assert (weights[2:] != 0).all()


def test_phases_resume_bit_for_bit() -> None:
    case = CASES["map with dropout"]
    specs = [run_spec(scheme, phases=PHASES, **case[1]) for scheme in ("uncertainty", "famo")]
    whole, records = train(specs, case[0])
    for stop in (3, 4, 7, 10):
        part = Training(case[0], specs, "cpu")
        for record in part:
            if record is not None and record.epoch == stop:
                break
        rest, after = train(specs, case[0], checkpoint=part.checkpoint())
        np.testing.assert_array_equal([r.values for r in after], [r.values for r in records[stop:]])
        assert torch.equal(rest.live.flat, whole.live.flat)


def test_early_stopping_and_the_learned_epoch_wait_for_the_last_phase() -> None:
    case = CASES["map"]
    spec = run_spec("uncertainty", phases=({"epochs": 8, "lr": 1e-9}, {"epochs": 30, "lr": 1e-9}), **case[1])
    spec = spec.model_copy(update={"selection": SelectionSpec.model_validate({"stop": {"patience": 3, "min_delta": 0.5}})})
    training, records = train([spec], case[0])
    assert len(records) == 8 + 3
    assert (training.results()[0].counterfactual_epoch or 0) > 8


# --- laws ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["map with dropout", "image to a vector", "mlp with norm"])
def test_a_lane_is_the_same_alone_and_among_others(name: str) -> None:
    data, training, _ = CASES[name]
    arms = [
        "equal",
        "uncertainty",
        "pcgrad",
        {"scheme": "mgda", "gradients": "last_layer"},
        {"scheme": "equal", "tasks": ["sort"]},
    ]
    specs = [run_spec(arm, seed=seed, **training | {"epochs": 4}) for seed in range(5) for arm in arms]
    together, _ = train(specs, data)
    for lane in (0, 7, 13, 24):
        alone, _ = train([specs[lane]], data)
        ours, theirs = together.results()[lane].metrics["final"], alone.results()[0].metrics["final"]
        for split, tasks in theirs.items():
            for task, values in tasks.items():
                for metric, value in values.items():
                    mine = ours[split][task][metric]
                    same = mine is None if value is None else mine == pytest.approx(value, rel=1e-9, abs=1e-12)
                    assert same, (lane, split, task, metric)


@pytest.mark.parametrize("name", ["map", "sequence to a vector", "mlp with norm", "map with hidden heads"])
def test_a_lane_that_runs_away_or_stops_early_harms_no_neighbour(name: str) -> None:
    data, training, _ = CASES[name]
    stop = SelectionSpec.model_validate({"stop": {"patience": 2, "min_delta": 9.0}})
    plain = training | {"optimizer": "sgd", "clip": 0.0}
    healthy = [run_spec(arm, seed=n, **plain) for n, arm in enumerate(["equal", "uncertainty", "mgda"])]
    runs_away = run_spec("equal", seed=0, **plain | {"lr": 1e200})
    stops = healthy[1].model_copy(update={"selection": stop, "seed": 7})
    together, _ = train([healthy[0], runs_away, stops, *healthy[1:]], data)
    statuses = [result.status for result in together.results()]
    assert statuses == ["done", "diverged", "done", "done", "done"]
    assert together.results()[2].epochs < EPOCHS
    for lane, spec in zip((0, 3, 4), healthy, strict=True):
        alone, _ = train([spec], data)
        torch.testing.assert_close(together.outcome.final[lane], alone.outcome.final[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("asked", ["shared", "last_layer"])
def test_task_gradients_of_every_trunk_are_autograds(name: str, asked: Any) -> None:
    from mtl_core.lanes.gradients import Section, take

    data, training, _ = CASES[name]
    shape = shape_of(data, run_spec(**training).training)
    flat = init_parameters(shape, range(19), torch.float64)  # more lanes than go at once
    source = torch.Generator().manual_seed(1)
    features = torch.randn(19, 3, shape.features, generator=source, dtype=torch.float64)
    model = Model(shape, flat, torch.zeros_like(flat))
    done = model.forward(features, learn=True)
    slopes = torch.randn(done.outputs.shape, generator=source, dtype=torch.float64)
    taken = take(model, done, model.at_places(slopes), [Section(2, 19, asked)])
    for lane in (2, 15, 16, 18):
        plain = to_module(flat, lane, shape).eval()
        parts = zip(plain(features[lane]), slopes[lane].split(shape.outputs, -1), strict=True)
        wanted = list(plain.trunk.parameters())[0 if asked == "shared" else -shape.last_pieces :]
        rows = [torch.autograd.grad((out * slope).sum(), wanted, retain_graph=True) for out, slope in parts]
        jacobian = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
        torch.testing.assert_close(taken.gramian[lane], jacobian @ jacobian.mT, rtol=1e-10, atol=1e-12)
        if asked == "shared":
            assert taken.jacobian is not None
            torch.testing.assert_close(taken.jacobian.of(slice(lane, lane + 1))[0], jacobian, rtol=1e-10, atol=1e-12)
    assert (taken.gramian[:2] == 0).all()


@pytest.mark.parametrize("name", CASES)
def test_shared_rows_give_what_rows_of_ones_own_give(name: str) -> None:
    """Evaluation hands all lanes the same rows at once."""
    data, training, _ = CASES[name]
    shape = shape_of(data, run_spec(**training).training)
    flat = init_parameters(shape, [0, 1, 2], torch.float64)
    rows = torch.randn(6, shape.features, dtype=torch.float64)
    model = Model(shape, flat)
    torch.testing.assert_close(model.forward(rows).outputs, model.forward(rows.expand(3, -1, -1)).outputs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_a_lane_as_a_module_has_its_parameters_and_back(name: str) -> None:
    data, training, _ = CASES[name]
    shape = shape_of(data, run_spec(**training).training)
    flat = init_parameters(shape, [0, 1], torch.float64)
    plain = to_module(flat, 1, shape)
    assert flat.shape[1] == shape.parameters == sum(part.numel() for part in plain.parameters())
    assert torch.equal(from_module(plain), flat[1])


# --- arms on some of the tasks --------------------------------------------------------------------------------------------


def test_an_arm_on_one_task_trains_as_if_the_others_did_not_exist() -> None:
    data, training, _ = CASES["map"]
    arms = [{"scheme": "uncertainty", "tasks": ["depth"]}, "uncertainty"]
    lanes, records = train([run_spec(arm, **training) for arm in arms], data)
    alone = dataclasses.replace(data, tasks=tuple(task for task in data.tasks if task.name == "depth"))
    single, _ = train([run_spec("uncertainty", **training)], alone)
    ours, theirs = lanes.results()[0], single.results()[0]
    place = [task.name for task in data.tasks].index("depth")
    start = shape_of(data, lanes.runs[0].training)
    assert ours.metrics["best"]["test"]["level"] == {"loss": None, "rmse": None, "mae": None, "mse": None, "r2": None}
    losses = columns(lanes, records, "validation", "loss")
    assert np.isnan(np.delete(losses[:, 0], place, axis=1)).all()
    assert np.isfinite(losses[:, 1]).all()
    assert ours.counted_tasks == ("depth",)
    assert ours.selected_criterion == pytest.approx(np.nanmin(losses[:, 0, place]))
    # the head's initial values are drawn after those of the heads before it, so only the course is alike, not the digits
    assert start.heads != shape_of(alone, single.runs[0].training).heads
    assert (theirs.selected_criterion or 0) == pytest.approx(ours.selected_criterion, rel=0.3)


# --- modules of one's own -------------------------------------------------------------------------------------------------


class Twice(nn.Module):
    """A trunk with a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return x + torch.tanh(self.second(x))


def test_a_module_of_ones_own_follows_a_plain_loop() -> None:
    data = images()
    name = make_known(Twice, data.input_shape)
    training = {"trunk": "module", "module": name}
    specs = [run_spec(arm, seed=n % 2, **training) for n, arm in enumerate(["equal", "uncertainty", "equal"])]
    lanes, records = train(specs, data)
    case: Case = (data, training, [Twice()])
    for lane, spec in enumerate(specs):
        holds(case, spec, lane, lanes, records)
    pcgrad, _ = train([run_spec("pcgrad", **training | {"epochs": 2})], data)
    assert pcgrad.results()[0].status == "done"


def test_compare_takes_a_module_of_ones_own_and_never_trains_the_same_one_twice(tmp_path: Path) -> None:
    arms, training = {"a": "equal", "b": "uncertainty"}, {"epochs": 2}
    data = {"scenario": "noise_and_scale", "samples": 300}
    wide = functools.partial(mtl_core.compare, data, arms, seeds=2, store=tmp_path / "s.sqlite", training=training)
    first = wide(trunk=lambda: nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.LayerNorm(12)))
    again = wide(trunk=lambda: nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.LayerNorm(12)))
    other = wide(trunk=lambda: nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.LayerNorm(12)))
    assert {run.status for run in first.comparison.runs} == {"done"}
    assert [run.run_id for run in again.comparison.runs] == [run.run_id for run in first.comparison.runs]
    assert not {run.run_id for run in other.comparison.runs} & {run.run_id for run in first.comparison.runs}
    assert first.comparison.spec.training.module is not None
    assert first.comparison.spec.training.module.startswith("Sequential-")


class Drops(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Draws(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.layer(x), 0.5, training=self.training)


class Overwrites(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x.mul_(3.0)))


def test_a_module_that_writes_to_its_input_changes_nobodys_data(tmp_path: Path) -> None:
    data = {"scenario": "noise_and_scale", "samples": 300}
    found = mtl_core.compare(data, {"a": "equal"}, seeds=1, store=tmp_path / "s.sqlite", trunk=Overwrites, training={"epochs": 3})
    losses = found.comparison.column("validation", "task_1", "loss")[:, 0]
    result = found.comparison.runs[0].result
    assert result is not None
    again = result.metrics["final"]["validation"]["task_1"]["loss"]
    assert losses[-1] == pytest.approx(again, rel=1e-5)


def test_options_of_built_in_trunks_do_not_go_with_a_module_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="dropout belongs to a built-in trunk"):
        mtl_core.compare("osint", {"a": "equal"}, store=tmp_path / "s.sqlite", trunk=Overwrites, training={"dropout": 0.2})


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), "has batch norm"),
        (Drops, "has dropout"),
        (lambda: nn.Linear(5, 3), "cannot be run as lanes on rows of shape"),
        (Draws, "cannot be run as lanes on rows of shape"),
        (lambda: nn.LazyLinear(3), "has lazy layers"),
        (lambda: nn.Linear(4, 3).requires_grad_(requires_grad=False), "to freeze a trunk, say it in a phase"),
        (nn.Linear(4, 3), "returns a new nn.Module at each call, not a Linear"),
        ("mlp", "returns a new nn.Module at each call, not a str"),
        (lambda x: x, "returns a new nn.Module at each call: "),
        (functools.partial({"m": nn.Linear(4, 3)}.get, "m"), "returns the same module again"),
        (nn.ReLU, "has no parameters"),
        (lambda: 3, "returns a new nn.Module at each call, not a int"),
    ],
)
def test_modules_that_cannot_be_lanes_are_refused_with_the_reason(factory: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        make_known(factory, (4,))


def test_the_name_of_a_module_tells_its_code_and_its_initial_values() -> None:
    factories = (lambda: nn.Linear(4, 3), lambda: nn.Linear(4, 5), lambda: nn.Linear(4, 3, bias=False))
    names = {make_known(factory, (4,)) for factory in factories}
    assert len(names) == 3
    assert make_known(lambda: nn.Linear(4, 3), (4,)) in names


def test_a_module_that_nobody_made_known_cannot_be_run() -> None:
    spec = run_spec(trunk="module", module="Evil-000000000000")
    with pytest.raises(SpecError, match="lives in the program that made it"):
        Training(images(), [spec], "cpu")


# --- what does not fit is said --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"trunk": "conv", "channels": (4,), "strides": (3,)}, "the trunk ends in a map of 3 x 2, of which the grid of task"),
        ({"trunk": "point"}, "point is for problems without a network"),
    ],
)
def test_trunks_that_do_not_fit_the_problem_are_refused(training: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        shape_of(images(), run_spec(**training).training)


def test_without_layers_there_is_nothing_to_normalise_or_to_drop() -> None:
    data, names = images(two=False, maps=False), ("loss", "weight")
    plain, records = train([run_spec(epochs=3)], data)
    more, others = train([run_spec(epochs=3, layer_norm=True, dropout=0.3)], data)
    for name in names:
        np.testing.assert_array_equal(columns(plain, records, "train", name), columns(more, others, "train", name))
    assert [result.status for result in more.results()] == ["done"]


def test_convolutions_need_images_or_sequences() -> None:
    plain = dataclasses.replace(images(maps=False), input_shape=())
    with pytest.raises(SpecError, match="conv needs images or sequences"):
        shape_of(plain, run_spec(trunk="conv", channels=(4,)).training)


def test_a_plain_model_is_what_it_says() -> None:
    data, training, _ = CASES["map"]
    shape = shape_of(data, run_spec(**training).training)
    assert isinstance(to_module(init_parameters(shape, [0], torch.float32), 0, shape), PlainModel)

"""Arms to write out, the files they become, executed, and the lanes that they have to follow."""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

import torch
from engine_cases import NAMES, TASKS, problem, train

from mtl_core.baselines import with_baselines
from mtl_core.code import PLAIN, plain_torch
from mtl_core.engine import Training
from mtl_core.lanes.models import init_parameters
from mtl_core.lanes.plain import to_module
from mtl_core.lanes.rng import batch_order
from mtl_core.problem import Problem
from mtl_core.records import ProblemInfo
from mtl_core.resolving import resolve
from mtl_core.schemes.maths.randomness import normal, task_salts, uniform
from mtl_core.shapes import Shape
from mtl_core.specs import ExperimentSpec, parse_experiment

BATCH, EPOCHS, SEED = 12, 6, 3  # 36 steps
HIDDEN = (16, 12)  # so many that no two task gradients are parallel: there solvers differ in which solution they give
OPTIONS: dict[str, dict[str, Any]] = {
    "hard batch": {"gate": {"threshold": 0.2, "scope": "batch"}},
    "hard window": {"gate": {"threshold": 0.25, "scope": "window", "window": 5}},
    "hard dataset": {"gate": {"threshold": 0.2, "scope": "dataset"}},
    "soft": {"gate": {"mode": "soft", "threshold": 0.2, "scope": "window"}},
    "smooth": {"smooth": 0.2},
    "every": {"every": 4},
    "sum": {"weight_sum": 2.0},
    "all": {"gate": {"mode": "soft", "threshold": 0.3, "scope": "batch", "sharpness": 7.0}, "smooth": 0.5, "every": 3},
}
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "equal": [{"reduction": "sum"}],
    "fixed": [{"weights": dict(zip(NAMES, [1.0, 0.5, 2.0, 1.0, 0.0, 3.0, 0.1, 0.4, 0.2], strict=True))}],
    "uncertainty": [
        {"likelihood": "shared_half", "initial": "priors", "clamp": [-0.1, 0.9], "regulariser": 0.01, "lr_factor": 10.0},
        {"clamp": [-0.05, 0.05], "clamp_form": "coefficient", "lr_factor": 3.0},
    ],
    "softplus": [{"initial": -1.0, "lr_factor": 5.0}],
    "dwa": [{"temperature": 0.2, "ratio_clamp": [0.9, 1.05]}, {"ratio_clamp": None}],
    "scale_invariant": [{"epsilon": 0.9}],
    "uw_so": [{"normalise": "none", "temperature": 3.0}],
    "rlw": [{"distribution": "uniform"}, {"distribution": "dirichlet"}],
    "famo": [{"bound": -0.5, "gamma": 0.1, "lr": 0.1}],
    "mgda": [{"normalisation": kind} for kind in ("l2", "loss", "loss+")],
    "nash_mtl": [{"max_norm": 0.0}],
    "gradnorm": [{"alpha": 0.5, "lr": 0.1}],
    "aligned_mtl": [{"scale": "median"}, {"scale": "rmse", "preference": dict.fromkeys(NAMES, 2.0) | {"level": 1.0}}],
}
ARMS: dict[str, Any] = (
    {name: {"scheme": name} for name in PLAIN}
    | {f"{name}{n}": {"scheme": name, "settings": s} for name, variants in SETTINGS.items() for n, s in enumerate(variants)}
    | {
        f"{name} {option}": {"scheme": name, **more}
        for name, kinds in {
            "uncertainty": OPTIONS,
            "imtl_g": OPTIONS,
            "dwa": ("every", "all"),
            "famo": ("hard batch", "soft"),
        }.items()
        for option, more in OPTIONS.items()
        if option in kinds
    }
    | {
        "gradnorm all": {"scheme": "gradnorm", **OPTIONS["all"]},
        "pcgrad weighted": {"scheme": "pcgrad", "head_gradients": "weighted"},
        "mgda layer": {"scheme": "mgda", "gradients": "last_layer"},
        "mgda representation": {"scheme": "mgda", "gradients": "representation"},
        "softplus unweighted": {"scheme": "softplus", "head_gradients": "unweighted", **OPTIONS["soft"]},
    }
)


def experiment(arms: Any, data: Problem | None = None, **more: Any) -> ExperimentSpec:
    training = {"epochs": EPOCHS, "batch_size": BATCH, "lr": 0.01, "hidden": HIDDEN, "weight_decay": 0.0, "dtype": "float64"}
    training |= more.pop("training", {})
    value = {"data": {"scenario": "osint"}, "arms": arms, "seeds": [SEED], "training": training, **more}
    return resolve(parse_experiment(value), data or problem())


@functools.cache
def info() -> ProblemInfo:
    return with_baselines(problem())


@functools.cache
def lanes() -> tuple[Training, Any]:
    """All arms as lanes of one batch."""
    return train([run for name, arm in ARMS.items() for run in experiment({name: arm}).runs().values()])


def executed(source: str) -> types.ModuleType:
    """A generated file as a module, its demonstration left out."""
    module = types.ModuleType("taken_away")
    sys.modules["taken_away"] = module  # dataclasses look there
    exec(compile(source, "taken_away.py", "exec"), module.__dict__)
    return module


def same_draws(module: types.ModuleType) -> None:
    """What a plain file draws from Python's generator, drawn as lanes do."""
    salts = dict(zip(NAMES, task_salts(TASKS, torch.zeros(1)), strict=True))
    seed = torch.tensor(SEED)

    def score(self: Any, name: str) -> float:
        keys = seed, torch.tensor(self.steps), salts[name]
        if module.kind == "normal":
            return float(normal(*keys))
        drawn = uniform(*keys)
        return float(drawn if module.kind == "uniform" else (-drawn.log()).log())

    def partners(self: Any, name: str, names: list[str]) -> list[str]:
        others = [other for other in names if other != name]
        return sorted(others, key=lambda other: float(uniform(seed, torch.tensor(self.steps), salts[name], salts[other])))

    if hasattr(module, "RandomWeights"):
        module.RandomWeights.score = score
    if hasattr(module, "PCGrad"):
        module.PCGrad.partners = partners


def model_of(module: types.ModuleType, data: Problem) -> Any:
    """The file's model with the initial values of a lane."""
    shape = Shape(data.features.shape[1], HIDDEN, tuple(task.outputs for task in data.tasks))
    theirs = to_module(init_parameters(shape, [SEED], torch.float64), 0, shape)
    model = module.Model(data.features.shape[1]).double()
    model.load_state_dict(theirs.state_dict())
    return model


def taken_away(
    spec: ExperimentSpec, arm: str, about: ProblemInfo | None = None, data: Problem | None = None, *, model: bool = True
) -> Any:
    """Generate the file of an arm, execute it, and train with the lane's start and order."""
    data = data or problem()
    module = executed(plain_torch(spec, about or info(), arm))
    module.kind = spec.arms[arm].settings.get("distribution")
    same_draws(module)
    splits = [
        (torch.tensor(data.features[inside]), {n: torch.tensor(y[inside]) for n, y in data.targets.items()})
        for inside in (data.split == 0, data.split == 1)
    ]
    order = functools.partial(batch_order, SEED, rows=data.rows(0))
    return module.train(
        *splits[0], *splits[1], model=model_of(module, data) if model else None, order=order, on_epoch=lambda _: None
    )

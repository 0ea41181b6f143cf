"""Arms and loss sequences under which a dozen steps visit every branch of every scheme and wrapper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_core.schemes import SCHEMES, Scheme, Setup, Signals
from mtl_core.schemes.build import build, build_lanes
from mtl_core.specs import ArmSpec, TaskSpec

TASKS = (
    TaskSpec(name="temperature", kind="regression", prior=0.4),
    TaskSpec(name="regime", kind="multiclass", classes=("a", "b", "c"), prior=-0.7),
    TaskSpec(name="distance", kind="regression", loss="l1", prior=0.1),
    TaskSpec(name="events", kind="count", prior=1.4),
)
STEPS_PER_EPOCH = 2
LR = 0.3  # so high that clamps and floors are reached within a few steps

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "equal": [{"reduction": "mean"}, {"reduction": "sum"}],
    "fixed": [{"weights": {"temperature": 0.5, "regime": 2.0, "distance": 0.0, "events": 1.25}}, {"weights": 3.0}],
    "uncertainty": [
        {},
        {"likelihood": "shared_half", "initial": "priors", "clamp": [-0.5, 0.5], "regulariser": 0.3, "lr_factor": 2.0},
        {"clamp": [-0.2, 0.2], "clamp_form": "coefficient", "initial": 0.05},
    ],
    "softplus": [{}, {"initial": {"temperature": -1.0, "regime": 0.5, "distance": 0.0, "events": 2.0}, "lr_factor": 3.0}],
    "dwa": [{}, {"temperature": 0.3, "ratio_clamp": [0.7, 1.2]}],
    "gls": [{}],
    "scale_invariant": [{}, {"epsilon": 0.8}],
}
WRAPPERS: dict[str, dict[str, Any]] = {
    "bare": {},
    "smooth": {"smooth": 0.3},
    "every": {"every": 3},
    "hard_batch": {"gate": {"mode": "hard", "threshold": 0.3, "scope": "batch"}},
    "hard_window": {"gate": {"mode": "hard", "threshold": 0.3, "scope": "window", "window": 3}},
    "hard_dataset": {"gate": {"mode": "hard", "threshold": 0.3, "scope": "dataset"}},
    "soft_window": {"gate": {"mode": "soft", "threshold": 0.3, "scope": "window", "window": 3, "sharpness": 5.0}},
    "all": {"gate": {"mode": "soft", "threshold": 0.3, "scope": "batch"}, "smooth": 0.5, "every": 2},
}
assert set(SETTINGS) == set(SCHEMES), "a new scheme needs settings here that visit its branches"


class Case(NamedTuple):
    """One arm, with a name for the test's report."""

    label: str
    arm: ArmSpec

    def __repr__(self) -> str:
        return self.label


def cases(wrappers: Sequence[str] = tuple(WRAPPERS)) -> list[Case]:
    """Every scheme under each of its settings and the given wrappers."""
    return [
        Case(f"{name}{number}-{wrapper}", ArmSpec(scheme=name, settings=settings, **WRAPPERS[wrapper]))
        for name, variants in SETTINGS.items()
        for number, settings in enumerate(variants)
        for wrapper in wrappers
    ]


SHARES = (1.0, 0.9, 0.25, 0.5)


def wrapped() -> list[Case]:
    """Every scheme under every wrapper, each with its most eventful settings."""
    last = {f"{name}{len(variants) - 1}" for name, variants in SETTINGS.items()}
    return [case for case in cases(tuple(WRAPPERS)[1:]) if case.label.split("-")[0] in last]


def setup(lanes: tuple[int, ...] = (), tasks: tuple[TaskSpec, ...] = TASKS, shares: Sequence[float] = SHARES) -> Setup:
    """What is known before the first step, in double precision."""
    lr = torch.full((*lanes, 1), LR, dtype=torch.float64)
    return Setup(tasks, lanes, lr, STEPS_PER_EPOCH, torch.tensor(shares[: len(tasks)], dtype=torch.float64))


def one(arm: ArmSpec, tasks: Sequence[TaskSpec] = TASKS) -> Scheme:
    """The scheme of one run, its settings in double precision."""
    return build(arm, tasks, dtype=torch.float64)


def stacked(arms: Sequence[ArmSpec], tasks: Sequence[TaskSpec] = TASKS) -> Scheme:
    """One scheme over many lanes, its settings in double precision."""
    return build_lanes(arms, tasks, dtype=torch.float64)


def sequence(seed: int, steps: int = 12, lanes: tuple[int, ...] = (), tasks: int = len(TASKS)) -> list[Signals]:
    """Positive losses over three decades, falling and rising, with tasks that come and go; step 4 has no task at all."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(steps, *lanes, tasks, generator=generator, dtype=torch.float64).cumsum(0)
    labelled = torch.rand(steps, *lanes, tasks, generator=generator, dtype=torch.float64)
    available = torch.rand(steps, *lanes, tasks, generator=generator, dtype=torch.float64) < 0.75
    available[0], available[4:5] = True, False
    return [
        Signals(torch.where(here, loss.exp(), 0.0), here, torch.where(here, share, 0.0))
        for loss, here, share in zip(drawn, available, labelled, strict=True)
    ]


def play(scheme: Scheme, known: Setup, steps: Sequence[Signals]) -> tuple[list[Tensor], Any]:
    """The weights of every step, and the last state."""
    state, weights = scheme.init(known), []
    for signals in steps:
        now, state = scheme.update(state, signals)
        weights.append(now)
    return weights, state


def leaves(state: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a state with their names."""
    if isinstance(state, Tensor):
        yield path, state
    elif isinstance(state, tuple):
        for name, part in zip(getattr(state, "_fields", range(len(state))), state, strict=True):
            yield from leaves(part, f"{path}.{name}")
    else:
        assert state is None, f"state{path} is a {type(state).__name__}; only tensors can be saved and laned"

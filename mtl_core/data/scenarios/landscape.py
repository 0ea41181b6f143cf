"""`landscape`: two losses on a plane and no network, the toy problem of the CAGrad, Nash-MTL and FAMO papers.

The two losses are in `mtl_core/landscape.py`; synthetic, and without data or noise: all that is trained is a point of the plane.
A run's seed is its start: seed k begins at start k, counted around. The first five starts are the papers', further ones are drawn
uniformly in a square. An epoch is `steps` steps of the optimizer; features and targets are there only to be counted.

The papers take 50,000 steps of Adam at a learning rate of 1e-3. Here fewer and longer ones are the default; what that changes,
and what the learning rate and clipping decide by themselves: docs/known-problems.md.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mtl_core.data.scenarios.base import SEED, Knob, Scenario, rounded
from mtl_core.landscape import FRONT, LOWEST, STARTS
from mtl_core.problem import TEST, TRAIN, VALIDATION, Problem
from mtl_core.specs import TaskSpec

TASKS = tuple(TaskSpec(name=name, kind="function", loss=f"landscape_{n + 1}") for n, name in enumerate(LOWEST))


def _load(*, steps: int, drawn: int, square: float, seed: int) -> Problem:
    further = np.random.default_rng(seed).uniform(-square, square, (drawn, 2)).round(2)
    starts = np.concatenate([STARTS, further])
    rows = steps + 2
    split = np.full(rows, TRAIN, dtype=np.int8)
    split[-2:] = VALIDATION, TEST
    names = [task.name for task in TASKS]
    return Problem(
        name="landscape",
        features=np.arange(rows, dtype=np.float64)[:, None],
        targets={name: np.zeros((rows, 1)) for name in names},
        tasks=TASKS,
        split=split,
        feature_names=("step",),
        starts=starts,
        synthetic=True,
        domain_weights=dict.fromkeys(names, 0.5),
        score_weights=dict.fromkeys(names, 0.5),
        truth=_truth(starts),
        training={
            "epochs": 100,
            "batch_size": 1,
            "lr": 5e-3,
            "trunk": "point",
            "hidden": (),
            "weight_decay": 0.0,
            "dtype": "float64",
        },
    )


def _truth(starts: Float[np.ndarray, "starts coordinates"]) -> dict[str, object]:
    """Where runs begin, where the Pareto set is, and bounds below the losses, which FAMO can be given."""
    return {
        "starts": [rounded(start) for start in starts],
        "front": {"x1": list(FRONT[0]), "x2": list(FRONT[1])},
        "below": LOWEST,
    }


LANDSCAPE = Scenario(
    name="landscape",
    title="Two losses on a plane",
    story=(
        "No network and no data: a point of the plane descends on two losses with a ridge, a valley and a Pareto front. "
        "Seeds are starts: seed 0 to 4 begin at the five points of the papers, further seeds at drawn ones, "
        "so an interval over seeds is one over starts. "
        "Which schemes stall away from the front, and from where; learning rate and clipping decide as much as the scheme."
    ),
    synthetic=True,
    knobs={
        "steps": Knob(100, 1, 10_000, "Optimizer steps an epoch: how far apart the points of a path are."),
        "drawn": Knob(3, 0, 251, "Further starts beside the five of the papers."),
        "square": Knob(10.0, 1.0, 12.0, "Further starts are drawn from minus this to this in both coordinates."),
        "seed": SEED,
    },
    load=_load,
    positive=False,
)

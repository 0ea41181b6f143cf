"""`noise_and_scale`: regression tasks whose noise and units are known, so that a learned sigma can be judged.

    z ~ N(0, I_8), x = z                                  8 features
    r = tanh(V z), unit variance                          shared representation
    f_i = a_i · r, correlation of any two = relatedness   signal of task i, unit variance
    y_i = c_i (f_i + σ_i ε_i),  ε_i ~ N(0, 1)             target in raw units

    σ_i  from `noise` to `noise · noise_ratio` in equal factors, rising with the task's number.
    c_i  units = spread: `scale_ratio` between largest and smallest in equal factors, geometric mean 1, in another order
         than the noise (for an even number of tasks: i -> (2i + 1) mod (T + 1)), so that the two are not confounded.
         units = matched: 1 / √(1 + σ_i²), which gives every target unit variance.

    by task: `noise_by_task`, `unit_by_task` are σ_i and c_i of single tasks, after the rules above.

    leakage λ: one more feature, λ y_1 / c_1 + (1 − λ) η, a copy of what task_1 has to predict. With 0 there is none.

A scheme that learned noise would end at σ_i. What it can see is the residual in raw units, c_i σ_i (and more, as long as
the model is not at its best): multiplying a unit by 10 moves the learned weight by 1/100. The targets are therefore not
standardised for training (`scaled=False`). Measured, uncertainty weighting, default budget, mean of 8 seeds, tasks 1 to 4:

    spread    σ_i .20 .34 .58 1.00    residual .14 1.08 .18 1.47    learned .16 1.04 .19 1.44
    matched   σ_i .20 .34 .58 1.00    residual .20  .32 .50  .71    learned .20  .30 .48  .67
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from mtl_core.data.scenarios.base import (
    SEED,
    Knob,
    Scenario,
    by_task,
    directions,
    geometric,
    hide,
    numbered,
    representation,
    reveal,
    rounded,
    split_rows,
)
from mtl_core.data.scenarios.outcomes import left_by_leak
from mtl_core.problem import Problem
from mtl_core.specs import TaskSpec

LATENTS, MOST = 8, 8
NAMES = tuple(f"task_{n + 1}" for n in range(MOST))


def _load(
    *,
    samples: int,
    tasks: int,
    noise: float,
    noise_ratio: float,
    scale_ratio: float,
    units: str,
    relatedness: float,
    leakage: float,
    labels: float,
    labels_by_task: Mapping[str, float],
    noise_by_task: Mapping[str, float],
    unit_by_task: Mapping[str, float],
    seed: int,
) -> Problem:
    rng = np.random.default_rng(seed)
    split = split_rows(rng, samples)
    latents = rng.standard_normal((samples, LATENTS))
    cosine = max(relatedness, -1 / (tasks - 1))
    signals = representation(rng, latents) @ directions(rng, tasks, LATENTS, cosine).T
    names = NAMES[:tasks]
    sigma = _overridden(geometric(noise, noise_ratio, tasks), noise_by_task, names)
    unit = 1 / np.sqrt(1 + sigma**2) if units == "matched" else _spread(scale_ratio, tasks)
    unit = _overridden(unit, unit_by_task, names)
    values = signals + sigma * rng.standard_normal((samples, tasks))
    shares = {**dict.fromkeys(names, labels), **labels_by_task}
    targets = {name: hide(unit[i] * values[:, [i]], reveal(rng, split, shares[name])) for i, name in enumerate(names)}
    leak = leakage * values[:, :1] + (1 - leakage) * rng.standard_normal((samples, 1))
    return Problem(
        name="noise_and_scale",
        features=np.concatenate([latents, leak], axis=1) if leakage else latents,
        targets=targets,
        tasks=tuple(TaskSpec(name=name, kind="regression", scaled=False) for name in names),
        split=split,
        feature_names=(*numbered("x", LATENTS), *(("leak",) if leakage else ())),
        synthetic=True,
        domain_weights=dict.fromkeys(names, 1 / tasks),
        score_weights=dict.fromkeys(names, 1 / tasks),
        truth=_truth(names, sigma, unit, leakage) | {"labels": rounded(shares), "relatedness": cosine},
        training={"epochs": 40, "batch_size": 64, "lr": 3e-3, "hidden": (64, 64)},
        warnings=("Leakage: the feature leak is a noisy copy of what task_1 has to predict.",) if leakage else (),
    )


def _overridden(
    values: Float[np.ndarray, " tasks"], given: Mapping[str, float], names: Sequence[str]
) -> Float[np.ndarray, " tasks"]:
    return np.array([given.get(name, value) for name, value in zip(names, values, strict=True)])


def _truth(
    names: Sequence[str], sigma: Float[np.ndarray, " tasks"], unit: Float[np.ndarray, " tasks"], leakage: float
) -> dict[str, Any]:
    """What is known of every task; `residual` is what knowing the equations (and the copy) would leave, in raw units."""
    left = sigma.copy()
    left[0] = math.sqrt(left_by_leak(np.array([[sigma[0] ** 2]]), leakage))

    def named(values: Float[np.ndarray, " tasks"], digits: int) -> Any:
        return rounded(dict(zip(names, values, strict=True)), digits)

    return {
        "noise": named(sigma, 6),
        "unit": named(unit, 6),
        "residual": named(unit * left, 6),
        "irreducible": named((unit * left) ** 2, 8),
        "leakage": leakage,
        "leaky_features": ["leak"] if leakage else [],
    }


def _spread(ratio: float, tasks: int) -> Float[np.ndarray, " tasks"]:
    """Unit factors with geometric mean 1, in an order that has nothing to do with the task's number."""
    around = tasks + 1 if tasks % 2 == 0 else tasks
    order = (2 * np.arange(tasks) + 1) % around
    return geometric(ratio**-0.5, ratio, tasks)[order]


NOISE_AND_SCALE = Scenario(
    name="noise_and_scale",
    title="Known noise, known units",
    story=(
        "Regression tasks with a known noise level and a known unit factor each. "
        "A learned sigma follows the residual in raw units, so it tells noisy tasks from clean ones only when units are matched: "
        "multiplying a unit by 10 changes the learned weight by 1/100."
    ),
    synthetic=True,
    knobs={
        "samples": Knob(4000, 200, 50_000, "Rows in all: 60 % train, 20 % validation, 20 % test."),
        "tasks": Knob(4, 2, MOST, "Number of regression tasks."),
        "noise": Knob(0.2, 0.01, 2.0, "Noise σ of the first task, against a signal of standard deviation 1."),
        "noise_ratio": Knob(5.0, 1.0, 100.0, "Noise of the last task over that of the first."),
        "scale_ratio": Knob(10.0, 1.0, 1000.0, "Largest unit factor over the smallest (units = spread)."),
        "units": Knob("spread", None, None, "spread: units differ; matched: every target has variance 1.", ("spread", "matched")),
        "relatedness": Knob(0.5, -1.0, 1.0, "Correlation of any two tasks' signals; raised to -1/(tasks - 1) where it is below."),
        "labels": Knob(1.0, 0.02, 1.0, "Share of rows that carry a label, drawn for each task."),
        "leakage": Knob(0.0, 0.0, 1.0, "How much of task_1's target is copied into a feature; 0: no such feature."),
        "labels_by_task": by_task(0.02, 1.0, "Share of labels of single tasks.", NAMES),
        "noise_by_task": by_task(0.0, 10.0, "Noise of single tasks, in place of what noise and its ratio give.", NAMES),
        "unit_by_task": by_task(0.001, 1000.0, "Unit factor of single tasks, in place of what units gives.", NAMES),
        "seed": SEED,
    },
    load=_load,
)

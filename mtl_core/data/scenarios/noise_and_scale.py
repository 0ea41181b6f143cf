"""`noise_and_scale`: regression tasks whose noise and units are known, so that a learned sigma can be judged.

    z ~ N(0, I_8), x = z                                  8 features
    r = tanh(V z), unit variance                          shared representation
    f_i = a_i · r, correlation of any two = relatedness   signal of task i, unit variance
    y_i = c_i (f_i + σ_i ε_i),  ε_i ~ N(0, 1)             target in raw units

    σ_i  from `noise` to `noise · noise_ratio` in equal factors, rising with the task's number.
    c_i  units = spread: `scale_ratio` between largest and smallest in equal factors, geometric mean 1, in another order
         than the noise (for an even number of tasks: i -> (2i + 1) mod (T + 1)), so that the two are not confounded.
         units = matched: 1 / √(1 + σ_i²), which gives every target unit variance.

A scheme that learned noise would end at σ_i. What it can see is the residual in raw units, c_i σ_i (and more, as long as
the model is not at its best): multiplying a unit by 10 moves the learned weight by 1/100. The targets are therefore not
standardised for training (`scaled=False`). Measured, uncertainty weighting, default budget, mean of 8 seeds, tasks 1 to 4:

    spread    σ_i .20 .34 .58 1.00    residual .14 1.08 .18 1.47    learned .16 1.04 .19 1.44
    matched   σ_i .20 .34 .58 1.00    residual .20  .32 .50  .71    learned .20  .30 .48  .67
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mtl_core.data.scenarios.base import (
    SEED,
    Knob,
    Scenario,
    directions,
    geometric,
    hide,
    numbered,
    representation,
    reveal,
    rounded,
    split_rows,
)
from mtl_core.problem import Problem
from mtl_core.specs import TaskSpec

LATENTS = 8


def _load(
    *,
    samples: int,
    tasks: int,
    noise: float,
    noise_ratio: float,
    scale_ratio: float,
    units: str,
    relatedness: float,
    labels: float,
    seed: int,
) -> Problem:
    rng = np.random.default_rng(seed)
    split = split_rows(rng, samples)
    latents = rng.standard_normal((samples, LATENTS))
    cosine = max(relatedness, -1 / (tasks - 1))
    signals = representation(rng, latents) @ directions(rng, tasks, LATENTS, cosine).T
    sigma = geometric(noise, noise_ratio, tasks)
    unit = 1 / np.sqrt(1 + sigma**2) if units == "matched" else _spread(scale_ratio, tasks)
    values = unit * (signals + sigma * rng.standard_normal((samples, tasks)))
    names = [f"task_{i + 1}" for i in range(tasks)]
    return Problem(
        name="noise_and_scale",
        features=latents,
        targets={name: hide(values[:, [i]], reveal(rng, split, labels)) for i, name in enumerate(names)},
        tasks=tuple(TaskSpec(name=name, kind="regression", scaled=False) for name in names),
        split=split,
        feature_names=tuple(numbered("x", LATENTS)),
        synthetic=True,
        domain_weights=dict.fromkeys(names, 1 / tasks),
        score_weights=dict.fromkeys(names, 1 / tasks),
        truth={
            "noise": rounded(dict(zip(names, sigma, strict=True)), 6),
            "unit": rounded(dict(zip(names, unit, strict=True)), 6),
            "residual": rounded(dict(zip(names, unit * sigma, strict=True)), 6),
            "irreducible": rounded(dict(zip(names, (unit * sigma) ** 2, strict=True)), 8),
            "relatedness": cosine,
        },
        training={"epochs": 40, "batch_size": 64, "lr": 3e-3, "hidden": (64, 64)},
    )


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
        "tasks": Knob(4, 2, 8, "Number of regression tasks."),
        "noise": Knob(0.2, 0.01, 2.0, "Noise σ of the first task, against a signal of standard deviation 1."),
        "noise_ratio": Knob(5.0, 1.0, 100.0, "Noise of the last task over that of the first."),
        "scale_ratio": Knob(10.0, 1.0, 1000.0, "Largest unit factor over the smallest (units = spread)."),
        "units": Knob("spread", None, None, "spread: units differ; matched: every target has variance 1.", ("spread", "matched")),
        "relatedness": Knob(0.5, -1.0, 1.0, "Correlation of any two tasks' signals; raised to -1/(tasks - 1) where it is below."),
        "labels": Knob(1.0, 0.02, 1.0, "Share of rows that carry a label, drawn for each task."),
        "seed": SEED,
    },
    load=_load,
)

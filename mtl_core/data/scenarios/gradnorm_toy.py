"""`gradnorm_toy`: like functions at very different scales, the toy problem of GradNorm (Chen et al. ICML 2018, section 4).

Synthetic. 250 features, two to ten tasks of 100 outputs each:

    x ~ N(0, I_250);  entries of B ~ N(0, 10²), of E_i ~ N(0, spread²)
    y_i = c_i (tanh((B + E_i) x) + σ_i ε),  ε ~ N(0, 1)

    c_i  the paper's scales to the power `scale_power`: 1 and 100 for two tasks; for three to ten the first so many of
         48, 3, 54, 16, 9, 30, 52, 26, 47, 81. `unit_by_task` gives single ones.
    σ_i  `noise`, or `noise_by_task`; none in the paper.
    relatedness  of two tasks, the correlation of their arguments of tanh: 10² / (10² + spread²)
    leakage λ    ten more features, λ y + (1 − λ) η of the first ten outputs of task_1, in its unit. With 0 there are none.

The paper leaves the standard deviations of B and E_i open: 10 and 3.5 reproduce its order of schemes (docs/known-problems.md).

The paper's figure is Σ_i L_i(t) / L_i(0). An untrained network says almost 0, and so does the constant predictor, whose loss
has no seed: the fixed criterion with `scale: baseline`, which this scenario recommends, is the mean of L_i(t) / L_i(constant)
over tasks. Times the number of tasks it is the paper's figure; an untrained network's loss is the constant's to within 2 %.

Measured, default budget (800 steps), 8 seeds, the paper's figure with its 95 % interval, and task_1 relative to the constant:
equal 2.61 ± .11 (task_1 1.74), uncertainty 2.49 ± .11 (1.62), softplus 2.47 ± .10 (1.60), dwa 2.63 ± .10 (1.76), gradnorm
1.95 ± .02 (1.07), scale_invariant 1.61 ± .01 (.64). Learned log-variances start at 0 and have not arrived by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float

from mtl_core.data.scenarios.base import SEED, Knob, Scenario, by_task, hide, numbered, reveal, rounded, split_rows
from mtl_core.data.scenarios.outcomes import left_by_leak
from mtl_core.problem import Problem
from mtl_core.specs import TaskSpec

INPUTS, OUTPUTS, LEAKED = 250, 100, 10
COMMON, SPREAD = 10.0, 3.5
OF_TWO, OF_TEN = (1.0, 100.0), (48.0, 3.0, 54.0, 16.0, 9.0, 30.0, 52.0, 26.0, 47.0, 81.0)
NAMES = tuple(f"task_{n + 1}" for n in range(len(OF_TEN)))
HIDDEN, BATCH, LR = (100, 100, 100, 100), 100, 1e-3


def scales(tasks: int) -> tuple[float, ...]:
    """The paper's scales."""
    return OF_TWO if tasks == len(OF_TWO) else OF_TEN[:tasks]


def functions(
    rng: np.random.Generator, rows: int, tasks: int, spread: float = SPREAD
) -> tuple[Float[np.ndarray, "rows inputs"], Iterator[Float[np.ndarray, "rows outputs"]]]:
    """Features, and the values of one function after the other, all between -1 and 1."""
    features = rng.standard_normal((rows, INPUTS))
    common = COMMON * rng.standard_normal((OUTPUTS, INPUTS))
    own = [common + spread * rng.standard_normal((OUTPUTS, INPUTS)) for _ in range(tasks)]
    return features, (np.tanh(features @ one.T) for one in own)


def task_specs(count: int) -> tuple[TaskSpec, ...]:
    """The tasks; their targets stay in their units."""
    return tuple(TaskSpec(name=name, kind="multi_output", width=OUTPUTS, scaled=False) for name in NAMES[:count])


def _load(
    *,
    samples: int,
    tasks: int,
    scale_power: float,
    spread: float,
    noise: float,
    leakage: float,
    labels: float,
    labels_by_task: Mapping[str, float],
    noise_by_task: Mapping[str, float],
    unit_by_task: Mapping[str, float],
    seed: int,
) -> Problem:
    rng, names = np.random.default_rng(seed), NAMES[:tasks]
    features, drawn = functions(rng, samples, tasks, spread)
    units = {**{name: scale**scale_power for name, scale in zip(names, scales(tasks), strict=True)}, **unit_by_task}
    sigma, shares = {**dict.fromkeys(names, noise), **noise_by_task}, {**dict.fromkeys(names, labels), **labels_by_task}
    split = split_rows(rng, samples, validation=0.1, test=0.1)
    values = {name: one + _noise(rng, sigma[name], samples) for name, one in zip(names, drawn, strict=True)}
    if leakage:
        leak = leakage * values["task_1"][:, :LEAKED]
        features = np.concatenate([features, leak + (1 - leakage) * rng.standard_normal(leak.shape)], axis=1)
    leaky = tuple(numbered("leak", LEAKED)) if leakage else ()
    return Problem(
        name="gradnorm_toy",
        features=features,
        targets={name: hide(units[name] * one, reveal(rng, split, shares[name])) for name, one in values.items()},
        tasks=task_specs(tasks),
        split=split,
        feature_names=(*numbered("x", INPUTS), *leaky),
        synthetic=True,
        domain_weights=dict.fromkeys(names, 1 / tasks),
        score_weights=dict.fromkeys(names, 1 / tasks),
        truth=_truth(units, sigma, shares, spread, leakage),
        training={"epochs": 10, "batch_size": BATCH, "lr": LR, "hidden": HIDDEN, "scale": "baseline"},
        warnings=_warnings(leakage),
    )


def _noise(rng: np.random.Generator, sigma: float, rows: int) -> Float[np.ndarray, "rows outputs"] | float:
    return sigma * rng.standard_normal((rows, OUTPUTS)) if sigma else 0.0


def _truth(
    units: Mapping[str, float], sigma: Mapping[str, float], shares: Mapping[str, float], spread: float, leakage: float
) -> dict[str, object]:
    left = {name: one**2 for name, one in sigma.items()}
    copied = left_by_leak(np.array([[left["task_1"]]]), leakage)
    left["task_1"] = (LEAKED * copied + (OUTPUTS - LEAKED) * left["task_1"]) / OUTPUTS
    return {
        "unit": rounded(units, 6),
        "noise": rounded(sigma, 6),
        "labels": rounded(shares),
        "irreducible": rounded({name: units[name] ** 2 * one for name, one in left.items()}, 8),
        "relatedness": round(COMMON**2 / (COMMON**2 + spread**2), 4),
        "leakage": leakage,
        "leaky_features": numbered("leak", LEAKED) if leakage else [],
    }


def _warnings(leakage: float) -> tuple[str, ...]:
    if not leakage:
        return ()
    return (f"Leakage: the features leak_01 to leak_{LEAKED} are noisy copies of outputs that task_1 has to predict.",)


GRADNORM_TOY = Scenario(
    name="gradnorm_toy",
    title="Like functions, unlike scales",
    story=(
        "GradNorm's toy problem: tasks that are like functions, one 100 times the other, learned by one network. "
        "With equal weights the large task drives the small one to a loss above that of a constant prediction. "
        "The fixed criterion takes each loss relative to that prediction, as the paper does relative to the untrained network."
    ),
    synthetic=True,
    knobs={
        "samples": Knob(10_000, 500, 20_000, "Rows in all: 80 % train, 10 % validation, 10 % test."),
        "tasks": Knob(2, 2, len(OF_TEN), "Number of tasks. 2 and 10 are the paper's; between them the first of its ten."),
        "scale_power": Knob(1.0, 0.0, 1.5, "Power of the paper's scales: 1 as in the paper, 0 all alike."),
        "spread": Knob(
            SPREAD, 0.0, 50.0, "What sets the tasks apart: spread of each one's own matrix against 10 of the common one."
        ),
        "noise": Knob(0.0, 0.0, 2.0, "Noise of every output, against values from -1 to 1."),
        "leakage": Knob(0.0, 0.0, 1.0, "How much of ten outputs of task_1 is copied into features; 0: no such features."),
        "labels": Knob(1.0, 0.02, 1.0, "Share of rows that carry labels, drawn for each task."),
        "labels_by_task": by_task(0.02, 1.0, "Share of labels of single tasks.", NAMES),
        "noise_by_task": by_task(0.0, 2.0, "Noise of single tasks.", NAMES),
        "unit_by_task": by_task(0.001, 1000.0, "Scale of single tasks, in place of the paper's.", NAMES),
        "seed": SEED,
    },
    load=_load,
)

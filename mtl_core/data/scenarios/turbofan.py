"""`turbofan`: engines run until they fail; how many cycles are left (`rul`), and how healthy are they (`health`)?

Synthetic, after NASA's C-MAPSS (Saxena et al., PHM 2008): wear and sensors are simulated by the equations below, without an
engine model. NASA's own files are read where they are uploaded (`mtl_core.data.cmapss`). An example is 30 cycles × 17 sensors.

    H = 75 exp(0.45 n₁) cycles without wear, then D = 125 exp(0.15 n₂) of wearing; T = max(60, ⌈H + D⌉), the life; n ~ N(0, 1)
    wear, r cycles before the end     w(r) = clip(1 − r/D, 0, 1)^1.5: 0 until its onset, 1 at failure
    two components                    A ends the engine; B has normal numbers ρ n + √(1 − ρ²) n' (ρ = `relatedness`) and
                                      stays at 1 once it has failed. With ρ = 1 they are one
    sensor i in a cycle               x_i = g_i w + c_i k + σ ε_i;  k, ε_i ~ N(0, 1), k the cycle's load; σ = `noise`
        01 to 05 wear of A            |g_i| from 0.6 to 1.4 of either sign
        06 to 10 wear of B            the same
        11 to 14 load only            c_i = `load` · N(0, 1), as for 01 to 10
        15 to 17 noise                `leakage` λ > 0: sensor 17 reads λ · min(r, cap)/cap + (1 − λ) ε
    rul                               rul_unit · min(r of A, cap), at the window's last cycle
    health                            by the cycles that B has left: > degrading, > critical, at most critical

Engines are divided into train, validation and test (60, 20, 20 %) before windows are taken, as many of each split as its share
of `samples`; they lie evenly over all cycles of the split's engines (and come twice where there are not enough).
failure_weight f: a *training* window is taken with probability ∝ 1 + f · clip(1 − r/cap, 0, 1), so that for f = 1 the expected
loss is the failure-weighted one of the AMNL source up to a constant, for health as well as for rul. Validation and test windows
are never weighted.

`Problem.truth["irreducible"]`: expected loss (squared error in target units; cross-entropy) on test windows of the observer who
knows all this (`observer`). He looks at one component's sensors and the load's; for ρ between 0 and 1 the other component would
tell him a little more.

The losses start far apart: constant predictors have 1,600 to 1, a model that says 0 has 7,500 to 1. What that does (default
budget, 8 seeds, test, 95 % intervals; the observer is at RMSE 13.0 and accuracy .80; `benchmarks/turbofan.py` has more):

    equal, uncertainty, softplus   RMSE 13.2 [13.0, 13.4]   accuracy .61 [.59, .63]
    fixed, 0.003 for rul           RMSE 13.3 [13.1, 13.5]   accuracy .74 [.73, .75]

Uncertainty and softplus weights hardly move: their first gradients are thousands of times the later ones, and Adam, which
divides by what it remembers of them, makes the later steps tiny (twenty times the learning rate changes that little).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int8

from mtl_core.data.remaining_life import CAP, CLASSES, CRITICAL, DEGRADING, RUL, WINDOW, cell_names, health
from mtl_core.data.scenarios import wear
from mtl_core.data.scenarios.base import SEED, Knob, Scenario, hide, numbered, reveal, rounded, split_rows
from mtl_core.data.scenarios.observer import Observer, Seen
from mtl_core.data.scenarios.wear import SENSORS, Lives, Windows
from mtl_core.problem import TEST, TRAIN, VALIDATION, Problem
from mtl_core.specs import TaskSpec

TRAINING = {
    "epochs": 20,
    "batch_size": 64,
    "lr": 1e-3,
    "trunk": "conv",  # an mlp (64, 64) learns its windows by heart: RMSE 18 against 13
    "channels": (16, 16),
    "kernel": 5,
    "strides": (2, 2),
    "hidden": (64,),
}
JUDGED = 400  # test windows, at most, that the observer judges


def _load(
    *,
    samples: int,
    engines: int,
    noise: float,
    load: float,
    relatedness: float,
    leakage: float,
    rul_labels: float,
    health_labels: float,
    rul_unit: float,
    cap: int,
    degrading: int,
    critical: int,
    failure_weight: float,
    seed: int,
) -> Problem:
    rng = np.random.default_rng(seed)
    lives = wear.both_lives(rng, engines, relatedness)
    sensors = wear.draw_sensors(rng, load, noise, leakage, cap)
    chosen, split = _draw(rng, wear.windows_of(*lives), split_rows(rng, engines), samples, (failure_weight, cap))
    seen = wear.see(rng, *lives, sensors, chosen)
    capped, classes = np.minimum(chosen.left[:, 0], cap), health(chosen.left[:, 1], degrading, critical)
    known = {"noise": noise, "relatedness": relatedness, "leakage": leakage, "rul_unit": rul_unit}
    observer = Observer(sensors, relatedness, seed)
    return Problem(
        name="turbofan",
        features=seen.reshape(samples, -1),
        targets={
            "rul": hide(rul_unit * capped[:, None], reveal(rng, split, rul_labels)),
            "health": hide(classes[:, None].astype(np.float64), reveal(rng, split, health_labels, classes)),
        },
        tasks=(_rul(rul_unit), CLASSES),
        split=split,
        feature_names=cell_names(numbered("sensor", SENSORS)),
        input_shape=(SENSORS, WINDOW),
        synthetic=True,
        domain_weights={"rul": 0.5, "health": 0.5},
        score_weights={"rul": 0.5, "health": 0.5},
        truth=known | _truth(lives[0], leakage) | _irreducible(observer, seen[split == TEST], rul_unit, (degrading, critical)),
        training=TRAINING,
        warnings=_warnings(leakage, rul_unit),
    )


def _draw(
    rng: np.random.Generator, every: Windows, split: Int8[np.ndarray, " engines"], samples: int, failure: tuple[float, int]
) -> tuple[Windows, Int8[np.ndarray, " rows"]]:
    """(the windows of all splits, which split each is in); those for training more often near failure, if that is asked."""
    held_out = round(0.2 * samples)
    counts = {TRAIN: samples - 2 * held_out, VALIDATION: held_out, TEST: held_out}
    weight, cap = failure
    places = []
    for part, count in counts.items():
        inside = np.flatnonzero(split[every.engine] == part)
        near = (1 - every.left[inside, 0] / cap).clip(0, 1)
        places.append(inside[wear.spread(rng, 1 + weight * near * (part == TRAIN), count)])
    parts = np.repeat(np.array(list(counts), dtype=np.int8), list(counts.values()))
    return every.only(np.concatenate(places)), parts


def _rul(unit: float) -> TaskSpec:
    """The score of NASA is defined for cycles, so in another unit there is none."""
    return RUL if unit == 1 else RUL.model_copy(update={"unit": f"{1 / unit:.4g} cycles", "extra_metrics": ()})


def _truth(life: Lives, leakage: float) -> dict[str, Any]:
    onset = life.ends - life.wearing
    return {
        "life": rounded(
            {"mean": life.ends.mean(), "sd": life.ends.std(), "shortest": life.ends.min(), "longest": life.ends.max()}
        ),
        "onset": rounded({"mean": onset.mean(), "sd": onset.std()}),
        "wearing": rounded({"mean": life.wearing.mean(), "sd": life.wearing.std()}),
        "leaky_features": list(cell_names([_LEAKY])) if leakage else [],
    }


def _irreducible(observer: Observer, seen: Seen, unit: float, thresholds: tuple[int, int]) -> dict[str, Any]:
    judged = seen[:: -(-len(seen) // JUDGED)]
    squared = float(observer.rul(judged)[1].mean())
    probable = observer.health(judged, *thresholds)
    entropy: Float[np.ndarray, " windows"] = -(probable * np.log(probable.clip(1e-300))).sum(1)
    return {
        "irreducible": rounded({"rul": unit**2 * squared, "health": entropy.mean()}, 10),
        "best_possible": rounded({"rul rmse": unit * squared**0.5, "health accuracy": probable.max(1).mean()}, 6),
    }


_LEAKY = numbered("sensor", SENSORS)[-1]


def _warnings(leakage: float, unit: float) -> tuple[str, ...]:
    leak = f"Leakage: {_LEAKY} is a noisy copy of the remaining life that rul has to predict."
    counted = f"rul is counted in units of {1 / unit:.4g} cycles; NASA's score is defined for cycles and is left out."
    return (*((leak,) if leakage else ()), *((counted,) if unit != 1 else ()))


TURBOFAN = Scenario(
    name="turbofan",
    title="Engines before failure",
    story=(
        "Engines wear until they fail. From the last 30 cycles of 17 sensors one task tells how many cycles are left, the other "
        "how healthy the engine is. In cycles the loss of the one is thousands of times that of the other: a matter of units, "
        "not of uncertainty."
    ),
    synthetic=True,
    knobs={
        "samples": Knob(3000, 300, 20_000, "Windows in all: 60 % train, 20 % validation, 20 % test."),
        "engines": Knob(100, 10, 500, "Engines, divided in the same shares; no engine is in two splits."),
        "noise": Knob(0.5, 0.05, 5.0, "Noise of every sensor, against a wear that goes from 0 to 1."),
        "load": Knob(0.5, 0.0, 3.0, "How strongly the operating condition, drawn anew every cycle, moves the sensors."),
        "relatedness": Knob(0.8, 0.0, 1.0, "How far health and rul depend on the same wear; 1: one component decides both."),
        "leakage": Knob(0.0, 0.0, 1.0, "How much of the remaining life the last sensor tells; 0: it tells nothing."),
        "rul_labels": Knob(1.0, 0.02, 1.0, "Share of windows whose remaining life is labelled."),
        "health_labels": Knob(1.0, 0.02, 1.0, "Share of windows whose health is labelled."),
        "rul_unit": Knob(1.0, 0.001, 1000.0, "Unit of rul: the target is the number of cycles times this."),
        "cap": Knob(CAP, 40, 250, "Cycles left above which rul stays the same: before wear shows nothing tells them apart."),
        "degrading": Knob(DEGRADING, 61, 200, "Health: cycles left at which an engine is no longer healthy."),
        "critical": Knob(CRITICAL, 5, 60, "Health: cycles left at which an engine is critical."),
        "failure_weight": Knob(
            0.0, 0.0, 10.0, "Training windows near failure are taken up to 1 + this times as often as far ones."
        ),
        "seed": SEED,
    },
    load=_load,
)

"""The toy problem of the GradNorm paper (Chen et al. ICML 2018, section 4): like tasks at very different scales.

    python -m benchmarks.gradnorm_toy [--tasks 10] [--seeds 4] [--steps 2500] [--json]

The functions are those of the scenario `gradnorm_toy`. The paper leaves much open; here: entries of B and E_i have standard
deviations 10 and 3.5; 10,000 rows to train on and 1,000 to test on, drawn anew for every seed; four shared layers of 100 with
ReLU and a linear head per task; batches of 100, Adam at 1e-3; targets as they are, not standardised. Learned weights have
learning rate 0.025, GradNorm's alpha is 0.12. The figure is the paper's: the sum over tasks of the test loss relative to that
of the untrained model, so 10 tasks start at 10.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtl_core.data.scenarios.base import numbered
from mtl_core.data.scenarios.gradnorm_toy import BATCH, HIDDEN, INPUTS, LR, NAMES, functions, scales, task_specs
from mtl_core.engine import Training
from mtl_core.lanes.evaluate import evaluate
from mtl_core.problem import TEST, TRAIN, VALIDATION, Problem
from mtl_core.specs import ArmSpec, DataSpec, RunSpec, SelectionSpec, TrainingSpec

TRAIN_ROWS, TEST_ROWS = 10_000, 1_000
LEARNED_LR, ALPHA = 0.025, 0.12
SCHEMES = ("equal", "gradnorm", "uncertainty", "scale_invariant", "static 1/sigma^2")


def problem(sigmas: Sequence[float], seed: int, rows: tuple[int, int] = (TRAIN_ROWS, TEST_ROWS)) -> Problem:
    """One drawing of the functions and of the rows. The test rows are the validation split: nothing is selected by them."""
    features, values = functions(np.random.default_rng(seed), sum(rows), len(sigmas))
    tasks = task_specs(len(sigmas))
    targets = {task.name: sigma * one for task, sigma, one in zip(tasks, sigmas, values, strict=True)}
    split = np.repeat(np.array([TRAIN, VALIDATION], dtype=np.int8), rows)
    split[-1] = TEST  # the engine judges a test split at the end; nobody looks
    return Problem("gradnorm toy", features, targets, tasks, split, tuple(numbered("x", INPUTS)), synthetic=True)


def arm(name: str, sigmas: Sequence[float]) -> ArmSpec:
    """Learned, log-type and oracle weights. GradNorm's heads see their weights, as in the paper."""
    oracle = {name: sigma**-2 for name, sigma in zip(NAMES, sigmas, strict=False)}
    factor = LEARNED_LR / LR
    learned: dict[str, dict[str, Any]] = {
        "equal": {},
        "gradnorm": {"settings": {"alpha": ALPHA, "lr": LEARNED_LR}, "head_gradients": "weighted"},
        "uncertainty": {"settings": {"lr_factor": factor}},
        "scale_invariant": {},
    }
    if name in learned:
        return ArmSpec(scheme=name, **learned[name])
    return ArmSpec(scheme="fixed", settings={"weights": oracle})


def train(given: Problem, sigmas: Sequence[float], seed: int, steps: int, schemes: Sequence[str] = SCHEMES) -> pd.DataFrame:
    """One seed, all schemes as lanes: a row per scheme and epoch, with the figure and the weights of the last epoch's steps."""
    training = TrainingSpec(
        epochs=-(-steps * BATCH // given.rows(TRAIN)), batch_size=BATCH, lr=LR, hidden=HIDDEN, weight_decay=0.0
    )
    data, chosen = DataSpec(scenario="gradnorm toy"), [(name, arm(name, sigmas)) for name in schemes]
    runs = [RunSpec(data=data, arm=one, seed=seed, training=training, selection=SelectionSpec()) for _, one in chosen]
    lanes = Training(given, runs, "cpu")
    untrained, _ = evaluate(lanes.live.flat, lanes.live.shape, given.tasks, lanes.data, lanes.data.splits[VALIDATION])
    rows = []
    for record in lanes:
        if record is None:
            continue
        named = pd.DataFrame(record.values, columns=pd.MultiIndex.from_tuples(lanes.channels))
        losses = np.stack([named["validation", task.name, "loss"] for task in given.tasks], 1)
        weights = np.stack([named["train", task.name, "weight"] for task in given.tasks], 1)
        figures = (losses / untrained[0]).sum(1)
        step = record.epoch * given.rows(TRAIN) // BATCH
        rows += [
            {"seed": seed, "scheme": name, "step": step, "figure": figure, "weights": weight.tolist()}
            for (name, _), figure, weight in zip(chosen, figures, weights, strict=True)
        ]
    return pd.DataFrame(rows)


def figures(found: pd.DataFrame, step: int) -> pd.DataFrame:
    """Seeds down, schemes across, and the mean."""
    table = found[found["step"] == step].pivot_table(index="seed", columns="scheme", values="figure")
    table.loc["mean"] = table.mean()
    return table[[name for name in SCHEMES if name in table]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, choices=(2, 10), default=10)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=2_500)
    parser.add_argument("--schemes", nargs="*", choices=SCHEMES, default=SCHEMES)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sigmas = scales(options.tasks)
    seeds = [train(problem(sigmas, seed), sigmas, seed, options.steps, options.schemes) for seed in range(options.seeds)]
    found = pd.concat(seeds, ignore_index=True)
    if options.json:
        print(json.dumps(_plain(found)))
        return
    for step in [one for one in (500, 1_000, 2_500, 5_000, 10_000) if one <= options.steps]:
        print(f"\nSum of L(t)/L(0) on test after {step:,} steps, {options.tasks} tasks")
        print(figures(found, step).round(3).to_string())


def _plain(found: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = found.to_dict(orient="records")
    return records


if __name__ == "__main__":
    main()

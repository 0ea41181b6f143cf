"""Remaining life and health: learned weights beside fixed weights that were searched for, and what a unit does to a weight.

    python -m benchmarks.turbofan [--data train_FD001.txt] [--seeds 8] [--epochs N] [--units] [--json]

Without --data the simulated engines; with the path of a train file of C-MAPSS the real recording, and NASA's own test where the
test and RUL files lie beside it. Every arm has the recommended budget. All select their epoch by one fixed criterion: the
validation losses over those of the constant predictor, mean of both tasks, since raw losses would hear rul alone.

- tuned: of the weights in GRID for rul, with 1 for health, the one with the lowest mean criterion over the seeds. That took as
  many times the budget as there are weights; every other arm had one try, with its defaults or as its name says.
- amnl C is equal weights on a failure-weighted loss: on simulated engines it trains on windows that are taken more often near
  failure (failure_weight = 1), on real ones, where nothing weighs rows, on plain losses, which makes it equal weights.
- uncertainty x20, softplus x20: the weights learn twenty times as fast as the model, and arrive within the budget.

--units trains uncertainty x20 on simulated engines whose rul is counted in cycles and in tenths of one: the claim is that the
learned weight of rul becomes 1/100 and nothing else changes. A network has to reach outputs ten times as large with the same
learning rate, which is a change, too; the budget is three times the recommended one.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtl_core.analysis.seeds import estimate
from mtl_core.analysis.wording import interval
from mtl_core.data import load
from mtl_core.engine import Training
from mtl_core.problem import Problem
from mtl_core.records import Channel
from mtl_core.resolving import resolve
from mtl_core.specs import ExperimentSpec, parse_experiment

Arms = dict[str, dict[str, Any]]

GRID = (1.0, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
FAST = {"lr_factor": 20.0}
LEARNED: Arms = {
    "equal": {"scheme": "equal"},
    "uncertainty": {"scheme": "uncertainty"},
    "uncertainty x20": {"scheme": "uncertainty", "settings": FAST},
    "softplus": {"scheme": "softplus"},
    "softplus x20": {"scheme": "softplus", "settings": FAST},
    "amnl A": {"scheme": "amnl", "settings": {"variant": "A"}},
    "amnl B": {"scheme": "amnl", "settings": {"variant": "B"}},
    "gradnorm": {"scheme": "gradnorm"},
    "dwa": {"scheme": "dwa"},
}
AMNL_C: Arms = {"amnl C": {"scheme": "amnl", "settings": {"variant": "C"}}}
FIXED: Arms = {f"fixed {rul:g}": {"scheme": "fixed", "settings": {"weights": {"rul": rul, "health": 1.0}}} for rul in GRID}
FIGURES = {"rmse": ("rul", "rmse"), "nasa score": ("rul", "nasa_score"), "accuracy": ("health", "accuracy")}
UNITS = (1.0, 10.0)


def train(data: Mapping[str, Any], arms: Arms, seeds: int, training: Mapping[str, Any]) -> pd.DataFrame:
    """A row per arm and seed: test figures at the selected epoch, the criterion there, the last weight of rul."""
    given = {"data": dict(data), "arms": arms, "seeds": seeds, "training": dict(training), "selection": {"scale": "baseline"}}
    asked = parse_experiment(given)
    problem = load(asked.data)
    spec = resolve(asked, problem)
    return pd.concat([_arm(problem, spec, name) for name in arms], ignore_index=True)


def _arm(problem: Problem, spec: ExperimentSpec, arm: str) -> pd.DataFrame:
    lanes = Training(problem, [run for (name, _), run in spec.runs().items() if name == arm], "cpu")
    *_, last = (record.values for record in lanes if record is not None)
    weights = last[:, [lanes.channels.index(Channel("train", task.name, "weight")) for task in problem.tasks]]
    rows = []
    for lane, result in enumerate(lanes.results()):
        test = result.metrics["best"]["test"]
        figures = {name: test[task].get(metric) for name, (task, metric) in FIGURES.items()}
        row = {"arm": arm, "seed": lane, "criterion": result.selected_criterion, "epoch": result.selected_epoch, **figures}
        rows.append({**row, "weight": weights[lane, 0], "odds": weights[lane, 0] / weights[lane, 1]})
    return pd.DataFrame(rows).astype(dict.fromkeys((*FIGURES, "criterion"), float))


def compare(data: Mapping[str, Any], seeds: int, training: Mapping[str, Any]) -> pd.DataFrame:
    """All arms, and the best of the fixed ones once more as `tuned`."""
    weighted = {**data, "failure_weight": 1.0} if "scenario" in data else data
    learned = [train(data, LEARNED, seeds, training), train(weighted, AMNL_C, seeds, training)]
    searched = train(data, FIXED, seeds, training)
    best = searched.groupby("arm")["criterion"].mean().idxmin()
    tuned = searched[searched["arm"] == best].assign(arm=f"tuned ({best})")
    return pd.concat([tuned, *learned, searched], ignore_index=True)


def units(seeds: int, epochs: int) -> pd.DataFrame:
    """One learned arm with rul in each unit; errors in cycles, weights as they are."""
    arm = {"uncertainty x20": LEARNED["uncertainty x20"]}
    found = []
    for unit in UNITS:
        rows = train({"scenario": "turbofan", "rul_unit": unit}, arm, seeds, {"epochs": epochs})
        found.append(rows.assign(arm=f"rul in {1 / unit:g} cycles", unit=unit, rmse=rows["rmse"] / unit))
    return pd.concat(found, ignore_index=True)


def table(found: pd.DataFrame) -> str:
    """Means over seeds with 95 % intervals, arm by arm in order."""
    shown = ("rmse", "nasa score", "accuracy", "criterion", "odds")
    rows = {
        arm: {name: interval(estimate(found.loc[found["arm"] == arm, name].to_numpy(dtype=np.float64))) for name in shown}
        for arm in found["arm"].unique()
    }
    return pd.DataFrame(rows).T.rename(columns={"odds": "weight rul : health"}).to_string()


def ratios(found: pd.DataFrame) -> str:
    """What the second unit makes of the first, paired by seed (ratios: of their logarithms)."""
    first, second = (found[found["unit"] == unit].set_index("seed") for unit in UNITS)
    factor = estimate(np.log10((second["weight"] / first["weight"]).to_numpy()))
    lines = [f"log10 of the weight's ratio: {interval(factor)}; claimed: {-2 * np.log10(UNITS[1] / UNITS[0]):g}"]
    lines += [
        f"difference of {name}: {interval(estimate((second[name] - first[name]).to_numpy()), signed=True)}; claimed: 0"
        for name in ("rmse", "accuracy")
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="path of a C-MAPSS train file")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--units", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.units:
        found = units(options.seeds, options.epochs or 60)
    else:
        source = {"file": options.data} if options.data else {"scenario": "turbofan"}
        found = compare(source, options.seeds, {"epochs": options.epochs} if options.epochs else {})
    if options.json:
        print(found.to_json(orient="records"))
        return
    print(table(found))
    if options.units:
        print(ratios(found))


if __name__ == "__main__":
    main()

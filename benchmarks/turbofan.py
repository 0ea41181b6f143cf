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

--units trains learned arms on simulated engines whose rul is counted in hundreds and in tens of cycles. The claim is that the
weight of rul becomes 1/100 and nothing else changes. A learned weight follows the loss, so what is compared is the weight, and
the weight times the training loss in cycles, both at the selected epoch. Not in cycles and tenths of one: there outputs have to
reach hundreds and thousands, which takes the budget, and the loss falls by a factor of 40 on the way, which Adam's memory makes
the log-variances of uncertainty follow far too late: -0.10 [-0.11, -0.09] instead of -2 after 60 epochs (4 seeds).

Measured (recommended budget, 8 seeds, means with 95 % intervals):

                    RMSE                  NASA score              accuracy
    tuned (0.003)   13.31 [13.11, 13.51]  1,483 [1,443, 1,523]    .740 [.729, .752]
    equal           13.18 [12.99, 13.37]  1,453 [1,423, 1,484]    .608 [.589, .627]     dwa, uncertainty, softplus: as equal
    amnl A          13.6  [13.1, 14.2]    1,654 [1,471, 1,836]    .745 [.731, .759]
    amnl B          15.8  [15.2, 16.5]    2,463 [2,033, 2,893]    .749 [.740, .758]
    amnl C          12.72 [12.49, 12.96]  1,339 [1,302, 1,375]    .622 [.604, .639]
    gradnorm        20.1  [18.9, 21.4]    5,535 [5,103, 5,968]    .702 [.686, .718]

No learned arm beats the tuned one on the criterion. log10 of the weight's ratio in --units: uncertainty x20 -1.96 [-2.16, -1.77],
times the loss -2.03 [-2.17, -1.89]; amnl B -2.47 [-2.71, -2.23], times the loss -2.23 [-2.37, -2.09]. RMSE, accuracy: uncertainty
x20 -0.44 [-0.81, -0.07] and -.020 [-.040, .000], so not quite nothing else; amnl B +0.20 [-0.23, +0.62], -.004 [-.028, +.020].
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
UNITS = (0.01, 0.1)  # of rul, per cycle
UNIT_ARMS = ("uncertainty x20", "amnl B")


def train(data: Mapping[str, Any], arms: Arms, seeds: int, training: Mapping[str, Any]) -> pd.DataFrame:
    """A row per arm and seed, all at the selected epoch: test figures, the criterion, the weight of rul, its training loss."""
    given = {"data": dict(data), "arms": arms, "seeds": seeds, "training": dict(training), "selection": {"scale": "baseline"}}
    asked = parse_experiment(given)
    problem = load(asked.data)
    spec = resolve(asked, problem)
    return pd.concat([_arm(problem, spec, name) for name in arms], ignore_index=True)


def _arm(problem: Problem, spec: ExperimentSpec, arm: str) -> pd.DataFrame:
    lanes = Training(problem, [run for (name, _), run in spec.runs().items() if name == arm], "cpu")
    history = np.stack([record.values for record in lanes if record is not None])
    columns = [Channel("train", "rul", "weight"), Channel("train", "health", "weight"), Channel("train", "rul", "loss")]
    criteria = history[:, :, lanes.channels.index(Channel("validation", "", "criterion"))]
    rows = []
    for lane, result in enumerate(lanes.results()):
        test = result.metrics["best"]["test"]
        figures = {name: test[task].get(metric) for name, (task, metric) in FIGURES.items()}
        best = int(np.nanargmin(criteria[:, lane]))
        weight, other, loss = (history[best, lane, lanes.channels.index(channel)] for channel in columns)
        row = {"arm": arm, "seed": lane, "criterion": criteria[best, lane], "epoch": best + 1, **figures}
        rows.append({**row, "weight": weight, "odds": weight / other, "loss": loss})
    return pd.DataFrame(rows).astype(dict.fromkeys(FIGURES, float))


def compare(data: Mapping[str, Any], seeds: int, training: Mapping[str, Any]) -> pd.DataFrame:
    """All arms, and the best of the fixed ones once more as `tuned`."""
    weighted = {**data, "failure_weight": 1.0} if "scenario" in data else data
    learned = [train(data, LEARNED, seeds, training), train(weighted, AMNL_C, seeds, training)]
    searched = train(data, FIXED, seeds, training)
    best = searched.groupby("arm")["criterion"].mean().idxmin()
    tuned = searched[searched["arm"] == best].assign(arm=f"tuned ({best})")
    return pd.concat([tuned, *learned, searched], ignore_index=True)


def units(seeds: int, training: Mapping[str, Any]) -> pd.DataFrame:
    """Learned arms with rul in each unit; errors and losses in cycles, weights as they are."""
    arms = {name: LEARNED[name] for name in UNIT_ARMS}
    found = []
    for unit in UNITS:
        rows = train({"scenario": "turbofan", "rul_unit": unit}, arms, seeds, training)
        found.append(rows.assign(unit=unit, rmse=rows["rmse"] / unit, loss=rows["loss"] / unit**2))
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
    """What ten times the unit makes of each arm, paired by seed: ratios as differences of logarithms."""
    lines = []
    for arm in UNIT_ARMS:
        mine = found[found["arm"] == arm]
        first, second = (mine[mine["unit"] == unit].set_index("seed") for unit in UNITS)
        weight = np.log10(second["weight"] / first["weight"])
        said = {
            "log10 of the weight's ratio (claimed -2)": weight,
            "the same of weight times loss in cycles (claimed -2)": weight + np.log10(second["loss"] / first["loss"]),
            "difference of rmse in cycles (claimed 0)": second["rmse"] - first["rmse"],
            "difference of accuracy (claimed 0)": second["accuracy"] - first["accuracy"],
        }
        lines += [f"{arm}: {what}: {interval(estimate(values.to_numpy()), signed=True)}" for what, values in said.items()]
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
    training = {"epochs": options.epochs} if options.epochs else {}
    if options.units:
        found = units(options.seeds, training)
    else:
        found = compare({"file": options.data} if options.data else {"scenario": "turbofan"}, options.seeds, training)
    if options.json:
        print(found.to_json(orient="records"))
        return
    print(ratios(found) if options.units else table(found))


if __name__ == "__main__":
    main()

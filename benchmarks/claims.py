"""What each scenario is there to show, measured: every claim over seeds, with its interval, whether it holds or not.

    python -m benchmarks.claims [NAME ...] [--seeds 8] [--store FILE] [--json]

Names: regret, negative, dominance, sparse, leakage, runaway, units, tuned. The landscape and the turbofan engines have benchmarks
of their own (`benchmarks/landscape.py`, `benchmarks/turbofan.py`), scenes a table (`benchmarks/scenes.py`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

import mtl_core
from benchmarks.search import CRITERION, best_fixed
from mtl_core.analysis.seeds import Estimate, estimate
from mtl_core.data import scenarios
from mtl_core.engine import Training
from mtl_core.lanes.batches import Batches
from mtl_core.lanes.gradients import Section, take
from mtl_core.resolving import resolve
from mtl_core.specs import parse_experiment

KENDALL = {"scheme": "uncertainty"}
PRESET = {"scheme": "uncertainty", "preset": "osint"}
SOFTPLUS = {"scheme": "softplus"}


class Figure(NamedTuple):
    """One measured number."""

    claim: str
    what: str
    value: Estimate

    def __str__(self) -> str:
        return f"{self.what}: {self.value.mean:.4g} [{self.value.low:.4g}, {self.value.high:.4g}], N = {self.value.n}"


class Bench(NamedTuple):
    """How much is measured, and where runs are kept."""

    seeds: int
    store: Path

    def compare(self, data: Any, arms: Mapping[str, Any], **more: Any) -> Any:
        """Runs that are in the store are not trained again."""
        return mtl_core.compare(data, dict(arms), seeds=self.seeds, store=self.store, **more)


# --- osint ------------------------------------------------------------------------------------------------------------


def regret(bench: Bench) -> Iterator[Figure]:
    """The learned total falls on after the fixed criterion has turned: who selects by it keeps a worse epoch."""
    found = bench.compare("osint", {"fixed": "equal", "kendall": KENDALL, "preset osint": PRESET, "softplus": SOFTPLUS})
    for arm in found.comparison.spec.arms:
        runs = [found.comparison.runs[place].result for place in found.comparison.runs_of(arm)]
        for name in ("regret", "test_regret", "selected_epoch", "counterfactual_epoch"):
            yield Figure("regret", f"{arm}, {name}", estimate(np.array([getattr(run, name) for run in runs], dtype=float)))


def negative(bench: Bench) -> Iterator[Figure]:
    """Kendall's total goes below 0 once losses are small; the softplus form cannot."""
    found = bench.compare("osint", {"fixed": "equal", "kendall": KENDALL, "preset osint": PRESET, "softplus": SOFTPLUS})
    for arm in ("kendall", "preset osint", "softplus"):
        for split in ("train", "validation"):
            column = found.comparison.column(split, "", "learned_total")[:, found.comparison.runs_of(arm)]
            yield Figure("negative", f"{arm}, lowest {split} total", estimate(np.nanmin(column, axis=0)))


def dominance(bench: Bench) -> Iterator[Figure]:
    """Casualty's share of the loss and of the sum of gradient lengths, in the first epoch and after the last."""
    arms = {"fixed": "equal", "kendall x10": KENDALL | {"settings": {"lr_factor": 10.0}}, "softplus": SOFTPLUS}
    found = bench.compare("osint", arms)
    for arm in arms:
        share = found.comparison.column("train", "casualty", "share")[:, found.comparison.runs_of(arm)]
        for epoch, words in ((0, "first"), (-1, "last")):
            yield Figure("dominance", f"{arm}, casualty's share of the weighted loss, {words} epoch", estimate(share[epoch]))
    for arm, shares in _gradient_shares(arms, bench.seeds).items():
        for words, values in zip(("before the first step", "after the last"), shares, strict=True):
            yield Figure("dominance", f"{arm}, casualty's share of the weighted gradient lengths, {words}", estimate(values))


def _gradient_shares(arms: Mapping[str, Any], seeds: int) -> dict[str, list[np.ndarray]]:
    """By arm: casualty's share of the lengths of weighted task gradients on one batch of 500 rows, at the start and the end."""
    problem = scenarios.load("osint")
    spec = resolve(parse_experiment({"data": {"scenario": "osint"}, "arms": dict(arms), "seeds": seeds}), problem)
    training = Training(problem, list(spec.runs().values()), "cpu")
    found = [_lengths(training)]
    for _ in training:
        if training.epoch == training.epochs - 1:
            last = training.live
    training.live = last
    found.append(_lengths(training))
    place = [task.name for task in problem.tasks].index("casualty")
    shares = [(lengths / lengths.sum(1, keepdims=True))[:, place] for lengths in found]
    names = [arm for arm, _ in spec.runs()]
    return {arm: [share[[name == arm for name in names]] for share in shares] for arm in arms}


def _lengths(training: Training) -> np.ndarray:
    """Lengths of the weighted gradients at the trunk, `[runs, tasks]`: what each task adds to a step."""
    live = training.live
    wide = Batches(training.data, training.batches.seeds, 500)
    batch = next(iter(wide.of(1))).of(live.slots)
    done, _, slopes = live._forward(batch, live.model, learn=True)
    gramian = take(live.model, done, live.model.at_places(slopes), [Section(0, len(live.flat), "shared")]).gramian
    lengths = gramian.diagonal(dim1=1, dim2=2).sqrt()
    weights = live.weighing.recent if bool(live.weighing.recent.any()) else torch.ones_like(lengths)
    return (lengths * weights)[live.seats.argsort()].double().numpy()


def sparse(bench: Bench) -> Iterator[Figure]:
    """Transition, 2 % positives among the 8 % of rows that are labelled: what it predicts without and with gates."""
    pairs = [(mode, threshold) for mode in ("hard", "soft") for threshold in THRESHOLDS]
    gates = {f"{mode} {threshold:g}": {"mode": mode, "threshold": threshold} for mode, threshold in pairs}
    arms: dict[str, Any] = {"no gate": "equal"} | {name: {"scheme": "equal", "gate": gate} for name, gate in gates.items()}
    found = bench.compare("osint", arms)
    for arm in arms:
        for metric in ("auroc", "average_precision", "f1", "positive_rate"):
            value = _test(found, arm, "transition", metric)
            if value.n:
                yield Figure("sparse", f"{arm}, transition {metric}", value)
        weight = found.comparison.column("train", "transition", "weight")[:, found.comparison.runs_of(arm)]
        yield Figure("sparse", f"{arm}, transition mean weight", estimate(np.nanmean(weight, axis=0)))


THRESHOLDS = (0.02, 0.05, 0.1, 0.2)


def leakage(bench: Bench) -> Iterator[Figure]:
    """Forecast with and without copies of its target among the features."""
    for strength in (0.0, 0.8):
        found = bench.compare({"scenario": "osint", "leakage": strength}, {"fixed": "equal"})
        yield Figure("leakage", f"leakage {strength:g}, forecast r2", _test(found, "fixed", "forecast", "r2"))


# --- others -----------------------------------------------------------------------------------------------------------


def runaway(bench: Bench) -> Iterator[Figure]:
    """Where a loss is below the clamp, s runs away if only the coefficient is clamped; absence alone does not do it here.

    In the source a layer without annotations has loss 0 and still pays its log term. Here an absent task leaves the step, so s is
    held where it was; what is left of the defect are losses below the clamp, made here by small coefficients.
    """
    forms = {
        "no clamp": {},
        "coefficient clamped, log term not": {"clamp": [-2, 2], "clamp_form": "coefficient"},
        "parameter clamped": {"clamp": [-2, 2]},
    }
    arms = {name: {"scheme": "uncertainty", "settings": {"lr_factor": 30.0, **form}} for name, form in forms.items()}
    absent = {"scenario": "banknotes", "layer_2_labels": 0.1, "layer_3_labels": 0.1}
    small = absent | {"object_weight": 0.1, "box_weight": 0.01, "class_weight": 0.01}
    for words, data in (("labels of layers 2 and 3 on a tenth of the pictures", absent), ("and losses a hundredth", small)):
        found = bench.compare(data, {"fixed": "equal", **arms}, baseline="fixed")
        for arm in arms:
            total = found.comparison.column("train", "", "learned_total")[-1, found.comparison.runs_of(arm)]
            yield Figure("runaway", f"{words}; {arm}, learned total of the last epoch", estimate(total))
            for task in ("layer_1", "layer_2", "layer_3"):
                sigma = found.comparison.column("train", task, "sigma")[-1, found.comparison.runs_of(arm)]
                yield Figure("runaway", f"{words}; {arm}, s of {task}", estimate(2 * np.log(sigma)))


def units(bench: Bench) -> Iterator[Figure]:
    """A task's unit times 10: its learned weight becomes 1/100 of what it was, and its metrics in that unit stay."""
    arm = {"learned": KENDALL | {"settings": {"lr_factor": 20.0}}}
    base = {"scenario": "noise_and_scale", "units": "matched"}
    found = [bench.compare({**base, **more}, arm, training={"epochs": 120}) for more in ({}, {"unit_by_task": {"task_2": 10.0}})]
    before, after = (one.comparison.column("train", "task_2", "weight")[-1, one.comparison.runs_of("learned")] for one in found)
    yield Figure("units", "weight of task_2 with its unit times 10, over that without", estimate(after / before))
    for task in ("task_1", "task_2", "task_3", "task_4"):
        values = [_values(one, "learned", task, "r2") for one in found]
        yield Figure("units", f"{task}, r2 with the unit times 10 minus without", estimate(values[1] - values[0]))


def tuned(bench: Bench) -> Iterator[Figure]:
    """Learned schemes against the best of 16 fixed weightings, by the fixed criterion on the test split."""
    learned = {"kendall": KENDALL, "softplus": SOFTPLUS, "dwa": "dwa", "famo": "famo", "pcgrad": "pcgrad", "nash_mtl": "nash_mtl"}
    for name in ("osint", "multi_digits"):
        tasks = [task.name for task in scenarios.load(name).tasks]
        searched = best_fixed(name, tasks, bench.store)
        arms = {"tuned": {"scheme": "fixed", "settings": {"weights": searched.weights}}, "equal": "equal", **learned}
        found = bench.compare(name, arms, baseline="tuned", selection=CRITERION)
        baselines = found.comparison.problem.baselines["test"]
        criteria = {arm: _relative(found, arm, tasks, baselines) for arm in arms}
        yield Figure("tuned", f"{name}, tuned fixed weights, test criterion", estimate(criteria["tuned"]))
        for arm in list(arms)[1:]:
            yield Figure("tuned", f"{name}, {arm} minus tuned, test criterion", estimate(criteria[arm] - criteria["tuned"]))


def _relative(found: Any, arm: str, tasks: Sequence[str], baselines: Mapping[str, Any]) -> np.ndarray:
    """Mean over tasks of the test loss over the constant predictor's, of every run."""
    return np.mean([_values(found, arm, task, "loss") / baselines[task]["loss"] for task in tasks], axis=0)


def _values(found: Any, arm: str, task: str, metric: str) -> np.ndarray:
    runs = [found.comparison.runs[place].result for place in found.comparison.runs_of(arm)]
    values = [run.metrics["best"]["test"][task][metric] if run and run.metrics else None for run in runs]
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _test(found: Any, arm: str, task: str, metric: str) -> Estimate:
    return estimate(_values(found, arm, task, metric))


CLAIMS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    one.__name__: one for one in (regret, negative, dominance, sparse, leakage, runaway, units, tuned)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*CLAIMS, []], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--store", type=Path, help="where runs are kept; default: nowhere")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(chosen.seeds, chosen.store or Path(folder) / "store.sqlite")
        print_all = partial(_print, bench, as_json=chosen.json)
        for name in chosen.names or CLAIMS:
            print_all(name)


def _print(bench: Bench, name: str, *, as_json: bool) -> None:
    claim = CLAIMS[name]
    if not as_json:
        print(f"\n{name}: {(claim.__doc__ or '').splitlines()[0]}")
    for figure in claim(bench):
        fields = {"claim": name, "what": figure.what, **figure.value._asdict()}
        print(json.dumps(fields) if as_json else f"  {figure}", flush=True)


if __name__ == "__main__":
    pd.set_option("display.width", 200)
    main()

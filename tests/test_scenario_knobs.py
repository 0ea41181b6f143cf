"""Knobs by task, leakage, class balance, relatedness: what each changes in the data, what it leaves, what truth says of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import gradnorm_toy as benchmark
from mtl_core.baselines import baseline_losses
from mtl_core.data.scenarios import load
from mtl_core.data.scenarios.gradnorm_toy import scales
from mtl_core.data.scenarios.outcomes import SHARPNESS, ordered
from mtl_core.engine import Training
from mtl_core.landscape import STARTS
from mtl_core.lanes.evaluate import evaluate
from mtl_core.problem import SPLITS, VALIDATION, Problem
from mtl_core.resolving import resolve
from mtl_core.specs import ArmSpec, DataSpec, RunSpec, SelectionSpec, TrainingSpec, parse_experiment


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def unlike(a: Problem, b: Problem) -> set[str]:
    """Tasks whose targets differ, and `features`."""
    return {name for name in a.targets if not same(a.targets[name], b.targets[name])} | (
        set() if same(a.features, b.features) else {"features"}
    )


# --- knobs by task ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["osint", "noise_and_scale", "gradnorm_toy"])
def test_a_share_of_labels_by_task_is_that_of_every_split_and_of_that_task_only(name: str) -> None:
    plain = load(name, {"samples": 2000})
    task = list(plain.targets)[1]
    sparse = load(name, {"samples": 2000, "labels_by_task": {task: 0.2}})
    for split in range(len(SPLITS)):
        assert sparse.availability(split)[task] == pytest.approx(0.2, abs=5e-3)
        others = {other: share for other, share in plain.availability(split).items() if other != task}
        assert {other: sparse.availability(split)[other] for other in others} == pytest.approx(others)
    assert sparse.truth["labels"][task] == 0.2


@pytest.mark.parametrize(("name", "task"), [("osint", "anomaly"), ("noise_and_scale", "task_2"), ("gradnorm_toy", "task_2")])
def test_a_unit_by_task_multiplies_that_task_and_its_irreducible_loss_by_the_square(name: str, task: str) -> None:
    noise = {"noise": 0.5}
    one, three = (load(name, {"samples": 1000, "unit_by_task": {task: unit}, **noise}) for unit in (1.0, 3.0))
    assert unlike(one, three) == {task}
    np.testing.assert_allclose(3 * one.targets[task], three.targets[task])
    assert three.truth["irreducible"][task] == pytest.approx(9 * one.truth["irreducible"][task], rel=1e-3)
    assert three.truth["unit"][task] == 3.0


@pytest.mark.parametrize(
    ("name", "task"), [("noise_and_scale", "task_2"), ("gradnorm_toy", "task_2"), ("gradnorm_toy", "task_1")]
)
def test_noise_by_task_is_what_separates_its_targets_from_those_without(name: str, task: str) -> None:
    knobs = {"samples": 5000, "unit_by_task": {task: 2.0}}
    calm = load(name, {**knobs, "noise_by_task": {task: 0.0}})
    loud = load(name, {**knobs, "noise_by_task": {task: 0.7}})
    left = loud.targets[task] - calm.targets[task]
    assert (left**2).mean() == pytest.approx(loud.truth["irreducible"][task], rel=0.06)
    assert calm.truth["irreducible"][task] == 0
    assert loud.truth["noise"][task] == 0.7


def test_osint_noise_by_task_makes_that_task_harder_and_no_other_task() -> None:
    plain = load("osint", {"leakage": 0.0})
    for task in ("regime", "anomaly", "forecast", "transition", "daily_forecast"):
        loud = load("osint", {"leakage": 0.0, "noise_by_task": {task: 4.0}})
        assert loud.truth["irreducible"][task] > plain.truth["irreducible"][task]
        changed = unlike(plain, loud)
        assert changed == {task}, task


def test_osint_classes_keep_their_shares_and_their_likelihood_under_more_noise() -> None:
    from scipy.stats import logistic

    signal = np.random.default_rng(1).standard_normal(20_000)
    drawn = ordered(np.random.default_rng(2), signal, np.array([0.7, 0.3]), noise=4.0)
    threshold = np.quantile(SHARPNESS * signal + 4 * np.random.default_rng(2).logistic(size=20_000), 0.7)
    above = logistic.sf(threshold - SHARPNESS * signal, scale=4)
    yes = drawn.targets[:, 0]
    assert yes.mean() == pytest.approx(0.3, abs=1e-4)
    assert drawn.irreducible == pytest.approx(-np.log(np.where(yes == 1, above, 1 - above)).mean(), rel=1e-9)


# --- leakage, balance, relatedness -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "columns"), [("noise_and_scale", 1), ("gradnorm_toy", 10)])
def test_a_full_leak_is_the_target_itself_and_changes_nothing_else(name: str, columns: int) -> None:
    clean, leaky = load(name, {"samples": 600}), load(name, {"samples": 600, "leakage": 1.0})
    assert not clean.warnings
    assert not clean.truth["leaky_features"]
    assert list(leaky.feature_names[-columns:]) == leaky.truth["leaky_features"]
    copied = leaky.features[:, -columns:] * leaky.truth["unit"]["task_1"]
    np.testing.assert_allclose(copied, leaky.targets["task_1"][:, :columns], rtol=1e-6)
    assert same(leaky.features[:, :-columns], clean.features)
    assert unlike(clean, leaky) == {"features"}
    assert leaky.truth["leaky_features"][0] in leaky.warnings[0]


def test_noise_and_scale_leak_leaves_what_linear_regression_on_all_that_is_known_leaves() -> None:
    knobs = {"samples": 40_000, "noise": 1.0, "leakage": 0.5}
    leaky = load("noise_and_scale", knobs)
    signal = load("noise_and_scale", {**knobs, "noise_by_task": {"task_1": 0.0}}).targets["task_1"]
    known = np.column_stack([leaky.features[:, -1], signal, np.ones(len(signal))])
    left = leaky.targets["task_1"] - known @ np.linalg.lstsq(known, leaky.targets["task_1"])[0]
    assert (left**2).mean() == pytest.approx(leaky.truth["irreducible"]["task_1"], rel=0.03)


def test_multi_digits_classes_have_the_shares_that_imbalance_asks_on_both_sides() -> None:
    problem = load("multi_digits", {"samples": 20_000, "imbalance": 0.3})
    expected = 0.7 ** np.arange(10)
    for target in problem.targets.values():
        shares = np.bincount(target[:, 0].astype(int), minlength=10) / len(target)
        np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.015)


def test_multi_digits_relatedness_is_the_share_of_right_digits_that_follow_the_left() -> None:
    plain = load("multi_digits", {"samples": 10_000})
    for share in (0.5, 1.0):
        problem = load("multi_digits", {"samples": 10_000, "relatedness": share})
        agreed = (problem.targets["left"] == problem.targets["right"]).mean()
        assert agreed == pytest.approx(share + (1 - share) / 10, abs=0.02)
        assert problem.truth["same_class"] == pytest.approx(agreed, abs=1e-4)
        assert same(problem.targets["left"], plain.targets["left"])


def test_multi_digits_noise_by_task_stays_in_the_columns_of_its_digit() -> None:
    quiet, noisy = load("multi_digits", {"samples": 300}), load("multi_digits", {"samples": 300, "noise_by_task": {"right": 0.3}})
    moved = (quiet.features != noisy.features).reshape(300, 8, 13)
    assert not moved[:, :, :5].any()
    assert moved[:, :, 5:].mean(axis=(0, 1)).min() > 0.3


# --- gradnorm_toy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", [2, 5, 10])
def test_gradnorm_toy_has_the_papers_scales(tasks: int) -> None:
    problem = load("gradnorm_toy", {"samples": 600, "tasks": tasks})
    expected = {2: (1, 100), 5: (48, 3, 54, 16, 9), 10: (48, 3, 54, 16, 9, 30, 52, 26, 47, 81)}[tasks]
    assert tuple(problem.truth["unit"].values()) == expected == scales(tasks)
    spreads = [float(target.std()) for target in problem.targets.values()]
    np.testing.assert_allclose(spreads, expected, rtol=0.05)  # tanh is saturated nearly everywhere
    alike = load("gradnorm_toy", {"samples": 600, "tasks": tasks, "scale_power": 0.0})
    assert set(alike.truth["unit"].values()) == {1.0}


@pytest.mark.parametrize("spread", [0.0, 3.5, 20.0])
def test_gradnorm_toy_relatedness_is_the_correlation_that_spread_leaves(spread: float) -> None:
    """Of saturated values, which are signs: (2/pi) arcsin of the correlation of the arguments."""
    problem = load("gradnorm_toy", {"samples": 4000, "spread": spread})
    a, b = (np.sign(target).ravel() for target in problem.targets.values())
    expected = 2 / math.pi * math.asin(problem.truth["relatedness"])
    assert (a * b).mean() == pytest.approx(expected, abs=0.02)


def test_gradnorm_toy_is_the_problem_of_the_benchmark() -> None:
    scenario = load("gradnorm_toy", {"samples": 700, "seed": 3})
    benchmarked = benchmark.problem((1.0, 100.0), 3, rows=(600, 100))
    assert unlike(scenario, benchmarked) == set()


def test_gradnorm_toy_is_judged_relative_to_a_constant_unless_told_otherwise() -> None:
    problem = load("gradnorm_toy", {"samples": 600})
    asked = {"data": {"scenario": "gradnorm_toy", "samples": 600}, "arms": {"fixed": "equal"}}
    assert resolve(parse_experiment(asked), problem).selection.scale == "baseline"
    raw = parse_experiment({**asked, "selection": {"scale": "raw"}})
    assert resolve(raw, problem).selection.scale == "raw"
    assert resolve(resolve(raw, problem), problem) == resolve(raw, problem)


def test_gradnorm_toy_untrained_networks_lose_what_a_constant_does_to_within_a_percent() -> None:
    """So the criterion relative to the constant is the paper's figure relative to the untrained network."""
    problem = load("gradnorm_toy", {"samples": 2000})
    training = TrainingSpec(epochs=1, batch_size=100, lr=1e-3, hidden=problem.training["hidden"], weight_decay=0.0)
    data, arm = DataSpec(scenario="gradnorm_toy"), ArmSpec(scheme="equal")
    runs = [RunSpec(data=data, arm=arm, seed=seed, training=training, selection=SelectionSpec()) for seed in range(4)]
    lanes = Training(problem, runs, "cpu")
    untrained, _ = evaluate(lanes.live.flat, lanes.live.shape, problem.tasks, lanes.data, lanes.data.splits[VALIDATION])
    ratio = untrained / baseline_losses(problem, lanes.data, VALIDATION).numpy()
    np.testing.assert_allclose(ratio[:, 1], 1, atol=0.01)
    np.testing.assert_allclose(ratio[:, 0], 1, atol=0.02)


# --- landscape -------------------------------------------------------------------------------------------------------


def test_landscape_starts_at_the_papers_points_and_then_at_drawn_ones_in_the_square() -> None:
    problem = load("landscape", {"drawn": 40, "square": 6.0})
    assert [tuple(start) for start in problem.starts[:5]] == list(STARTS)
    further = problem.starts[5:]
    assert further.shape == (40, 2)
    assert np.abs(further).max() <= 6
    assert len(np.unique(further, axis=0)) == 40
    assert problem.truth["starts"] == problem.starts.tolist()
    assert not same(further, load("landscape", {"drawn": 40, "square": 6.0, "seed": 1}).starts[5:])


def test_landscape_epochs_have_as_many_steps_as_asked_and_nothing_to_learn_from() -> None:
    problem = load("landscape", {"steps": 70})
    assert problem.rows(0) == 70 * problem.training["batch_size"]
    assert all(not target.any() for target in problem.targets.values())
    assert {task.kind for task in problem.tasks} == {"function"}

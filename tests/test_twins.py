"""Rows of validation and test that were trained on: every copy is found, and neighbours by nature are not taken for copies."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from tables import plain, to_csv

from mtl_core.data import scenarios
from mtl_core.data.profile import examine
from mtl_core.data.table import to_problem
from mtl_core.data.twins import find_twins, row_keys
from mtl_core.problem import TEST, TRAIN, VALIDATION, Problem
from mtl_core.specs import DataSpec, TaskSpec


def made(features: np.ndarray, labels: np.ndarray | None = None, seed: int = 0) -> Problem:
    """A problem with one amount to predict and rows dealt at random."""
    rng = np.random.default_rng(seed)
    split = rng.choice([TRAIN, VALIDATION, TEST], len(features), p=[0.6, 0.2, 0.2]).astype(np.int8)
    y = features.sum(axis=1) if labels is None else labels
    names = tuple(f"x{n}" for n in range(features.shape[1]))
    return Problem("t", features, {"y": y[:, None]}, (TaskSpec(name="y", kind="regression"),), split, names)


def smooth(rows: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width))


def test_row_keys_are_equal_exactly_where_rows_are() -> None:
    rows = np.random.default_rng(0).integers(-3, 4, size=(4_000, 5)).astype(float)
    rows[rows == 0] *= np.random.default_rng(1).choice([-1.0, 1.0], int((rows == 0).sum()))  # two zeros that are equal
    _, expected = np.unique(rows, axis=0, return_inverse=True)
    _, found = np.unique(row_keys(rows), return_inverse=True)
    assert np.unique(expected).size == np.unique(found).size == np.unique(np.stack([expected, found]), axis=1).shape[1]


@given(st.integers(0, 1_000), st.integers(1, 8), st.integers(60, 300))
def test_exact_twins_are_counted_as_plain_loops_count_them(seed: int, width: int, rows: int) -> None:
    features = np.random.default_rng(seed).integers(4, size=(rows, width)).astype(float)
    problem = made(features, seed=seed)
    trained = {tuple(row) for row in features[problem.split == TRAIN]}
    for count, split in zip(find_twins(problem).splits, (VALIDATION, TEST), strict=True):
        assert count.exact == sum(tuple(row) in trained for row in features[problem.split == split])
        assert count.rows == (problem.split == split).sum()


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01])
@pytest.mark.parametrize("width", [5, 12, 40])
def test_rows_that_were_copied_are_found(width: int, noise: float) -> None:
    rows = smooth(400, width)
    copies = np.repeat(rows, 2, axis=0) + noise * smooth(800, width, seed=1)
    problem = made(copies, np.repeat(rows[:, 0], 2))
    twins = find_twins(problem)
    trained = problem.split[np.arange(800) ^ 1] == TRAIN  # of each row's other copy
    for count, split in zip(twins.splits, (VALIDATION, TEST), strict=True):
        really = int((trained & (problem.split == split)).sum())
        assert 0.9 * really <= count.exact + count.near <= really
        assert count.agree == 1
        assert (count.exact == 0) == (noise > 0)
    assert ("has nearly the same features" if noise else "has the same features") in twins.sentence
    assert "use as group" in twins.warnings()[0]


def test_the_neighbour_that_is_a_twin_is_the_nearest_one() -> None:
    rows = np.concatenate([smooth(300, 6), smooth(300, 6)[:60] + 0.005])
    labels = np.concatenate([np.arange(300.0), np.arange(60.0)])
    problem = made(rows, labels)
    trained = rows[problem.split == TRAIN]
    for count, split in zip(find_twins(problem).splits, (VALIDATION, TEST), strict=True):
        distance = NearestNeighbors(n_neighbors=1).fit(trained).kneighbors(rows[problem.split == split])[0][:, 0]
        assert count.near == (distance < 0.02).sum()
        assert count.agree == 1


BY_NATURE = {
    "few features": smooth(3_000, 3),
    "many features": smooth(3_000, 30),
    "heavy tails": np.exp(2 * smooth(3_000, 5)),
    "a line in space": np.outer(np.linspace(0, 50, 3_000), np.ones(8)) + 3,
    "a surface": np.concatenate([smooth(3_000, 2) @ smooth(2, 6, 1), np.sin(smooth(3_000, 2) @ smooth(2, 6, 2))], axis=1),
    "with codes": np.concatenate([np.random.default_rng(0).integers(3, size=(3_000, 4)), smooth(3_000, 4)], axis=1),
    "rounded": np.round(smooth(3_000, 4), 1),
    "one far value": np.concatenate([np.full((1, 6), 1e9), smooth(2_999, 6)]),
}


@pytest.mark.parametrize("name", BY_NATURE)
def test_neighbours_by_nature_are_not_warned_of(name: str) -> None:
    assert not find_twins(made(BY_NATURE[name])).warnings()


def test_features_of_few_values_make_equal_rows_and_that_is_said_without_warning() -> None:
    twins = find_twins(made(np.random.default_rng(0).integers(3, size=(600, 4)).astype(float)))
    assert twins.coarse
    assert "to be expected" in twins.sentence
    assert not twins.warnings()


@given(st.permutations(range(90)))
def test_the_order_of_rows_changes_nothing(order: list[int]) -> None:
    rows = np.repeat(smooth(45, 4), 2, axis=0) + np.repeat([[0.0], [0.001]], 45, axis=0).reshape(90, 1)
    problem = made(rows, np.arange(90.0) // 4)
    moved = Problem(
        "t", rows[order], {"y": problem.targets["y"][order]}, problem.tasks, problem.split[order], problem.feature_names
    )
    assert str(find_twins(moved)) == str(find_twins(problem))


def test_labels_agree_only_where_both_rows_have_one() -> None:
    rows = np.repeat(smooth(200, 4), 2, axis=0)
    labels = np.where(np.arange(400) % 2, np.nan, 1.0)
    assert all(np.isnan(count.agree) for count in find_twins(made(rows, labels)).splits)
    assert "labels" not in find_twins(made(rows, labels)).sentence
    apart = find_twins(made(rows, np.arange(400.0) % 2))
    assert all(count.agree < 0.5 for count in apart.splits)


def test_a_table_of_repeated_rows_is_warned_of_until_a_group_keeps_them_together() -> None:
    rows = [[*row, str(n)] for n, row in enumerate(plain(100)) for _ in range(3)]
    data = to_csv(rows, ("x1", "x2", "x3", "x4", "price", "kind", "visits", "who"))
    said = {"file": "t.csv", "targets": {"price": None, "kind": None}, "ignore": ["who", "visits"]}
    loose = to_problem(data, "t.csv", DataSpec.model_validate(said))
    assert any("twin" in w or "same features" in w or "nearly the same" in w for w in loose.warnings)
    assert examine(data, "t.csv", DataSpec.model_validate(said)).understanding.warnings[-1] == loose.warnings[-1]
    grouped = to_problem(data, "t.csv", DataSpec.model_validate({**said, "ignore": ["visits"], "group": "who"}))
    assert not [w for w in grouped.warnings if "nearly the same" in w]
    wrong = [[*row[:7], str(n % 40)] for n, row in enumerate(rows)]
    data = to_csv(wrong, ("x1", "x2", "x3", "x4", "price", "kind", "visits", "who"))
    told = to_problem(data, "t.csv", DataSpec.model_validate({**said, "ignore": ["visits"], "group": "who"})).warnings[-1]
    assert 'the group "who" does not keep them together' in told


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_no_scenario_repeats_its_rows(name: str) -> None:
    assert not find_twins(scenarios.load(name, {})).warnings()


def test_thousands_of_features_leave_only_exact_twins() -> None:
    pixels = np.repeat(smooth(60, 1_200), 2, axis=0)
    twins = find_twins(made(pixels))
    assert "1,200 features" in twins.note
    assert all(count.exact and not count.looked for count in twins.splits)


def test_the_work_on_a_long_table_is_bounded() -> None:
    problem = made(smooth(60_000, 30))
    start = time.process_time()
    twins = find_twins(problem)
    assert time.process_time() - start < 5  # measured 0.5
    assert all(count.looked == 500 for count in twins.splits)

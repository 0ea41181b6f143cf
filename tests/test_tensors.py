"""Problems as tensors: features of one size whatever their unit, marks that stay marks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtl_core.lanes import tensors
from mtl_core.lanes.tensors import to_tensors
from mtl_core.problem import Problem
from mtl_core.specs import TaskSpec


def features_of(*columns: np.ndarray) -> np.ndarray:
    """The training rows (the first 60 of 100) as the model sees them, in double precision."""
    split = np.repeat([0, 1, 2], [60, 20, 20]).astype(np.int8)
    targets = {"y": np.arange(100.0)[:, None]}
    names = tuple(f"x{place}" for place in range(len(columns)))
    problem = Problem("made", np.stack(columns, axis=1), targets, (TaskSpec(name="y", kind="regression"),), split, names)
    return to_tensors(problem, torch.float64, torch.device("cpu")).splits[0].features.numpy()


def test_numbers_have_mean_0_and_deviation_1_over_the_training_rows_in_any_unit() -> None:
    values = np.random.default_rng(0).lognormal(size=100)
    seen = features_of(values, 1e9 * values - 5e9)
    assert np.allclose(seen.mean(0), 0)
    assert np.allclose(seen.std(0), 1)


def test_a_mark_of_a_rare_level_is_as_far_from_none_as_that_of_a_common_one() -> None:
    rare, common = (np.arange(100) % 30 == 0).astype(float), (np.arange(100) % 2).astype(float)
    seen = features_of(rare, common)
    assert np.allclose(seen.mean(0), 0)
    assert np.allclose(np.ptp(seen, axis=0), np.ptp(features_of(np.arange(100) % 2.0), axis=0))
    assert np.allclose(seen[:, 1].std(), 1), "a mark of half of the rows is like a number"
    assert np.allclose(features_of(2 * common).std(0), 1), "two numbers that are no marks are numbers"


def test_a_split_is_complete_if_no_label_of_it_is_missing() -> None:
    targets, split = np.arange(100.0)[:, None], np.repeat([0, 1, 2], [60, 20, 20]).astype(np.int8)
    targets[70] = np.nan
    problem = Problem("made", np.zeros((100, 1)), {"y": targets}, (TaskSpec(name="y", kind="regression"),), split, ("x",))
    found = to_tensors(problem, torch.float64, torch.device("cpu"))
    assert [rows.complete for rows in found.splits] == [True, False, True]


def test_a_table_taken_block_by_block_is_the_table_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    features, split = rng.normal(3, 2, size=(100, 4)), rng.permutation(np.repeat([0, 1, 2], [60, 20, 20])).astype(np.int8)
    targets = {
        "y": np.where(rng.random((100, 3)) < 0.3, np.nan, rng.normal(size=(100, 3))),
        "c": rng.integers(0, 2, (100, 1)) * 1.0,
    }
    tasks = (TaskSpec(name="y", kind="multi_output", width=3), TaskSpec(name="c", kind="binary"))
    problem = Problem("made", features, targets, tasks, split, ("a", "b", "c", "d"))
    monkeypatch.setattr(tensors, "NUMBERS_AT_ONCE", 28)  # seven rows of features
    found = to_tensors(problem, torch.float64, torch.device("cpu"))
    train, known = split == 0, np.isfinite(targets["y"])
    mean, scale = np.nanmean(targets["y"][train], 0), np.nanstd(targets["y"][train], 0)
    for number, rows in enumerate(found.splits):
        mine = split == number
        expected = (features[mine] - features[train].mean(0)) / features[train].std(0)
        np.testing.assert_allclose(rows.features, expected, rtol=1e-12, atol=1e-12)
        scaled = np.where(known, (targets["y"] - mean) / scale, 0.0)[mine]
        np.testing.assert_allclose(rows.targets, np.column_stack([scaled, targets["c"][mine]]), rtol=1e-12, atol=1e-12)
        assert np.array_equal(rows.valid, np.column_stack([known[mine], np.ones(mine.sum(), dtype=bool)]))
    np.testing.assert_allclose(found.scales[0], scale, rtol=1e-12)

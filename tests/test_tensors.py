"""Problems as tensors: features of one size whatever their unit, marks that stay marks."""

from __future__ import annotations

import numpy as np
import torch

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

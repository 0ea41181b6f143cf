"""Splits: seeded, in proportion for every label, whole groups, columns that say it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_core.data.splits import Rows, assign, check, from_column, uneven
from mtl_core.errors import TableError
from mtl_core.problem import TEST, TRAIN, VALIDATION


def some_rows(count: int = 500, seed: int = 0) -> Rows:
    """A regression target, a target of three classes of which one is rare, and a sparse binary one."""
    rng = np.random.default_rng(seed)
    amount = rng.normal(size=count)
    kind = rng.choice(3, size=count, p=[0.6, 0.36, 0.04]).astype(float)
    sparse = np.where(rng.random(count) < 0.15, rng.integers(0, 2, count), np.nan)
    return Rows(np.stack([amount, kind, sparse], axis=1), [False, True, True])


def shares(split: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return np.bincount(split[inside], minlength=3) / inside.sum()


def test_three_fifths_train_and_a_fifth_each_validate_and_test() -> None:
    split = assign(some_rows(), seed=0)
    assert np.abs(np.bincount(split) - [300, 100, 100]).max() <= 3


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    assert np.array_equal(assign(some_rows(), seed=3), assign(some_rows(), seed=3))
    assert not np.array_equal(assign(some_rows(), seed=3), assign(some_rows(), seed=4))


def test_every_class_and_every_pattern_of_missing_labels_is_shared_out_in_proportion() -> None:
    rows = some_rows()
    split = assign(rows, seed=1)
    for column in (1, 2):
        values = rows.labels[:, column]
        for inside in [np.isnan(values), *(values == code for code in np.unique(values[np.isfinite(values)]))]:
            if inside.any():
                assert np.abs(np.bincount(split[inside], minlength=3) - inside.sum() * np.array([0.6, 0.2, 0.2])).max() <= 4


def test_the_range_of_a_regression_target_is_shared_out_in_proportion() -> None:
    rows = some_rows()
    split = assign(rows, seed=1)
    for low, high in ((-9, -0.7), (-0.7, 0), (0, 0.7), (0.7, 9)):
        inside = (rows.labels[:, 0] > low) & (rows.labels[:, 0] <= high)
        assert np.abs(shares(split, inside) - [0.6, 0.2, 0.2]).max() < 0.12


def test_six_rare_targets_at_once_all_reach_every_split() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((3000, 6)) < [0.03, 0.004, 0.01, 0.008, 0.01, 0.002]).astype(float)
    split = assign(Rows(labels, [True] * 6), seed=0)
    for column in labels.T:
        counts = np.bincount(split[column == 1], minlength=3)
        assert counts.min() >= 1
        assert np.abs(counts - column.sum() * np.array([0.6, 0.2, 0.2])).max() <= 3


@pytest.mark.parametrize("members", [1, 2, 3, 4])
def test_a_class_of_a_few_rows_is_trained_on_first(members: int) -> None:
    labels = np.zeros((200, 1))
    labels[:members] = 1
    split = assign(Rows(labels, [True]), seed=0)[:members]
    assert (split == TRAIN).any()
    assert len(set(split)) == min(members, 3)


def test_a_sorted_table_is_shuffled() -> None:
    labels = np.arange(300.0)[:, None]
    split = assign(Rows(labels, [False]), seed=0)
    assert all(len(set(split[at : at + 30])) == 3 for at in range(0, 300, 30))


def test_labels_that_no_row_has_together_are_both_in_every_split() -> None:
    labels = np.full((300, 2), np.nan)
    labels[:150, 0] = np.arange(150)
    labels[150:, 1] = np.arange(150)
    split = assign(Rows(labels, [False, False]), seed=0)
    for half in (split[:150], split[150:]):
        assert np.abs(np.bincount(half) - [90, 30, 30]).max() <= 1


@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 9))
@settings(max_examples=60)
def test_any_labels_can_be_split(count: int, targets: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, size=(count, targets)).astype(float)
    labels[rng.random((count, targets)) < 0.4] = np.nan
    split = assign(Rows(labels, list(rng.integers(0, 2, targets).astype(bool))), seed)
    assert split.dtype == np.int8
    assert set(split) <= {TRAIN, VALIDATION, TEST}


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [3, 4, 12, 60, 200])
def test_rows_of_one_group_stay_together(groups: int) -> None:
    rows = some_rows()._replace(groups=np.random.default_rng(1).integers(0, groups, 500))
    split = assign(rows, seed=0)
    assert all(len(set(split[rows.groups == group])) == 1 for group in np.unique(rows.groups))
    assert set(split) == {TRAIN, VALIDATION, TEST}
    if groups >= 12:
        assert np.abs(np.bincount(split) / 500 - [0.6, 0.2, 0.2]).max() < 0.08


def test_one_huge_group_trains_and_small_ones_measure() -> None:
    groups = np.array([0] * 480 + [1] * 10 + [2] * 10)
    split = assign(some_rows()._replace(groups=groups), seed=0)
    assert set(split[:480]) == {TRAIN}
    assert set(split[480:]) == {VALIDATION, TEST}


def test_fewer_than_three_groups_are_refused() -> None:
    with pytest.raises(TableError, match="2 groups"):
        assign(some_rows()._replace(groups=np.arange(500) % 2), seed=0)


# --- a column that says it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("train", "validation", "test"), ("Training", "VAL", " testing "), ("fit", "dev", "hold-out")])
def test_the_usual_spellings_are_understood(words: tuple[str, str, str]) -> None:
    values = [words[i % 3] for i in range(500)]
    split, warnings = from_column(values, "part", some_rows(), seed=0)
    assert np.array_equal(split, np.arange(500) % 3)
    assert not warnings


def test_without_validation_rows_a_sixth_of_the_training_rows_is_taken() -> None:
    values = ["train"] * 400 + ["test"] * 100
    split, warnings = from_column(values, "part", some_rows(), seed=0)
    assert 60 <= (split[:400] == VALIDATION).sum() <= 72
    assert set(split[400:]) == {TEST}
    assert "part" in warnings[0]
    rare = some_rows().labels[:400, 1] == 2
    assert (split[:400][rare] == VALIDATION).any()


def test_validation_rows_are_taken_in_whole_groups() -> None:
    groups = np.arange(500) // 10
    split, _ = from_column(["train"] * 400 + ["test"] * 100, "part", some_rows()._replace(groups=groups), seed=0)
    assert all(len(set(split[groups == group])) == 1 for group in range(50))
    assert 50 <= (split == VALIDATION).sum() <= 90


def test_groups_that_a_split_column_tears_apart_are_counted() -> None:
    values = ["train", "validation", "test"] * 100
    _, warnings = from_column(values, "part", Rows(np.arange(300.0)[:, None], [False], np.arange(300) // 3), seed=0)
    assert "100 groups" in warnings[0]


@pytest.mark.parametrize(
    ("values", "word"), [(["train", "exam"], "exam"), (["train", ""], '""'), (["test"], "train"), (["train", "val"], "test")]
)
def test_a_split_column_that_says_something_else_is_refused(values: list[str], word: str) -> None:
    count = 60
    with pytest.raises(TableError, match=word):
        from_column((values * count)[:count], "part", some_rows(count), seed=0)


# --- what a split lacks ----------------------------------------------------------------------------------------------


def test_a_target_without_labels_in_a_split_is_named() -> None:
    split = np.array([TRAIN, TRAIN, VALIDATION, TEST], np.int8)
    nan = np.nan
    assert "validation" in check(split, {"y": np.array([1, 2, nan, 3.0])}, {"y": False})[0]
    assert "one class" in check(split, {"y": np.array([1, 1, 0, 1.0])}, {"y": True})[0]
    assert not check(split, {"y": np.array([1, 0, 0, 1.0])}, {"y": True})
    with pytest.raises(TableError, match="training split"):
        check(split, {"y": np.array([nan, nan, 1, 2])}, {"y": False})


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(TableError, match="validation"):
        check(np.array([TRAIN, TEST], np.int8), {"y": np.array([1.0, 2.0])}, {"y": False})


def test_a_split_left_empty_by_rare_classes_says_so() -> None:
    labels = (np.arange(120) % 100).astype(float)
    split = assign(Rows(labels[:, None], [True]), seed=0)
    with pytest.raises(TableError, match='100 of the 100 classes of "kind" have fewer than three rows; merge rare classes'):
        check(split, {"kind": labels}, {"kind": True})


def test_a_split_far_from_its_shares_is_said() -> None:
    assert not uneven(assign(some_rows(), seed=0))
    rare = assign(Rows((np.arange(200) % 90).astype(float)[:, None], [True]), seed=0)
    assert f"{int((rare == TRAIN).sum())} rows train" in uneven(rare)[0]

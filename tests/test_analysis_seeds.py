"""Seed statistics against scipy, enumeration and worked examples."""

from __future__ import annotations

import itertools
import math
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mtl_core.analysis.seeds import RESAMPLES, Paired, estimate, holm, judge, paired, seeds_needed, sign_flip, t_quantile

values = st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=2, max_size=9).map(np.array)


@given(values)
def test_the_interval_is_scipys_t_interval(sample: np.ndarray) -> None:
    ours = estimate(sample)
    theirs = stats.ttest_1samp(sample + 0.0, 0.0).confidence_interval(0.95) if np.ptp(sample) > 1e-6 else (ours.low, ours.high)
    assert ours.mean == pytest.approx(sample.mean(), abs=1e-12)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), rel=1e-9, abs=1e-9)


def test_the_interval_of_eight_known_numbers() -> None:
    ours = estimate(np.arange(1.0, 9.0))
    half = 2.364624 * math.sqrt(6.0) / math.sqrt(8)  # t(7) at 97.5 %, sample variance 6
    assert ours == pytest.approx((4.5, 4.5 - half, 4.5 + half, 8), abs=1e-5)


def test_what_is_not_finite_is_left_out_and_counted_out() -> None:
    assert estimate(np.array([1.0, math.nan, 3.0, math.inf])) == estimate(np.array([1.0, 3.0]))
    assert estimate(np.array([1.0, math.nan])).n == 1
    assert math.isnan(estimate(np.array([1.0])).low)
    assert math.isnan(estimate(np.array([])).mean)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=8))
def test_the_sign_flip_is_the_enumeration_of_all_signs(whole: list[int]) -> None:
    totals = [sum(map(operator.mul, whole, signs)) for signs in itertools.product((1, -1), repeat=len(whole))]
    above = sum(total >= sum(whole) for total in totals) / len(totals)
    below = sum(total <= sum(whole) for total in totals) / len(totals)
    assert sign_flip(np.array(whole, dtype=float)) == min(1.0, 2 * min(above, below))


def test_eight_differences_of_one_sign_reach_the_smallest_p_and_seven_do_not() -> None:
    differences = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert sign_flip(differences) == 2 / 2**8
    assert sign_flip(np.where(differences == 0.1, -0.1, differences)) == 4 / 2**8
    assert sign_flip(-differences) == 2 / 2**8


def test_no_difference_at_all_has_p_one_and_nothing_has_none() -> None:
    assert sign_flip(np.zeros(8)) == 1
    assert math.isnan(sign_flip(np.full(3, math.nan)))


@given(values, st.randoms(use_true_random=False))
def test_the_order_of_seeds_changes_nothing(sample: np.ndarray, random) -> None:
    other = sample.copy()
    random.shuffle(other)
    assert estimate(other) == estimate(sample)
    assert sign_flip(other) == sign_flip(sample)


def test_more_seeds_than_can_be_enumerated_still_give_the_same_p_every_time() -> None:
    sample = np.random.default_rng(1).normal(0.4, 1, 30)
    assert sign_flip(sample) == sign_flip(sample[::-1])
    assert sign_flip(sample) == pytest.approx(stats.ttest_1samp(sample, 0).pvalue, abs=0.02)


@pytest.mark.parametrize("seeds", [2, 11, 16, 17, 25])
@pytest.mark.parametrize("shift", [-0.5, 0.0, 1.0])
def test_the_sign_flip_is_scipys_enumerated_or_sampled(seeds: int, shift: float) -> None:
    sample = np.random.default_rng(seeds).normal(shift, 1, seeds).round(1)  # rounded: many sums are equal
    chosen = {"permutation_type": "samples", "n_resamples": RESAMPLES if seeds > 16 else np.inf, "rng": 0, "vectorized": True}
    theirs = stats.permutation_test((np.sort(sample),), np.mean, **chosen).pvalue
    assert sign_flip(sample) == pytest.approx(theirs, abs=1e-12)


def test_quantiles_that_are_looked_up_are_scipys() -> None:
    numbers = np.array([[0, 1, 2, 3], [7, 8, 100, 1025]])
    with np.errstate(invalid="ignore"):
        theirs = np.where(numbers > 1, stats.t.ppf(0.975, np.maximum(numbers - 1, 1)), np.nan)
    assert t_quantile(numbers) == pytest.approx(theirs, rel=1e-12, nan_ok=True)


def test_holm_of_a_worked_example() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({"alone": 0.04}) == {"alone": 0.04}


def test_an_arm_without_a_p_costs_the_others_nothing() -> None:
    assert holm({"a": 0.01, "gone": math.nan})["a"] == 0.01
    assert math.isnan(holm({"a": 0.01, "gone": math.nan})["gone"])


@given(values, st.floats(-3, 3))
def test_swapping_the_arms_flips_every_sign_and_keeps_p(sample: np.ndarray, shift: float) -> None:
    other = np.cos(sample) + shift
    one, two = paired(sample, other), paired(other, sample)
    assert (one.estimate.mean, one.estimate.low, one.estimate.high) == pytest.approx(
        (-two.estimate.mean, -two.estimate.high, -two.estimate.low), rel=1e-9, abs=1e-9
    )
    assert one.p == two.p


def test_the_seeds_needed_are_those_whose_smallest_p_survives_the_correction() -> None:
    assert [seeds_needed(arms) for arms in (1, 2, 3, 7)] == [6, 7, 7, 9]
    for arms in range(1, 32):
        assert 2 / 2 ** seeds_needed(arms) * arms <= 0.05 < 2 / 2 ** (seeds_needed(arms) - 1) * arms


def called(differences: list[float], direction: int) -> str:
    array = np.array(differences)
    return judge({"arm": Paired(estimate(array), sign_flip(array))}, direction)["arm"].outcome


def test_outcomes_follow_the_direction() -> None:
    up = [0.1, 0.2, 0.3, 0.15, 0.25, 0.2]
    assert called(up, 1) == "better"
    assert called(up, -1) == "worse"
    assert called(up, 0) == "no direction"


def test_a_difference_is_called_only_when_it_can_be() -> None:
    assert called([0.1, 0.2, 0.3, 0.1, 0.2], 1) == "too few seeds"
    assert called([0.1, -0.2, 0.3, 0.1, -0.2, 0.1], 1) == "no difference"
    assert called([0.0] * 8, 1) == "no difference"
    assert called([], 1) == "not compared"


def test_a_small_p_with_an_interval_over_zero_is_no_difference() -> None:
    skewed = [0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 9.0]
    assert sign_flip(np.array(skewed)) == 2 / 2**8
    assert called(skewed, 1) == "no difference"


@pytest.mark.parametrize("n", [2, 3, 6, 8, 13, 16])
def test_the_exact_sign_flip_is_scipys_permutation_test(n: int) -> None:
    rng = np.random.default_rng(n)
    for sample in (rng.normal(0.4, 1, n), np.round(rng.normal(0.4, 1, n), 1), np.zeros(n)):  # rounded: sums that tie
        theirs = stats.permutation_test(
            (np.sort(sample),), np.mean, permutation_type="samples", n_resamples=2**16, vectorized=True
        )
        assert sign_flip(sample) == pytest.approx(theirs.pvalue, abs=1e-12)

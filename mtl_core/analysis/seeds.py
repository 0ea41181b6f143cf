"""Statistics over seeds: an interval, a paired difference, a sign-flip test, Holm's correction.

Arms are compared *paired*: a seed means the same initial parameters and the same batches in every arm, so the interval
and the test are of the differences by seed. What is not finite is left out and counted out (`n`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

ALPHA = 0.05  # intervals are of 95 %, a difference is called at p <= 0.05 after Holm's correction
EXACT_SEEDS, RESAMPLES = 16, 9_999  # sign-flip test: all 65,536 flips up to here, sampled beyond
ROUNDING = 1e-12  # sums that are equal but for rounding are equal

Outcome = Literal["better", "worse", "no difference", "too few seeds", "no direction", "not compared"]


class Estimate(NamedTuple):
    """Mean over seeds with its 95 % t interval; the bounds are NaN below two values, all is NaN without any."""

    mean: float
    low: float
    high: float
    n: int


class Difference(NamedTuple):
    """Arm minus baseline, paired by seed. `p`: two-sided sign flip; `p_holm`: corrected over the arms compared."""

    mean: float
    low: float
    high: float
    n: int
    p: float
    p_holm: float
    outcome: Outcome


class Paired(NamedTuple):
    """A difference before correction: what `judge` takes, one per arm."""

    estimate: Estimate
    p: float


def t_quantile(n: Int[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Two-sided 95 % quantile of Student's t for means of `n` values; NaN below two."""
    most = int(n.max(initial=0))
    found: Float[np.ndarray, "*shape"] = _quantiles(1 << most.bit_length())[n]
    return found


@cache
def _quantiles(size: int) -> Float[np.ndarray, " size"]:
    """The quantile for 0, 1, 2 ... values: looked up, as every point of every band needs one."""
    from scipy.special import stdtrit  # scipy.stats takes half a second to import, this a fifth

    freedom = np.arange(size) - 1.0
    return np.where(freedom > 0, stdtrit(np.maximum(freedom, 1.0), 1 - ALPHA / 2), np.nan)


def estimate(values: Float[np.ndarray, " seeds"]) -> Estimate:
    """Mean and 95 % t interval of the finite values."""
    kept = np.sort(values[np.isfinite(values)])  # sorted: the order of seeds cannot change the last digit
    if not kept.size:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(kept.sum()) / kept.size
    if kept.size == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    apart = kept - mean
    deviation = math.sqrt(float((apart * apart).sum()) / (kept.size - 1))
    half = float(t_quantile(np.array(kept.size))) * deviation / math.sqrt(kept.size)
    return Estimate(mean, mean - half, mean + half, int(kept.size))


def sign_flip(differences: Float[np.ndarray, " seeds"]) -> float:
    """Two-sided p that the differences are symmetric around 0: every sign flipped, exact up to 16 seeds, sampled beyond.

    Equals `scipy.stats.permutation_test(permutation_type="samples", rng=0)`, without the second that scipy.stats takes to import
    and the 40 ms of every sampled test.
    The smallest value it can take is 2 / 2**n. NaN without any finite difference.
    """
    kept = np.sort(differences[np.isfinite(differences)])
    if kept.size < 2:
        return 1.0 if kept.size else math.nan  # one difference and its mirror image: always as extreme
    if kept.size > EXACT_SEEDS:
        return _sampled_sign_flip(kept)
    half = kept.size // 2
    sums = np.add.outer(_signs(half) @ kept[:half], _signs(kept.size - half) @ kept[half:])  # a sum of either half, all pairs
    return float(np.mean(np.abs(sums) >= abs(kept.sum()) * (1 - ROUNDING)))


@cache
def _signs(n: int) -> Float[np.ndarray, "flips n"]:
    """All 2**n ways to put signs."""
    return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)


def _sampled_sign_flip(kept: Float[np.ndarray, " seeds"]) -> float:
    """Twice the rarer tail, the observed sum counted in; the same flips as scipy's `permutation_test(rng=0)` draws."""
    sums, observed = _sampled_signs(kept.size) @ kept, float(kept.sum())
    slack = abs(observed) * ROUNDING
    tails = int((sums <= observed + slack).sum()), int((sums >= observed - slack).sum())
    return min(1.0, 2 * (min(tails) + 1) / (RESAMPLES + 1))


@cache
def _sampled_signs(n: int) -> Float[np.ndarray, "flips n"]:
    """Drawn once for all differences of as many seeds."""
    return 1.0 - 2.0 * np.random.default_rng(0).permuted(np.tile([0, 1], (RESAMPLES, n, 1)), axis=-1)[..., 0]


def paired(arm: Float[np.ndarray, " seeds"], baseline: Float[np.ndarray, " seeds"]) -> Paired:
    """Arm minus baseline; both arrays hold the same seeds in the same places, NaN where there is no value."""
    differences = arm - baseline
    return Paired(estimate(differences), sign_flip(differences))


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction over the finite p values; what is NaN stays NaN and counts for nothing."""
    finite = sorted((p, name) for name, p in ps.items() if math.isfinite(p))
    corrected = dict.fromkeys(ps, math.nan)
    running = 0.0
    for rank, (p, name) in enumerate(finite):
        running = max(running, min(1.0, (len(finite) - rank) * p))
        corrected[name] = running
    return corrected


def seeds_needed(arms: int = 1) -> int:
    """The least number of seeds with which one of `arms` comparisons can reach p <= 0.05 after correction (1: 6)."""
    return math.ceil(math.log2(2 * max(arms, 1) / ALPHA))


def judge(compared: Mapping[str, Paired], direction: int) -> dict[str, Difference]:
    """Outcomes of one quantity for every arm against the baseline. direction: +1 higher is better, -1 lower, 0 neither.

    Called only if the corrected p is at most 0.05 *and* the 95 % interval excludes 0, so that the two never disagree on screen.
    """
    corrected = holm({arm: one.p for arm, one in compared.items()})
    family = sum(math.isfinite(p) for p in corrected.values())
    return {
        arm: Difference(*one.estimate, one.p, corrected[arm], _outcome(one.estimate, corrected[arm], direction, family))
        for arm, one in compared.items()
    }


def _outcome(difference: Estimate, p: float, direction: int, family: int) -> Outcome:
    if direction == 0:
        return "no direction"
    if difference.n == 0:
        return "not compared"
    if difference.n < seeds_needed(family):
        return "too few seeds"
    if p > ALPHA or difference.low <= 0 <= difference.high:
        return "no difference"
    return "better" if difference.mean * direction > 0 else "worse"

"""Associations of features and targets against scipy, and what must hold of them whatever the data."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.feature_selection import f_classif

from mtl_core.data import associations, scenarios
from mtl_core.data.associations import Variable, association, correlation_ratio, cramers_v, of_problem, of_table, pearson, ranks
from mtl_core.data.understanding import understand_table
from mtl_core.specs import DataSpec

SEEDS = st.integers(0, 10_000)


def drawn(seed: int, rows: int = 200) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    return rng, x, 0.6 * x + rng.normal(size=rows)


@given(SEEDS)
def test_correlations_are_scipys(seed: int) -> None:
    _, x, y = drawn(seed)
    y = np.round(y, 1)  # ties
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert pearson(ranks(x), ranks(y)) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert np.array_equal(ranks(y), stats.rankdata(y))


@given(SEEDS, st.integers(2, 9))
def test_the_correlation_ratio_is_that_of_the_analysis_of_variance(seed: int, levels: int) -> None:
    rng, _, y = drawn(seed)
    classes = rng.integers(levels, size=len(y)) + (y > 0)
    k, n = np.unique(classes).size, len(y)
    f = float(f_classif(y[:, None], classes)[0][0])
    eta2 = f * (k - 1) / (f * (k - 1) + n - k)
    epsilon2 = max(0.0, 1 - (1 - eta2) * (n - 1) / (n - k))
    assert correlation_ratio(classes.astype(float), y) == pytest.approx(np.sqrt(epsilon2))


@given(SEEDS, st.integers(2, 6), st.integers(2, 6))
def test_cramers_v_is_scipys_with_bergsmas_correction(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(first, size=300)
    b = np.where(rng.random(300) < 0.4, a % second, rng.integers(second, size=300))
    counts = stats.contingency.crosstab(a, b).count
    r, k = counts.shape
    v2 = stats.contingency.association(counts, method="cramer") ** 2
    phi2 = max(0.0, v2 * min(r - 1, k - 1) - (r - 1) * (k - 1) / 299)
    r, k = r - (r - 1) ** 2 / 299, k - (k - 1) ** 2 / 299
    assert cramers_v(a.astype(float), b.astype(float)) == pytest.approx(np.sqrt(phi2 / min(r - 1, k - 1)), abs=1e-9)


def variable(seed: int, kind: str, rows: int = 150) -> Variable:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 3 if kind == "vector" else 1))
    values = np.floor(2 * np.abs(values)) if kind == "classes" else values
    values[rng.random(values.shape) < 0.2] = np.nan
    return Variable(kind, values, kind == "classes")


@given(SEEDS, st.sampled_from([*product(["number", "classes"], ["number", "classes", "vector"])]))
def test_neither_order_of_rows_nor_units_nor_names_of_classes_matter(seed: int, kinds: tuple[str, str]) -> None:
    if kinds == ("classes", "vector"):
        kinds = ("number", "vector")
    feature, target = variable(seed, kinds[0]), variable(seed + 1, kinds[1])
    order = np.random.default_rng(seed).permutation(150)
    value = association(feature, target)
    assert association(
        Variable("", feature.values[order], feature.classes), Variable("", target.values[order], target.classes)
    ) == (pytest.approx(value, abs=1e-9))
    assert association(Variable("", 3 - 2 * feature.values, feature.classes), target) == pytest.approx(
        -value if kinds == ("number", "number") else value, abs=1e-9
    )


@pytest.mark.parametrize("kind", ["number", "classes"])
def test_a_copy_has_the_value_one(kind: str) -> None:
    one = variable(0, kind)
    assert association(one, one) == pytest.approx(1)


@pytest.mark.parametrize("levels", [2, 10, 60])
def test_columns_of_many_values_are_not_called_related_by_chance(levels: int) -> None:
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        classes, others = rng.integers(levels, size=300).astype(float), rng.integers(4, size=300).astype(float)
        found.append((cramers_v(classes, others), correlation_ratio(classes, rng.normal(size=300))))
    assert np.square(found).mean(axis=0).max() < 0.02


def test_what_does_not_vary_has_no_value_and_warns_of_nothing() -> None:
    flat, x = np.full((50, 1), 0.1), np.arange(50.0)[:, None]
    gone, few = np.full((50, 1), np.nan), np.where(np.arange(50) < 2, 1.0, np.nan)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for values, other, classes in product((flat, gone, few), (x, flat, gone), (False, True)):
            assert np.isnan(association(Variable("", values, classes), Variable("", other)))
            assert np.isnan(association(Variable("", values), Variable("", other // 10, classes)))


def test_a_tables_columns_keep_their_kind_and_gaps() -> None:
    rows = [f"{i % 3},{'xyz'[i % 3] if i % 5 else ''},{i % 3 + 0.01 * i},{'abc'[i % 3]}" for i in range(90)]
    spec = DataSpec.model_validate({"file": "t.csv", "targets": {"amount": "regression", "class": "multiclass"}})
    seen = understand_table(("number,word,amount,class\n" + "\n".join(rows)).encode(), "t.csv", spec)
    found = of_table(seen.used(), seen.targets)
    assert found.measures == (("pearson", "correlation ratio"), ("correlation ratio", "cramers v"))
    assert found.values[0, 1] == pytest.approx(1)
    assert found.values[1, 1] == pytest.approx(1)
    i = np.arange(90)
    assert found.values[0, 0] == pytest.approx(stats.pearsonr(i % 3, i % 3 + 0.01 * i).statistic)
    assert np.isfinite(found.ranked).tolist() == [[True, False], [False, False]]


def test_a_scenarios_vector_target_has_the_root_mean_square_of_its_elements() -> None:
    problem = scenarios.load("osint", {"samples": 400})
    found = of_problem(problem)
    at = found.targets.index("forecast")
    x = problem.features[:, 3]
    each = [stats.pearsonr(x, column).statistic for column in problem.targets["forecast"].T]
    assert found.values[3, at] == pytest.approx(np.sqrt(np.square(each).mean()))
    first = found.strongest(1)[0]
    assert np.nanmax(np.abs(found.values)) == np.nanmax(np.abs(found.values[first]))


def test_long_tables_are_sampled_and_wide_ones_left_alone_and_both_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = scenarios.load("osint", {"samples": 400})
    monkeypatch.setattr(associations, "_MOST_ROWS", 250)
    monkeypatch.setattr(associations, "_FEWEST_ROWS", 100)
    assert of_problem(problem).note == "On 250 of 400 rows, drawn at random."
    monkeypatch.setattr(associations, "MOST_FEATURES", 5)
    found = of_problem(problem)
    assert "86 features" in found.note
    assert found.values.shape == (0, 6)
    assert found.strongest(3) == []

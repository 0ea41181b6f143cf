"""Which features are named as leaks: every sort of copy, and none that merely predicts well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import plain, to_csv, with_column, with_header

from mtl_core.data import inspect
from mtl_core.data.leaks import follows, one_label_each, stepwise
from mtl_core.specs import DataSpec

TABLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "tables"
ROWS = 600
RNG = np.random.default_rng(1)
AMOUNT = RNG.gamma(2.0, 10.0, ROWS)
CLASS = np.array(["calm", "tense", "war"])[np.searchsorted([0.5, 0.8], RNG.random(ROWS))]
CODE = np.array([{"calm": 0, "tense": 1, "war": 2}[word] for word in CLASS])


def told(values: Sequence[object], target: Sequence[object], kind: str, rows: Sequence[int] | None = None) -> list[str]:
    """Warnings that name the feature `extra` and the target in a table of noise with one target."""
    table = [[*row[:4], value, label] for row, value, label in zip(plain(len(target)), values, target, strict=True)]
    chosen = [table[i] for i in (range(len(table)) if rows is None else rows)]
    spec = DataSpec.model_validate({"file": "t.csv", "targets": {"outcome": kind}})
    seen = inspect(
        to_csv([[str(cell) for cell in row] for row in chosen], ("x1", "x2", "x3", "x4", "extra", "outcome")), "t.csv", spec
    )
    return [warning for warning in seen.warnings if '"extra"' in warning and '"outcome"' in warning]


NOISE = np.random.default_rng(2).normal(size=ROWS)
COPIES_OF_AMOUNTS: dict[str, object] = {
    "copy": AMOUNT,
    "scaled": -3 * AMOUNT + 7,
    "rounded": np.round(AMOUNT),
    "noisy": AMOUNT + 0.08 * AMOUNT.std() * NOISE,
    "logarithm": np.log(AMOUNT),
    "power": -(AMOUNT**3),
    "half missing": [f"{value}" if i % 2 else "" for i, value in enumerate(AMOUNT)],
}
COPIES_OF_CLASSES: dict[str, object] = {
    "copy": CLASS,
    "other words": [f"level {word[::-1]}" for word in CLASS],
    "codes": CODE,
    "shuffled codes": np.array([5, 1, 3])[CODE],
    "noisy codes": CODE + 0.15 * NOISE.clip(-3, 3),
    "finer words": [f"{word} {i % 4}" for i, word in enumerate(CLASS)],
    "one in 200 changed": ["war" if i % 200 == 0 else word for i, word in enumerate(CLASS)],
}


@pytest.mark.parametrize("name", COPIES_OF_AMOUNTS)
def test_a_copy_of_an_amount_is_named(name: str) -> None:
    found = told(list(COPIES_OF_AMOUNTS[name]), AMOUNT, "regression")  # type: ignore[call-overload]
    assert len(found) == 1
    assert '"extra" alone predicts "outcome" almost perfectly' in found[0]


@pytest.mark.parametrize("name", COPIES_OF_CLASSES)
def test_a_copy_of_a_class_is_named(name: str) -> None:
    found = told(list(COPIES_OF_CLASSES[name]), CLASS, "multiclass")  # type: ignore[call-overload]
    assert len(found) == 1
    assert '"extra" alone predicts "outcome" almost perfectly' in found[0]


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("edges", [[20.0], [10.0, 20.0, 35.0], np.quantile(AMOUNT, np.arange(1, 10) / 10)])
def test_an_amount_cut_into_steps_is_named(edges: Sequence[float], words: bool) -> None:  # noqa: FBT001
    bins = np.searchsorted(edges, AMOUNT)
    found = told([f"band {value}" for value in bins] if words else list(bins), AMOUNT, "regression")
    assert len(found) == 1
    assert 'one range of "outcome"' in found[0]


def test_a_group_whose_rows_share_their_label_is_told_from_a_copy() -> None:
    person = RNG.permutation(np.repeat(np.arange(100), 6))
    label = np.where(np.random.default_rng(5).random(100) < 0.3, "ill", "well")[person]
    names = [f"person {n * 37 % 100}" for n in person]
    for values in (names, [str(1000 + n * 37 % 100) for n in person]):
        found = told(values, label, "binary")
        assert len(found) == 1
        assert "use it as group" in found[0]
    mean = np.random.default_rng(6).normal(size=100)[person] + 0.01 * NOISE
    assert "use it as group" in told(names, mean, "regression")[0]


def test_gaps_that_give_the_label_away_are_named() -> None:
    values = ["" if word == "war" else f"{value:.3f}" for word, value in zip(CLASS, NOISE, strict=True)]
    label = np.where(CLASS == "war", "yes", "no")
    assert "is missing alone gives" in told(values, label, "binary")[0]
    words = ["" if word == "war" else "abc"[i % 3] for i, word in enumerate(CLASS)]
    assert "is missing alone gives" in told(words, label, "binary")[0]


INNOCENT: dict[str, object] = {
    "noise": NOISE,
    "predicts 97 % of the amount": AMOUNT + 0.17 * AMOUNT.std() * NOISE,
    "random words": [f"w{i}" for i in np.random.default_rng(3).integers(25, size=ROWS)],
    "random numbers of many pairs": np.random.default_rng(4).permutation(np.arange(ROWS) % 300),
    "mostly right codes": np.where(np.arange(ROWS) % 10 == 0, (CODE + 1) % 3, CODE),
    "random gaps": ["" if i % 3 == 0 else f"{value:.3f}" for i, value in enumerate(NOISE)],
    "one far value": np.append(NOISE[1:], 1e6),
}


@pytest.mark.parametrize("name", INNOCENT)
def test_features_that_merely_predict_are_not_named(name: str) -> None:
    values = list(INNOCENT[name])  # type: ignore[call-overload]
    amounts = np.append(AMOUNT[1:], 1e6) if name == "one far value" else AMOUNT
    assert not told(values, amounts, "regression")
    assert not told(values, CLASS, "multiclass")
    assert not told(values, np.where(np.arange(ROWS) % 50 == 0, "rare", "usual"), "binary")


@given(st.permutations(range(120)))
def test_the_order_of_rows_changes_nothing(order: list[int]) -> None:
    for values in (np.round(AMOUNT[:120]), NOISE[:120]):
        assert told(list(values), AMOUNT[:120], "regression", order) == told(list(values), AMOUNT[:120], "regression")


@given(st.integers(0, 10_000), st.integers(40, 400), st.integers(2, 6))
def test_what_is_drawn_alone_is_never_a_leak_and_a_copy_always_is(seed: int, rows: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    amounts, labels = rng.normal(size=rows), rng.integers(classes, size=rows).astype(float)
    assert not follows(rng.normal(size=rows), amounts)
    assert not stepwise(rng.normal(size=rows), labels)
    assert not one_label_each(rng.integers(rows // 3, size=rows), labels, classes=True)
    assert not one_label_each(rng.integers(rows // 3, size=rows), amounts, classes=False)
    assert follows(np.exp(amounts), amounts)
    assert stepwise(labels + 0.4 * rng.random(rows), labels)
    assert one_label_each(classes - labels.astype(int), labels, classes=True)


def reference_one_label_each(groups: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows of the less frequent classes that the other rows of their group do not tell; plain loops."""
    members = [[j for j in range(len(groups)) if groups[j] == groups[i]] for i in range(len(groups))]
    kept = [i for i in range(len(groups)) if len(members[i]) > 1]
    wrong = 0
    for i in kept:
        counts = [[labels[j] for j in members[i]].count(label) for label in dict.fromkeys(labels[members[i]])]
        mine = [labels[j] for j in members[i]].count(labels[i])
        wrong += not (mine > 1 and mine == max(counts) and counts.count(mine) == 1)
    values = [labels[i] for i in kept]
    return wrong / (len(kept) - max(values.count(value) for value in values))


@pytest.mark.parametrize("changed", [0, 1, 2, 3, 4, 6, 9])
def test_groups_are_judged_by_their_other_rows(changed: int) -> None:
    groups = np.arange(240) % 80
    labels = (groups % 2).astype(float)
    labels[:changed] = 1 - labels[:changed]
    assert one_label_each(groups, labels, classes=True) == (reference_one_label_each(groups, labels) <= 0.02)


@pytest.mark.parametrize("table", ["ai4i2020", "energy_efficiency", "solar_flare", "students"])
def test_no_feature_of_a_real_table_is_called_a_leak(table: str) -> None:
    file = TABLES / f"{table}.csv"
    if not file.is_file():
        pytest.skip("no shared data here")
    seen = inspect(file.read_bytes(), file.name)
    assert not [warning for warning in seen.warnings if "unless" in warning or "use it as group" in warning]


def test_a_leak_in_a_table_of_many_rows_is_found_in_its_sample() -> None:
    rows = plain(6_000)
    names = [f"g{i * 7919 % 1_500}" for i in range(6_000)]
    label = [str(hash_of(name) % 2) for name in names]
    table = to_csv(
        [[*row, value] for row, value in zip(with_column(rows, names), label, strict=True)], (*with_header("who"), "ill")
    )
    seen = inspect(table, "t.csv", DataSpec.model_validate({"file": "t.csv", "targets": {"ill": "binary"}, "ignore": ["kind"]}))
    assert any('"who"' in warning and "use it as group" in warning for warning in seen.warnings)


def hash_of(name: str) -> int:
    return sum(map(ord, name))

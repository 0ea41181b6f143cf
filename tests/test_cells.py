"""What a person means by a cell: numbers in any dress, units, dates, ids, codes for missing; and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from tables import HEADER, kinds, plain, replaced, target_kinds, to_csv, used, warned, with_column, with_header

from mtl_core.data import inspect
from mtl_core.data.table import Understanding, to_problem
from mtl_core.errors import TableError
from mtl_core.problem import Problem
from mtl_core.specs import DataSpec, TargetSpec

ROWS = plain()
RNG = np.random.default_rng(1)
AMOUNTS = RNG.uniform(1_000, 5_000_000, 120).round(2)
SMALL = RNG.normal(50, 20, 120).round(1)
TARGETS = {"price": "regression", "kind": "binary"}


def spec(**said: object) -> DataSpec:
    return DataSpec.model_validate({"file": "t.csv", "targets": TARGETS, **said})


def table(values: Sequence[object], name: str = "extra", delimiter: str = ",") -> bytes:
    return to_csv(with_column(ROWS, values), with_header(name), delimiter)


def seen(values: Sequence[object], name: str = "extra", **said: object) -> Understanding:
    return inspect(table(values, name), "t.csv", spec(**said))


def column(values: Sequence[object], delimiter: str = ",") -> np.ndarray:
    """The numbers that a column of cells becomes."""
    problem: Problem = to_problem(table(values, delimiter=delimiter), "t.csv", spec())
    return problem.features[:, problem.feature_names.index("extra")]


# --- numbers ---------------------------------------------------------------------------------------------------------


def indian(value: float) -> str:
    whole, decimals = f"{value:.2f}".split(".")
    head, tail = whole[:-3], whole[-3:]
    groups = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)][::-1]
    return ",".join([*groups, tail]) + f".{decimals}"


DRESSES: dict[str, Callable[[float], str]] = {
    "English": lambda v: f"{v:,.2f}",
    "Swiss": lambda v: f"{v:,.2f}".replace(",", "'"),
    "Swiss, curly": lambda v: f"{v:,.2f}".replace(",", "’"),
    "Indian": indian,
    "thin blanks": lambda v: f"{v:,.2f}".replace(",", "\u2009"),
    "dollars": lambda v: f"${v:,.2f}",
    "rupees": lambda v: f"₹{v:.2f}",
    "Swiss francs": lambda v: f"CHF {v:,.2f}",
    "an accountant's": lambda v: f"({v:,.2f})",
    "minus behind": lambda v: f"{v:.2f}-",
    "a spreadsheet's text": lambda v: f'="{v:.2f}"',
    "an apostrophe in front": lambda v: f"'{v:.2f}",
    "FORTRAN": lambda v: f"{v:.9E}".replace("E", "D"),
    "full width": lambda v: f"{v:.2f}".translate(str.maketrans("0123456789.", "０１２３４５６７８９．")),
    "Arabic": lambda v: f"{v:.2f}".translate(str.maketrans("0123456789.", "٠١٢٣٤٥٦٧٨٩٫")),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_numbers_in_any_dress_are_the_numbers_and_an_example_is_shown(dress: str) -> None:
    cells = [DRESSES[dress](value) for value in AMOUNTS]
    sign = -1 if dress in ("an accountant's", "minus behind") else 1
    assert np.allclose(column(cells), sign * AMOUNTS, rtol=1e-8)
    assert warned(seen(cells), '"extra"', "separators and signs", f"is {sign * AMOUNTS[0]:.15g}"[:8])


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u202f", "."])
def test_a_table_with_decimal_commas_is_read_as_one(blank: str) -> None:
    cells = [[f"{value:,.2f}".replace(",", "_").replace(".", ",").replace("_", blank)] * 2 for value in AMOUNTS]
    rows = [[*cell, f"{i % 7},5"] for i, cell in enumerate(cells)]
    problem = to_problem(to_csv(rows, ("a", "b", "y"), ";"), "t.csv", DataSpec(file="t.csv"))
    assert np.allclose(problem.features[:, 0], AMOUNTS)
    assert np.allclose(problem.targets["y"][:, 0] % 1, 0.5)


def test_a_comma_that_may_be_either_is_asked_about() -> None:
    rows = [[f"{1 + i % 9},{100 + i % 7:03d}", str(i * i % 17), str(i % 5)] for i in range(60)]
    told = inspect(to_csv(rows, ("a", "b", "y"), ";"), "t.csv")
    assert (told.recognised.decimal, warned(told, "decimal commas", "thousands")) == (",", True)


def german(delimiter: str, cells: list[str], *, decimals: bool = False) -> bytes:
    rows = [[cell, f"{i % 7}.{i % 10}5" if decimals else str(i * i % 17), str(i % 5)] for i, cell in enumerate(cells)]
    return to_csv(rows, ("a", "b", "y"), delimiter)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_points_beside_whole_numbers_below_a_thousand_divide_thousands_and_it_is_said(delimiter: str) -> None:
    amounts = np.concatenate((np.arange(20) * 37 + 200, np.arange(60) * 435 + 1_035))
    cells = [f"{amount:,}".replace(",", ".") for amount in amounts]
    data = german(delimiter, ["" if i == 3 else cell for i, cell in enumerate(cells)])
    read = to_problem(data, "t.csv", DataSpec(file="t.csv", targets={"y": TargetSpec()})).features[:, 0]
    assert np.array_equal(np.delete(read, 3), np.delete(amounts, 3))
    assert warned(inspect(data, "t.csv"), '"a"', "thousands", "1.470 is 1470", "write 200 as 200.000")


@pytest.mark.parametrize(
    ("data", "doubted"),
    [
        (german(";", ["945", *(f"{1.035 + i / 200:.3f}" for i in range(60))], decimals=True), True),
        (german(",", ["945", *(f"{1.035 + i / 200:.3f}" for i in range(60))]), True),
        (german(";", ["945", *(f"{1 + i}.{111 + i}" for i in range(8))] * 5), True),
        (german(";", [f"{1.035 + i / 200:.3f}" for i in range(60)]), False),
        (german(";", ["0", *(f"{1.035 + i / 200:.3f}" for i in range(60))]), False),
        (german(";", ["945", "1.5", *(f"{1.035 + i / 200:.3f}" for i in range(60))]), False),
        (german(";", ["945", "1200", *(f"{1.035 + i / 200:.3f}" for i in range(60))]), False),
    ],
)
def test_points_stay_decimal_points_where_little_speaks_for_thousands(data: bytes, *, doubted: bool) -> None:
    told = inspect(data, "t.csv")
    assert (told.recognised.decimal, warned(told, '"a"', "decimal points", "take them out")) == (".", doubted)


@pytest.mark.parametrize("unit", [" kg", "kg", " km/h", "°C", " cm²", " mg/dL", " ‰", "/day", " zł", "+", "k"])
def test_a_unit_is_taken_off_and_said(unit: str) -> None:
    cells = [f"{value}{unit}" for value in SMALL]
    assert np.array_equal(column(cells), SMALL)
    assert warned(seen(cells), f'unit "{unit.strip()}"', f"is {SMALL[0]}")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([f"{v} {'kg' if i % 2 else 'g'}" for i, v in enumerate(SMALL)], ("different units", '"kg"', '"g"')),
        ([f"{v} kg" if i % 2 else f"{v}" for i, v in enumerate(SMALL)], ("60 of its 120 cells are numbers", "kg")),
        ([f"{v}" if i % 2 else f"{v}".replace(".", ",") for i, v in enumerate(SMALL)], ("60 of its 120 cells are numbers",)),
    ],
)
def test_numbers_that_do_not_go_together_are_left_out_for_that_reason(cells: list[str], words: tuple[str, ...]) -> None:
    assert warned(seen(cells), 'Left out "extra"', *words)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([f"{v:.0f}%" if i % 2 else f"{v / 100:.2f}" for i, v in enumerate(SMALL)], ("60 of 120 numbers have a percent sign",)),
        ([f"{'$' if i % 2 else '€'}{v:.0f}" for i, v in enumerate(SMALL)], ('"$" and "€"', "convert")),
        (["1e29" if i == 7 else v for i, v in enumerate(SMALL)], ("1 cell is over", "1e+29", "logarithms")),
        ([f"{v * 1e-40}" for v in SMALL], ("no value beyond", "power of ten")),
        ([f"{1e15 + i % 5:.0f}" for i in range(120)], ("varies by 4", "offset")),
        ([f"{v}" if i % 9 else "1e31" for i, v in enumerate(SMALL)], ("14 cells are infinite",)),
    ],
)
def test_numbers_that_may_not_mean_what_they_say_are_warned_of(cells: list[str], words: tuple[str, ...]) -> None:
    assert warned(seen(cells), '"extra"', *words)


def test_tiny_targets_do_not_make_every_feature_a_leak() -> None:
    rows = replaced(ROWS, 4, (f"{float(row[4]) * 1e-200:.4e}" for row in ROWS))
    assert not warned(inspect(to_csv(rows), "t.csv", spec()), "almost perfectly")


# --- codes for missing -----------------------------------------------------------------------------------------------

CODED: list[tuple[list[object], list[str]]] = [
    (["-999" if i % 6 == 0 else v for i, v in enumerate(SMALL)], ["-999"]),
    (["-999" if i % 6 == 0 else "-998" if i % 6 == 1 else v for i, v in enumerate(SMALL)], ["-999", "-998"]),
    (["-999" if i % 6 == 0 else 30 * v for i, v in enumerate(SMALL)], ["-999"]),
    (["9999" if i % 6 == 0 else i % 40 for i in range(120)], ["9999"]),
    (["99" if i % 6 == 0 else f"{abs(v):.3f}" for i, v in enumerate(RNG.normal(50, 30, 120))], ["99"]),
    (["-1" if i % 8 == 0 else 18 + i % 40 for i in range(120)], ["-1"]),
    (["2147483647" if i % 6 == 0 else v for i, v in enumerate(SMALL)], ["2147483647"]),
    (["-9" if i % 6 == 0 else i % 2 for i in range(120)], ["-9"]),
    (["999" if i % 6 == 0 else i % 3 for i in range(120)], ["999"]),
]


@pytest.mark.parametrize(("cells", "codes"), CODED)
def test_a_code_for_missing_is_pointed_at_and_goes_once_it_is_named(cells: list[object], codes: list[str]) -> None:
    assert warned(seen(cells), '"extra"', ", ".join(f'"{code}"' for code in codes))
    assert not warned(seen(cells, missing=codes), '"extra"', "for missing")


@pytest.mark.parametrize(
    "cells",
    [[i % 2 for i in range(120)], [i % 3 - 1 for i in range(120)], list(SMALL), [0 if i % 3 else v for i, v in enumerate(SMALL)]],
)
def test_values_that_belong_together_are_no_codes(cells: list[object]) -> None:
    assert not warned(seen(cells), "for missing")


@pytest.mark.parametrize(
    "word", ["(blank)", "<null>", "[NULL]", "k.A.", "n/v", "–", "—", "TBD", "not applicable", "NAN(ind)", "''"]
)
def test_more_words_for_missing_are_understood(word: str) -> None:
    told = seen([word if i % 6 == 0 else v for i, v in enumerate(SMALL)])
    assert (kinds(told)["extra"], told.warnings) == ("number", ())


# --- dates, ids, classes ---------------------------------------------------------------------------------------------


DATED = {
    "extra": [20230101 + i % 12 * 100 + i % 28 for i in range(120)],
    "stamp": [20230101093000 + i % 12 * 100_000_000 + i % 28 * 1_000_000 for i in range(120)],
    "month": [202301 + i * 7 % 12 for i in range(120)],
    "created_at": [1_700_000_000 + 86_413 * i for i in range(120)],
    "ts": [1_700_000_000_000 + 86_413_000 * i for i in range(120)],
    "date": [44_927 + 3 * i for i in range(120)],
}


@pytest.mark.parametrize("name", DATED)
def test_numbers_that_date_a_row_are_left_out(name: str) -> None:
    assert kinds(seen(DATED[name], name))[name] == "date"


SHAPES = ("{m:02d}/20{y}", "{b}-{y}", "{b} 20{y}", "20{y}-W{m:02d}", "20{y}-Q{q}", "20{y}年{m}月{q}日", "PT{m}H{q}M")


@pytest.mark.parametrize("shape", [*SHAPES, "{m}h {q}m", "{m}:{y}:00"])
def test_dates_and_durations_in_other_shapes_are_dates(shape: str) -> None:
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    cells = [shape.format(m=1 + i % 12, y=10 + i % 9, b=months[i % 12], q=1 + i % 4) for i in range(120)]
    assert kinds(seen(cells))["extra"] == "date"


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        (RNG.permutation(120), "extra"),
        (RNG.integers(10**8, 10**9, 120), "account"),
        (RNG.integers(10**4, 10**5, 120), "zipcode"),
        (RNG.integers(10**9, 10**10, 120), "phone"),
        ([i + 3 * (i > 50) for i in range(120)], "patient"),
    ],
)
def test_whole_numbers_that_name_a_row_are_ids(cells: Sequence[object], name: str) -> None:
    assert kinds(seen(cells, name))[name] == "id"


def test_a_rank_is_no_id() -> None:
    assert kinds(seen(RNG.permutation(120), "rank"))["rank"] == "number"


@pytest.mark.parametrize(
    ("classes", "kept"),
    [
        (("big cat", "big  cat", "dog"), ("big cat", "big cat.1", "dog")),
        (("cat", "cat\u200b", "dog"), ("cat", "cat.1", "dog")),
        (("Käse", "Ka\u0308se", "dog"), ("Käse", "Käse.1", "dog")),
        (("x" * 5_000 + "1", "x" * 5_000 + "2", "dog"), None),
    ],
)
def test_classes_that_look_alike_stay_apart_and_are_pointed_at(classes: tuple[str, ...], kept: tuple[str, ...] | None) -> None:
    told = inspect(to_csv(replaced(ROWS, 5, (classes[i % 3] for i in range(120)))), "t.csv")
    assert len(set(told.targets[1].classes)) == 3
    assert kept is None or sorted(told.targets[1].classes) == sorted(kept)
    assert warned(told, '"kind"', "meant to be one")


def test_plus_and_minus_are_the_outcomes_of_a_test() -> None:
    assert target_kinds(inspect(to_csv(replaced(ROWS, 5, "+-" * 60)), "t.csv"))["kind"] == "binary"


# --- targets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (list(range(120)), "counts the rows"),
        (["1"] * 120, "same value"),
        (["x" if i % 2 else "" for i in range(120)], "single value"),
        ([f"c{i // 2}" for i in range(120)], "60 classes"),
        ([f"2024-01-{1 + i % 28:02d}" for i in range(120)], "dates"),
        (["1e40"] * 120, "no value"),
    ],
)
def test_a_column_that_is_named_a_target_and_can_be_none_is_not_replaced_by_another(cells: list[object], why: str) -> None:
    data = to_csv(replaced(ROWS, 4, cells), (*HEADER[:4], "y", "kind", "visits"))
    told = inspect(data, "t.csv")
    assert told.targets == ()
    assert warned(told, '"y" is named like a target', why)
    with pytest.raises(TableError, match="is named like a target"):
        to_problem(data, "t.csv", DataSpec(file="t.csv"))


def test_a_target_that_counts_the_rows_is_asked_about() -> None:
    assert warned(inspect(to_csv(replaced(ROWS, 4, range(120))), "t.csv", spec()), '"price"', "counts the rows", "meant to be")


def test_columns_that_are_one_are_said() -> None:
    assert warned(seen([row[0] for row in ROWS]), '"x1" and "extra" are the same')
    twins = {"price": None, "extra": None}
    assert warned(seen([row[4] for row in ROWS], targets=twins), "Targets", "are the same in every row")
    assert used(inspect(to_csv(ROWS), "t.csv")) == ["x1", "x2", "x3", "x4"]

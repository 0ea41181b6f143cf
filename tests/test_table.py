"""Tables: what is understood of columns, which targets are proposed, and the problem that comes out."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import HEADER, TARGETS, kinds, plain, replaced, target_kinds, to_csv, used, warned, with_column, with_header

from mtl_core.data import inspect, load, names, pin, read_file
from mtl_core.data.budget import budget
from mtl_core.data.columns import Column
from mtl_core.data.encode import encode
from mtl_core.data.limits import FEW_LEVELS
from mtl_core.data.numbers import parse
from mtl_core.data.sentinels import suspects
from mtl_core.data.table import to_problem
from mtl_core.errors import SpecError, TableError
from mtl_core.problem import TRAIN, Problem
from mtl_core.specs import DataSpec, TrainingSpec, digest

TABLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "tables"


def spec(**said: object) -> DataSpec:
    return DataSpec.model_validate({"file": "table.csv", **said})


def problem(data: bytes, **said: object) -> Problem:
    return to_problem(data, "table.csv", spec(**said))


# --- the way in ------------------------------------------------------------------------------------------------------


def test_the_plain_table_is_understood_without_a_warning() -> None:
    seen = inspect(to_csv(plain()), "table.csv")
    assert used(seen) == ["x1", "x2", "x3", "x4"]
    assert target_kinds(seen) == TARGETS
    assert seen.targets[1].classes == ("a", "b")
    assert seen.warnings == ()
    assert seen.recognised == ("csv", "comma", "utf-8", ".", True)


def test_what_is_understood_is_plain_data() -> None:
    told = inspect(to_csv(plain()), "table.csv").to_dict()
    assert list(told) == ["rows", "features", "targets", "warnings"]
    assert told["rows"] == 120
    assert told["features"][0] == {"name": "x1", "kind": "number", "used": True, "reason": ""}
    assert told["targets"][1] == {"name": "kind", "kind": "binary", "classes": ["a", "b"], "available": 1.0}


def test_the_plain_table_becomes_a_problem() -> None:
    made = problem(to_csv(plain()))
    assert made.name == "table"
    assert made.feature_names == ("x1", "x2", "x3", "x4")
    assert made.features.shape == (120, 4)
    assert made.targets["price"].shape == (120, 1)
    assert [made.rows(split) for split in range(3)] == [72, 24, 24]
    assert not made.synthetic
    assert [task.kind for task in made.tasks] == ["regression", "binary", "count"]


def test_the_same_table_in_any_dress_is_the_same_problem() -> None:
    rows = plain()
    first = problem(to_csv(rows))
    comma = [[cell.replace(".", ",") for cell in row] for row in rows]
    columns = {name: [row[j] if name == "kind" else float(row[j]) for row in rows] for j, name in enumerate(HEADER)}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    dresses = [
        to_csv(rows, delimiter="\t"),
        to_csv(rows, delimiter="|"),
        to_csv(comma, delimiter=";"),
        to_csv(comma),
        b"\xef\xbb\xbf" + to_csv(rows),
        to_csv(rows).decode().encode("utf-16"),
        to_csv(rows).decode().encode("utf-16-le"),
        to_csv(rows).replace(b"\n", b"\r\n"),
        to_csv(rows).replace(b"\n", b"\r"),
        b"\n\n" + to_csv(rows) + b"\n \n\n",
        b"sep=;\n" + to_csv(rows, delimiter=";"),
        buffer.getvalue(),
    ]
    for data in dresses:
        again = problem(data)
        assert again.feature_names == first.feature_names
        assert np.array_equal(again.features, first.features)
        assert np.array_equal(again.split, first.split)
        for task in first.tasks:
            assert np.array_equal(again.targets[task.name], first.targets[task.name])


def test_windows_1252_is_read_with_a_warning_that_names_it() -> None:
    rows = replaced(plain(), 5, ("Käse“" if i % 3 else "€uro–dash" for i in range(120)))
    seen = inspect(to_csv(rows).decode().encode("cp1252"), "table.csv")
    assert seen.targets[1].classes == ("Käse“", "€uro–dash")
    assert warned(seen, "cp1252")


def test_japanese_text_is_not_taken_for_windows_1252() -> None:
    rows = replaced(plain(), 5, ("東京都" if i % 3 else "大阪府" for i in range(120)))
    assert set(inspect(to_csv(rows).decode().encode("shift_jis"), "t.csv").targets[1].classes) == {"東京都", "大阪府"}


def test_numbers_divided_by_blanks_are_read() -> None:
    rows = "\n".join(f"{i // 10}  {i % 10} {np.sin(i):.4f} {np.cos(i):.4f}  " for i in range(60))
    seen = inspect(rows.encode(), "train_FD001.txt")
    assert seen.recognised.delimiter == "blanks"
    assert len(seen.features) + len(seen.targets) == 4


# --- names and headers -----------------------------------------------------------------------------------------------


def test_names_that_appear_twice_are_renamed_and_said() -> None:
    seen = inspect(to_csv(plain(), ("x1", "x2", "x1", "x1.1", "y", "kind", "y")), "t.csv")
    assert [f.name for f in seen.features] == ["x1", "x2", "x1.2", "x1.1", "kind"]
    assert [t.name for t in seen.targets] == ["y", "y.1"]
    assert warned(seen, "more than once", '"x1.2"', '"y.1"')


def test_columns_without_a_name_are_numbered_and_said() -> None:
    seen = inspect(to_csv(plain(), ("", "x2", " ", "x4", "price", "kind", "visits")), "t.csv", spec(targets=TARGETS))
    assert used(seen) == ["column 1", "x2", "column 3", "x4"]
    assert warned(seen, '"column 1" and "column 3"')


def test_a_file_without_a_header_is_noticed() -> None:
    seen = inspect(to_csv(plain(), None), "t.csv")
    assert seen.rows == 120
    assert not seen.recognised.header
    assert warned(seen, "header: true")
    assert target_kinds(seen) == {"column 5": "regression", "column 6": "binary", "column 7": "count"}


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_file_of_names_alone_is_a_sentence(end: str) -> None:
    with pytest.raises(TableError, match="has column names and no rows under them: at least 20 rows of data are needed"):
        inspect(f"a,b,c{end}".encode(), "t.csv")


def test_the_user_has_the_last_word_on_the_header() -> None:
    assert inspect(to_csv(plain(), None), "t.csv", spec(header=True)).rows == 119
    assert inspect(to_csv(plain()), "t.csv", spec(header=False)).rows == 121


@pytest.mark.parametrize("header", [("a", "b", "2019", "2020", "2021", "kind", "visits"), tuple("0123456"), HEADER])
def test_years_and_running_numbers_on_top_are_names(header: tuple[str, ...]) -> None:
    assert inspect(to_csv(plain(), header), "t.csv").recognised.header


def test_a_delimiter_at_the_end_of_lines_does_not_shift_names() -> None:
    body = to_csv(plain()).decode().splitlines()
    for lines in ([body[0], *(line + "," for line in body[1:])], [line + "," for line in body]):
        seen = inspect("\n".join(lines).encode(), "t.csv")
        assert target_kinds(seen) == TARGETS
        assert used(seen) == ["x1", "x2", "x3", "x4"]
        assert warned(seen, "end with a delimiter")


def test_a_running_number_without_a_name_is_left_out() -> None:
    seen = inspect(to_csv(with_column(plain(), range(120), at=0), with_header("", at=0)), "t.csv")
    assert used(seen) == ["x1", "x2", "x3", "x4"]
    assert warned(seen, "counts the rows")


def test_hostile_names_are_kept_as_plain_text_on_one_line() -> None:
    header = (
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "a\nb\tc",
        "\u202eevil",
        "x" * 5000,
        "class",
        "y\x00".replace("\x00", ""),
    )
    seen = inspect(to_csv(plain(), header), "t.csv")
    every = [f.name for f in seen.features] + [t.name for t in seen.targets]
    assert every[:4] == ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "a b c", "evil"]
    assert max(map(len, every)) <= 120
    made = problem(to_csv(plain(), header), targets={"x" * 5000: None, "a\nb\tc": None})
    assert len(made.tasks) == 2


def test_settled_names_are_distinct_and_not_empty() -> None:
    settled, _ = names.settle(["a", "a", "a.1", "", "a", "column 4", "A"])
    assert len(set(settled)) == 7
    assert all(settled)


def test_a_totals_row_and_repeated_headers_are_dropped_and_said() -> None:
    rows = plain()
    totals = inspect(to_csv([*rows, ["TOTAL", "", "", "", "11.61", "", ""]]), "t.csv")
    assert (totals.rows, totals.features[0].kind) == (120, "number")
    assert warned(totals, "TOTAL", "121")
    joined = inspect(to_csv([*rows[:60], list(HEADER), *rows[60:]]), "t.csv")
    assert (joined.rows, target_kinds(joined)) == (120, TARGETS)
    assert warned(joined, "repeats the column names")


# --- cells -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("12", ".", 12),
        ("-1.5e3", ".", -1500),
        ("+.5", ".", 0.5),
        ("12%", ".", 12),
        ("4.0 %", ".", 4),
        ("1,234.5", ".", 1234.5),
        ("1 234 567", ".", 1234567),
        ("1.234,5", ",", 1234.5),
        ("-0,5", ",", -0.5),
        ("3,25e2", ",", 325),
        ("$1,200", ".", 1200),
        ("1.200,50 €", ",", 1200.5),
        ("−3", ".", -3),
    ],
)
def test_a_cell_is_the_number_a_person_means(text: str, decimal: str, value: float) -> None:
    cells = pa.array([text, "words"])
    assert parse(cells, np.array([False, False]), decimal).values[0] == value


@pytest.mark.parametrize("text", ["abc", "1.2.3", "0x10", "1_000", "12abc", "1,2,3", "e5", "--1", "Ⅻ", "$", "%"])
def test_what_is_no_number_is_not_taken_for_one(text: str) -> None:
    assert parse(pa.array([text]), np.array([False]), ".").bad.all()


def test_missing_cells_are_missing_in_all_their_spellings() -> None:
    spellings = ["", "NA", "n/a", "NaN", "null", "?", "-", "None", "#DIV/0!", "  "]
    values = [spellings[i % 10] if i % 2 else row[0] for i, row in enumerate(plain(200))]
    seen = inspect(to_csv(replaced(plain(200), 0, values)), "t.csv")
    assert kinds(seen)["x1"] == "number"
    assert not seen.warnings


def test_none_is_a_class_where_the_others_are_words() -> None:
    rows = replaced(plain(), 5, (("none", "mild", "severe")[i % 3] for i in range(120)))
    assert inspect(to_csv(rows), "t.csv").targets[1].classes == ("mild", "none", "severe")


def test_infinite_cells_count_as_missing_in_features_and_targets() -> None:
    cells = [("inf", "-Infinity", "1e400")[i % 3] if i < 6 else row[0] for i, row in enumerate(plain())]
    rows = replaced(replaced(plain(), 0, cells), 4, ["inf", *(row[4] for row in plain()[1:])])
    made = problem(to_csv(rows))
    assert np.isfinite(made.features).all()
    assert np.isnan(made.targets["price"]).sum() == 1
    assert any("6 cells are infinite" in warning for warning in made.warnings)


def test_words_among_numbers_are_counted_and_missing_unless_the_user_says_category() -> None:
    cells = ["abc" if i % 7 == 0 else row[0] for i, row in enumerate(plain())]
    data = to_csv(replaced(plain(), 0, cells))
    assert warned(inspect(data, "t.csv"), "18 cells", '"abc"', "columns")
    assert "x1 is missing" in problem(data).feature_names
    assert kinds(inspect(data, "t.csv", spec(columns={"x1": "category"})))["x1"] == "category"


def test_a_spike_at_the_end_of_the_range_is_pointed_at_and_can_be_named_missing() -> None:
    cells = ["-999.0" if i % 6 == 0 else row[0] for i, row in enumerate(plain())]
    data = to_csv(replaced(plain(), 0, cells))
    assert warned(inspect(data, "t.csv"), '"x1"', "-999", 'name it as missing (data.missing: ["-999"])')
    cured = inspect(data, "t.csv", spec(missing=["-999"]))
    assert not cured.warnings
    assert problem(data, missing=["-999"]).features.min() > -10


def test_usual_extremes_are_no_spikes() -> None:
    rng = np.random.default_rng(0)
    zeros = np.where(rng.random(300) < 0.8, 0, rng.poisson(8, 300)).astype(float)
    for values in (rng.normal(size=300), zeros, rng.integers(1, 6, 300).astype(float), np.round(rng.exponential(5, 300))):
        assert suspects(values) == ([], 0)
    codes = np.where(rng.random(300) < 0.1, 999, rng.integers(0, 30, 300)).astype(float)
    assert suspects(codes) == ([999], int((codes == 999).sum()))


# --- columns ---------------------------------------------------------------------------------------------------------


def column_kind(values: list[object], name: str = "extra", **said: object) -> tuple[str, bool]:
    rows = with_column(plain(len(values)), values)
    seen = inspect(to_csv(rows, with_header(name)), "t.csv", spec(targets=TARGETS, **said))
    found = next(feature for feature in seen.features if feature.name == name)
    assert found.used or found.reason
    assert found.used or warned(seen, "Left out", f'"{name}"')
    return found.kind, found.used


@pytest.mark.parametrize(
    ("values", "name", "kind"),
    [
        ([i * 1.5 for i in range(120)], "extra", "number"),
        (["red", "green", "blue"] * 40, "extra", "category"),
        (["yes", "no"] * 60, "extra", "category"),
        (["TRUE", "FALSE"] * 60, "extra", "category"),
        (["Jan", "Feb", "Mar", "Apr"] * 30, "month", "category"),
        ([f"{1000 + i % 9:05d}" for i in range(120)], "zip", "category"),
        ([""] * 120, "extra", "empty"),
        (["NA", "?"] * 60, "extra", "empty"),
        (["7.0"] * 120, "extra", "constant"),
        (["same"] * 120, "extra", "constant"),
        ([f"CUST-{i:06d}-{i * 7919:x}" for i in range(120)], "customer", "id"),
        ([f"{i:032x}" for i in range(40)] * 3, "hash", "id"),
        (list(range(1, 121)), "UDI", "id"),
        (list(range(120)), "extra", "id"),
        ([(i * 37) % 120 for i in range(120)], "index", "id"),
        ([(i * 37) % 90 for i in range(120)], "customer_id", "id"),
        ([(i * 37) % 90 for i in range(120)], "PassengerId", "id"),
        ([(i * 37) % 90 for i in range(120)], "humidity", "number"),
        ([f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(120)], "when", "date"),
        ([f"{1 + i % 28:02d}.{1 + i % 12:02d}.2024 {i % 24:02d}:15" for i in range(120)], "when", "date"),
        ([f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}T{i % 24:02d}:00:00Z" for i in range(120)], "when", "date"),
        ([f"{1 + i % 28} Mar 2024" for i in range(120)], "when", "date"),
        ([f"{i % 24:02d}:{i % 60:02d}" for i in range(120)], "clock", "date"),
        ([20240101 + (i % 12) * 100 + i % 28 for i in range(120)], "date", "date"),
        ([f'line one\nof {i}, with "quotes" and more' for i in range(120)], "note", "text"),
    ],
)
def test_columns_are_typed(values: list[object], name: str, kind: str) -> None:
    assert column_kind(values, name) == (kind, kind in ("number", "category"))


def test_the_user_may_use_a_column_that_was_left_out() -> None:
    assert column_kind(list(range(120)), "UDI", columns={"UDI": "number"}) == ("number", True)
    assert column_kind([f"c{i}" for i in range(120)], "code", columns={"code": "category"}) == ("category", True)
    with pytest.raises(TableError, match="cannot be read as a number"):
        column_kind(["red", "blue"] * 60, "extra", columns={"extra": "number"})


def test_ignored_group_and_split_columns_are_no_features() -> None:
    rows = with_column(with_column(plain(), [f"g{i // 5}" for i in range(120)]), ["train", "val", "test"] * 40)
    data, said = to_csv(rows, with_header("part", "school")), {"group": "school", "split": "part", "ignore": ["x1"]}
    seen = inspect(data, "t.csv", spec(**said))
    assert used(seen) == ["x2", "x3", "x4"]
    assert not warned(seen, "Left out")
    made = problem(data, **said)
    assert np.array_equal(made.split, np.arange(120) % 3)
    together = problem(data, group="school", ignore=["part"])
    assert all(len(set(together.split[at : at + 5])) == 1 for at in range(0, 120, 5))


@pytest.mark.parametrize(
    "few", [lambda i: f"A{i % 5}", lambda _: "none", lambda _: "inf", lambda i: f"{10**31 + i % 5}", lambda i: f"00{i % 5}"]
)
def test_groups_are_told_apart_by_their_spelling_and_never_by_numbers(few: Callable[[int], str]) -> None:
    names = [few(i // 8) if i % 8 == 0 else str(i % 35) for i in range(240)]
    made = problem(to_csv(with_column(plain(240), names), with_header("school")), group="school")
    spelled = np.array(names)
    assert all(len(set(made.split[spelled == name])) == 1 for name in set(names))
    assert not any("school" in warning for warning in made.warnings)


def test_long_whole_numbers_stay_apart_as_groups_in_a_typed_file() -> None:
    rng = np.random.default_rng(0)
    schools = 2**63 + np.arange(240, dtype=np.uint64) % 40
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": rng.normal(size=240), "school": schools, "y": rng.normal(size=240)}), buffer)
    made = problem(buffer.getvalue(), group="school", targets={"y": "regression"})
    assert made.rows(TRAIN) == 144
    assert all(len(set(made.split[schools == school])) == 1 for school in set(schools))


def test_whole_numbers_that_lose_digits_are_said() -> None:
    long = [str(2**53 + 3 * i) for i in range(120)]
    assert warned(inspect(to_csv(with_column(plain(), long), with_header("long")), "t.csv"), "last digits", '{"long": category}')
    short = [str(2**53 - 3 * i) for i in range(120)]
    assert not warned(inspect(to_csv(with_column(plain(), short), with_header("short")), "t.csv"), "digits")
    buffer = io.BytesIO()
    columns = {name: [float(row[j]) for row in plain()] for j, name in enumerate(HEADER[:5])}
    pq.write_table(pa.table({**columns, "long": 2**64 - 1 - np.arange(120, dtype=np.uint64) % 60}), buffer)
    assert warned(inspect(buffer.getvalue(), "t.parquet"), '"long"', "lose their last digits")


def test_commas_between_thousands_are_read_in_a_semicolon_file() -> None:
    amounts = np.random.default_rng(0).integers(-3_000_000, 3_000_000, size=(120, 2))
    data = to_csv([[f"{value:,}" for value in row] for row in amounts.tolist()], ("x1", "y"), ";")
    made = problem(data, targets={"y": "regression"})
    assert np.array_equal(made.features[:, 0], amounts[:, 0])
    assert np.array_equal(made.targets["y"][:, 0], amounts[:, 1])


def test_columns_left_out_together_are_spoken_of_together() -> None:
    rows = with_column(with_column(plain(), (f"u{i:03d}" for i in range(120))), (f"w{i:03d}" for i in range(120)))
    seen = inspect(to_csv(rows, with_header("one", "two")), "t.csv")
    assert 'Left out "one" and "two": they look like ids.' in seen.warnings


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    rows = with_column(plain(), ["" if i % 2 else f"g{i // 10}" for i in range(120)])
    made = problem(to_csv(rows, with_header("school")), group="school")
    assert np.abs(np.bincount(made.split) - [72, 24, 24]).max() <= 6


def test_parquet_columns_of_every_type_are_read_or_left_out_by_name() -> None:
    count = 60
    x = np.linspace(-1, 1, count)
    columns = {
        "x1": pa.array(x),
        "half": pa.array(x.astype(np.float16)),
        "whole": pa.array([None if i == 3 else i % 7 for i in range(count)]),
        "flag": pa.array([i % 3 == 0 for i in range(count)]),
        "money": pa.array([f"{i % 9}.50" for i in range(count)]).cast(pa.decimal128(8, 2)),
        "colour": pa.array(["red ", "red", None, "blue"] * 15).dictionary_encode(),
        "when": pa.array(range(count), pa.timestamp("s")),
        "day": pa.array(range(count), pa.date32()),
        "list": pa.array([[1.0, 2.0]] * count),
        "struct": pa.array([{"a": 1}] * count),
        "raw": pa.array([b"\xff"] * count),
        "nothing": pa.nulls(count),
        "y": pa.array(x**2),
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    seen = inspect(buffer.getvalue(), "t.parquet")
    assert used(seen) == ["x1", "half", "whole", "flag", "money", "colour"]
    assert {"list", "struct", "raw"} == {name for name, kind in kinds(seen).items() if kind == "nested"}
    assert kinds(seen)["when"] == kinds(seen)["day"] == "date"
    assert kinds(seen)["nothing"] == "empty"
    made = problem(buffer.getvalue())
    assert np.isfinite(made.features).all()
    assert "flag=true" in made.feature_names or "flag=false" in made.feature_names


def test_parquet_columns_of_one_name_are_told_apart() -> None:
    buffer = io.BytesIO()
    arrays = [pa.array(np.sin(np.arange(60.0) * k)) for k in (1, 2, 3)] + [pa.array([[1]] * 60)]
    pq.write_table(pa.Table.from_arrays(arrays, names=["x", "x", "y", "l"]), buffer)
    made = problem(buffer.getvalue())
    assert made.feature_names == ("x", "x.1")
    assert np.allclose(made.features[:, 1], np.sin(np.arange(60.0) * 2))


# --- targets ---------------------------------------------------------------------------------------------------------


def kind_of(values: list[object]) -> tuple[str, tuple[str, ...]]:
    data = to_csv(with_column(plain(len(values)), values), with_header("aim"))
    target = inspect(data, "t.csv", spec(targets={"aim": None})).targets[0]
    return target.kind, target.classes


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        ([0, 1] * 60, "binary", ("0", "1")),
        ([1, 2] * 60, "binary", ("1", "2")),
        (["1.0", "2.0"] * 60, "binary", ("1", "2")),
        (["Yes", "No"] * 60, "binary", ("No", "Yes")),
        (["true", "false"] * 60, "binary", ("false", "true")),
        (["b", "c", "a"] * 40, "multiclass", ("a", "b", "c")),
        (["10 kg", "9 kg", "2 kg"] * 40, "multiclass", ("10 kg", "2 kg", "9 kg")),
        ([0, 1, 2] * 40, "multiclass", ("0", "1", "2")),
        ([1, 2, 3, 4] * 30, "multiclass", ("1", "2", "3", "4")),
        ([1, 2, 3, 4, 5] * 24, "regression", ()),
        ([i % 21 for i in range(120)], "regression", ()),
        ([*([0] * 100), *([1] * 14), *([2] * 4), 3, 5], "count", ()),
        (np.random.default_rng(0).poisson(2.0, 120).tolist(), "count", ()),
        (np.random.default_rng(0).normal(size=120).round(3).tolist(), "regression", ()),
        ([-1, 0, 1, 2] * 30, "regression", ()),
        ([(i % 8) * 10**9 for i in range(120)], "regression", ()),
    ],
)
def test_kinds_are_inferred(values: list[object], kind: str, classes: tuple[str, ...]) -> None:
    assert kind_of(values) == (kind, classes)


def test_labels_are_codes_of_the_sorted_classes_and_missing_ones_are_nan() -> None:
    rows = replaced(plain(), 5, (("yes", "no", "")[i % 3] for i in range(120)))
    made = problem(to_csv(rows), targets={"kind": "binary", "price": None})
    assert made.tasks[0].classes == ("no", "yes")
    assert np.array_equal(made.targets["kind"][:3, 0], [1, 0, np.nan], equal_nan=True)
    assert len(made.split) == 120
    assert made.availability(TRAIN)["kind"] == pytest.approx(2 / 3, abs=0.02)


def test_a_target_may_be_given_its_loss() -> None:
    made = problem(
        to_csv(plain()), targets={"price": {"kind": "regression", "loss": "huber", "huber_delta": 2.0}, "visits": None}
    )
    assert (made.tasks[0].loss, made.tasks[0].huber_delta) == ("huber", 2.0)
    assert made.tasks[1].kind == "count"


def test_rows_without_any_label_are_dropped_and_counted() -> None:
    rows = [[*row[:4], *(["", "", ""] if i % 3 == 0 else row[4:])] for i, row in enumerate(plain())]
    seen, made = inspect(to_csv(rows), "t.csv"), problem(to_csv(rows))
    assert seen.rows == 120
    assert warned(seen, "40 of 120 rows")
    assert len(made.features) == len(made.split) == 80
    assert seen.targets[0].available == pytest.approx(2 / 3)


def test_a_class_of_one_row_is_warned_of_and_trained_on() -> None:
    rows = replaced(plain(), 5, ["rare", *(row[5] for row in plain()[1:])])
    made = problem(to_csv(rows), targets=dict.fromkeys(TARGETS))
    assert any('class "rare"' in warning for warning in made.warnings)
    assert made.split[0] == TRAIN


@pytest.mark.parametrize("name", ["split", "Fold", "data_set", "partition", "Subset"])
@pytest.mark.parametrize("at", [4, 7])
def test_a_column_that_looks_like_a_split_is_told_and_is_no_feature(name: str, at: int) -> None:
    rows = with_column(plain(), (("TRAIN", "Train", "valid", "Test")[i % 4] for i in range(120)), at)
    data = to_csv(rows, with_header(name, at=at))
    seen = inspect(data, "t.csv")
    assert (used(seen), target_kinds(seen)) == (["x1", "x2", "x3", "x4"], TARGETS)
    assert warned(seen, "looks like a split", f'split: "{name}"', 'use it as "split"')
    assert not warned(inspect(data, "t.csv", spec(split=name)), "looks like a split")
    asked = inspect(data, "t.csv", spec(columns={name: "category"}))
    assert name in used(asked)
    assert not warned(asked, "looks like a split")


def test_a_column_named_like_a_split_with_other_values_is_a_feature() -> None:
    data = to_csv(with_column(plain(), (("big", "small", "test")[i % 3] for i in range(120)), 0), with_header("set", at=0))
    seen = inspect(data, "t.csv")
    assert "set" in used(seen)
    assert not seen.warnings


@pytest.mark.parametrize("name", ["patient", "user_id", "Customer", "engine no"])
@pytest.mark.parametrize("value", [str, "p{}".format, "a person of the name {}".format])
def test_a_column_that_seems_to_say_which_rows_belong_together_is_told(name: str, value: Callable[[int], str]) -> None:
    data = to_csv(with_column(plain(), (value(i * i % 41) for i in range(120))), with_header(name))
    assert warned(inspect(data, "t.csv"), f'group: "{name}"')
    assert not warned(inspect(data, "t.csv", spec(group=name)), "belong together:")


def test_numbers_of_patients_are_not_proposed_as_a_target() -> None:
    data = to_csv(with_column(plain(), (i % 20 + 1 for i in range(120))), with_header("patient"))
    assert target_kinds(inspect(data, "t.csv")) == TARGETS
    assert "patient" in target_kinds(inspect(data, "t.csv", spec(targets={"patient": {}})))


def test_names_of_which_each_has_one_row_are_no_groups() -> None:
    data = to_csv(with_column(plain(), (f"p{i}" for i in range(120))), with_header("patient"))
    assert not warned(inspect(data, "t.csv"), "group:")


def test_classes_that_differ_in_capitals_only_are_pointed_at() -> None:
    rows = replaced(plain(), 5, (("Yes", "yes", "no")[i % 3] for i in range(120)))
    assert warned(inspect(to_csv(rows), "t.csv"), "capital letters", '"Yes"')


@pytest.mark.parametrize("name", ["class", "Label", "status_code", "blood type", "riskCategory"])
@pytest.mark.parametrize("values", [(1, 2, 3, 5, 6, 7), (-1, 0, 1), (0, 0, 0, 0, 0, 1, 2, 4)])
def test_whole_numbers_named_like_classes_are_told_where_they_become_amounts(name: str, values: tuple[int, ...]) -> None:
    header = (*HEADER[:4], name, *HEADER[5:])
    data = to_csv(replaced(plain(), 4, (values[i % len(values)] for i in range(120))), header)
    kind = inspect(data, "t.csv", spec(targets={name: {}})).targets[0].kind
    assert kind in ("regression", "count")
    assert warned(inspect(data, "t.csv", spec(targets={name: {}})), f'"{name}"', f"amounts ({kind})", "kind: multiclass")
    for settled in ("multiclass", "regression"):
        assert not warned(inspect(data, "t.csv", spec(targets={name: {"kind": settled}})), "kind: multiclass")


@pytest.mark.parametrize(("name", "levels"), [("class", 11), ("grade", 5), ("subclasses", 5), ("decode", 5)])
def test_other_whole_numbers_become_amounts_without_a_word(name: str, levels: int) -> None:
    data = to_csv(replaced(plain(), 4, (3 + i % levels for i in range(120))), (*HEADER[:4], name, *HEADER[5:]))
    assert not warned(inspect(data, "t.csv", spec(targets={name: {}})), "kind: multiclass")


def test_classes_that_look_alike_are_told_pair_by_pair() -> None:
    rows = replaced(plain(), 5, (("Ja", "ja", "NEIN", "nein", "n. a. x")[i % 5] for i in range(120)))
    assert warned(inspect(to_csv(rows), "t.csv"), 'kept apart: "Ja" and "ja"; "NEIN" and "nein". They differ only in')


def test_huge_counts_are_warned_of() -> None:
    data = to_csv(replaced(plain(), 6, (i % 8 * 10**9 for i in range(120))))
    for kind, word in ((None, "read as regression"), ("count", "say regression")):
        assert warned(inspect(data, "t.csv", spec(targets={"visits": kind})), '"visits"', word)


@pytest.mark.parametrize(
    ("header", "targets"),
    [
        (("x1", "x2", "x3", "x4", "price", "kind", "visits"), ["price", "kind", "visits"]),
        (("a", "b", "c", "d", "price", "kind", "target"), ["target"]),
        (("a", "b", "c", "d", "y1", "kind", "y2"), ["y1", "y2"]),
        (("a", "b", "c", "label_b", "e", "kind", "label_a"), ["label_b", "label_a"]),
        (("a", "b", "c", "d", "Heating Load", "kind", "Cooling Load"), ["kind", "Cooling Load"]),
        (("a", "b", "c", "d", "e", "c-class", "m-class"), ["c-class", "m-class"]),
        (("a", "b", "c", "d", "e", "g", "spend"), ["g", "spend"]),
    ],
)
def test_targets_are_proposed_by_name_and_place(header: tuple[str, ...], targets: list[str]) -> None:
    assert [t.name for t in inspect(to_csv(plain(), header), "t.csv").targets] == targets


def test_a_copy_of_a_target_is_not_proposed_but_warned_of() -> None:
    rows = [[*row, str(2 * float(row[4]) + 1), "1" if row[5] == "a" else "0"] for row in plain()]
    seen = inspect(to_csv(rows, (*HEADER, "price_copy", "kind_code")), "t.csv")
    assert target_kinds(seen) == TARGETS
    assert warned(seen, '"price_copy"', '"price"', "almost perfectly")
    assert warned(seen, '"kind_code"', '"kind"')


@pytest.mark.parametrize("curve", [np.exp, lambda x: -(x**3), lambda x: np.round(x, 1) * 10])
def test_any_rising_or_falling_function_of_a_target_is_a_leak(curve: object) -> None:
    rows = with_column(plain(), curve(np.array([float(row[4]) for row in plain()])))  # type: ignore[operator]
    assert warned(inspect(to_csv(rows, with_header("leak")), "t.csv", spec(targets={"price": None})), '"leak"')


def test_good_features_are_no_leaks() -> None:
    rng = np.random.default_rng(0)
    noisy = [f"{float(row[4]) + 0.3 * rng.normal():.3f}" for row in plain()]
    assert not inspect(to_csv(with_column(plain(), noisy), with_header("near")), "t.csv", spec(targets=TARGETS)).warnings


def test_a_table_without_a_likely_target_can_still_be_looked_at() -> None:
    rows = [[f"id-{i}-{i * i}", f"2024-01-{1 + i % 28:02d}"] for i in range(60)]
    seen = inspect(to_csv(rows, ("key", "day")), "t.csv")
    assert seen.targets == ()
    assert warned(seen, "No column looks like a target")


# --- features --------------------------------------------------------------------------------------------------------


def encoded(values: list[object], **said: object) -> Problem:
    return problem(to_csv(with_column(plain(len(values)), values), with_header("extra")), targets=TARGETS, **said)


def test_categories_become_one_column_a_level_and_two_levels_one_column() -> None:
    made = encoded(["red", "green", "blue"] * 40)
    assert made.feature_names[4:] == ("extra=blue", "extra=green", "extra=red")
    assert np.array_equal(made.features[:3, 4:], [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    assert encoded(["yes", "no"] * 60).feature_names[4:] == ("extra=yes",)


def test_missing_categories_are_a_level_and_rare_levels_are_merged() -> None:
    made = encoded((["red"] * 3 + ["green"] * 2 + [""]) * 30 + [f"rare {i}" for i in range(20)])
    assert made.feature_names[4:] == ("extra=green", "extra=red", "extra=other", "extra is missing")
    assert np.array_equal(made.features[:, 4:].sum(axis=1), np.ones(200))
    assert any("merged" in warning for warning in made.warnings)


def test_small_tables_keep_many_levels_and_large_ones_as_many_as_fit() -> None:
    names = [f"level {i % 100:02d}" for i in range(1_500)]
    assert len(encoded(list(names)).feature_names) == 4 + 100
    training = np.ones(120_000, dtype=bool)
    wide = [Column(place, "category", 120_000, 200, numbers=np.arange(120_000.0) % 200) for place in "abcd"]
    assert len(encode(wide, training).names) == 4 * (FEW_LEVELS + 1)


def test_missing_numbers_take_the_median_of_the_training_rows_and_a_column_of_their_own() -> None:
    values = ["" if i % 4 == 0 else i**2 for i in range(120)]
    made = encoded(values)
    assert made.feature_names[4:] == ("extra", "extra is missing")
    training = [values[i] for i in range(120) if made.split[i] == TRAIN and values[i] != ""]
    assert made.features[0, 4] == np.median(training)
    assert np.array_equal(made.features[:, 5], np.arange(120) % 4 == 0)


def test_nothing_is_learned_from_validation_and_test_rows() -> None:
    parts = ["train"] * 60 + ["val"] * 30 + ["test"] * 30
    rows = with_column(with_column(plain(), parts), ["" if i % 5 == 0 else i for i in range(120)])
    data = to_csv(rows, with_header("extra", "part"))
    other = [
        [*row[:4], str(1000 * int(row[4])) if parts[i] != "train" and row[4] else row[4], *row[5:]] for i, row in enumerate(rows)
    ]
    first, second = (problem(d, targets=TARGETS, split="part") for d in (data, to_csv(other, with_header("extra", "part"))))
    assert np.array_equal(first.features[:60], second.features[:60])
    assert first.features[60, 4] == second.features[60, 4]


def test_a_level_unseen_in_training_leaves_zeros() -> None:
    parts = ["train"] * 80 + ["val"] * 20 + ["test"] * 20
    levels = [("red", "green", "blue")[i % 3] if i < 80 else "new" for i in range(120)]
    data = to_csv(with_column(with_column(plain(), parts), levels), with_header("extra", "part"))
    made = problem(data, targets=TARGETS, split="part")
    assert made.features[80:, 4:].sum() == 0


def test_features_that_are_constant_in_training_are_dropped() -> None:
    parts = ["train"] * 80 + ["val"] * 20 + ["test"] * 20
    rows = with_column(with_column(plain(), parts), [1 if i < 80 else i for i in range(120)])
    assert "extra" not in problem(to_csv(rows, with_header("extra", "part")), targets=TARGETS, split="part").feature_names


# --- budget, files, cost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [12, 500, 6_000, 100_000, 1_000_000])
def test_the_recommended_budget_can_be_trained(rows: int) -> None:
    values = budget(rows, 20)
    stop = values.pop("stop")
    assert TrainingSpec.model_validate(values).epochs == values["epochs"]
    assert stop["on"] == "criterion"
    assert 1 <= stop["patience"] <= values["epochs"]
    assert budget(rows, 20) == {**values, "stop": stop}


def test_patience_is_longer_on_few_rows_and_decay_stronger_with_many_features_for_them() -> None:
    patience = [budget(rows, 20)["stop"]["patience"] for rows in (100, 1_000, 300_000)]
    assert patience[0] > patience[1] > patience[2] >= 15
    decay = [budget(rows, features)["weight_decay"] for rows, features in ((400, 300), (400, 10), (400_000, 10))]
    assert decay[0] > decay[1] > decay[2] > 0


def test_a_table_is_pinned_by_its_bytes_and_loaded_from_file_or_store(tmp_path: Path) -> None:
    data = to_csv(plain())
    file = tmp_path / "mine.csv"
    file.write_bytes(data)
    pinned, kept = pin(DataSpec(file=str(file)))
    assert pinned.fingerprint == digest(data)
    assert kept == ("mine.csv", data)
    assert load(pinned).name == "mine"
    file.unlink()
    assert pin(pinned) == (pinned, None)
    assert load(pinned, fetch=lambda fingerprint: ("stored.csv", data)).name == "stored"
    with pytest.raises(TableError, match="no file"):
        load(pinned)
    with pytest.raises(SpecError, match="not at hand"):
        load(DataSpec(fingerprint=digest(data)))


def test_a_file_that_changed_is_not_taken_for_the_pinned_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(to_csv(plain()))
    pinned, _ = pin(DataSpec(file=str(file)))
    file.write_bytes(to_csv(plain(60)))
    for look in (pin, load):
        with pytest.raises(TableError, match="has changed"):
            look(pinned)
    assert load(pinned, fetch=lambda _: ("stored.csv", to_csv(plain()))).name == "stored"


def test_files_that_cannot_be_read_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no file"):
        read_file(str(tmp_path / "none.csv"))
    with pytest.raises(TableError, match="is a folder"):
        read_file(str(tmp_path))
    with pytest.raises(TableError, match="cannot be read"):
        read_file("a\0b")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, mtl_core.data; print([m for m in ('torch', 'pandas', 'pyarrow', 'scipy', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("table", "targets", "left_out"),
    [
        ("energy_efficiency", {"Heating Load": "regression", "Cooling Load": "regression"}, set()),
        ("students", {"G3_por": "regression", "G3_mat": "regression"}, set()),
        ("solar_flare", {"c-class": "count", "m-class": "count", "x-class": "count"}, {"area_largest"}),
        ("ai4i2020", dict.fromkeys(["Machine failure", "TWF", "HDF", "PWF", "OSF", "RNF"], "binary"), {"UDI", "Product ID"}),
    ],
)
def test_real_tables_are_understood_as_their_authors_mean_them(table: str, targets: dict[str, str], left_out: set[str]) -> None:
    file = TABLES / f"{table}.csv"
    if not file.is_file():
        pytest.skip("no shared data here")
    seen = inspect(file.read_bytes(), file.name)
    assert target_kinds(seen) == targets
    assert {feature.name for feature in seen.features if not feature.used} == left_out
    assert not warned(seen, "almost perfectly")
    assert np.isfinite(load(DataSpec(file=str(file))).features).all()

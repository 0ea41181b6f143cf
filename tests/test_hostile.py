"""Malformed and hostile uploads: each ends in one sentence or in a table that is typed rightly, never in anything else."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import sqlite3
import string
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import HEADER, TARGETS, plain, replaced, to_csv, with_column, with_header

from mtl_core.data import formats, inspect, limits, parquet, raw
from mtl_core.data.table import to_problem
from mtl_core.errors import SpecError, TableError, UserError
from mtl_core.specs import DataSpec, parse_experiment

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "hostile"
INDEX = (FOLDER / "INDEX.tsv").read_text(encoding="utf-8") if (FOLDER / "INDEX.tsv").is_file() else "file\tverdict"
VERDICTS = {row["file"]: row["verdict"] for row in csv.DictReader(INDEX.splitlines(), delimiter="\t")}
SAID = {  # files that are refused for a target's sake, and what is said of it
    "label_all_missing.csv": {"price": "regression", "kind": "binary"},
    "target_single_class.csv": {"kind": None, "price": "regression"},
    "count_negative.csv": {"visits": "count", "price": "regression"},
}


def spec(**said: object) -> DataSpec:
    return DataSpec.model_validate({"file": "table.csv", **said})


def refusal(data: bytes, name: str = "table.csv", **said: object) -> str:
    with pytest.raises(UserError) as caught:
        to_problem(data, name, spec(**said))
    sentence = str(caught.value)
    assert sentence.endswith((".", "?"))
    assert "\n" not in sentence
    return sentence


# --- the files kept beside the checkout ------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(VERDICTS) or [pytest.param("", marks=pytest.mark.skip(reason="no shared data here"))])
def test_each_hostile_file_ends_as_its_index_says(file: str) -> None:
    data = (FOLDER / file).read_bytes()
    if VERDICTS[file] == "REJECT":
        refusal(data, file, targets=SAID.get(file))
        return
    seen = inspect(data, file)
    problem = to_problem(data, file, spec())
    assert seen.targets
    assert np.isfinite(problem.features).all()
    assert (VERDICTS[file] == "WARN") <= bool(problem.warnings)


@pytest.mark.parametrize("file", sorted(SAID))
def test_other_targets_stay_usable_beside_one_that_is_refused(file: str) -> None:
    if not VERDICTS:
        pytest.skip("no shared data here")
    bad = next(iter(SAID[file]))
    assert f'"{bad}"' in refusal((FOLDER / file).read_bytes(), file, targets=SAID[file])
    rest = {name: kind for name, kind in SAID[file].items() if name != bad}
    assert to_problem((FOLDER / file).read_bytes(), file, spec(targets=rest)).tasks[0].name in rest


# --- other formats ---------------------------------------------------------------------------------------------------


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "<x/>")
    return buffer.getvalue()


def _sqlite() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (x)")
    data = connection.serialize()
    connection.close()
    return data


class _Canary:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was loaded",))


OTHERS = {
    "an Excel workbook": _zip("[Content_Types].xml", "xl/workbook.xml"),
    "an OpenDocument": b"PK\x03\x04mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
    "an old Excel": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "a ZIP archive": _zip("table.csv"),
    "a PyTorch file": _zip("archive/data.pkl"),
    "a NumPy archive": _zip("x.npy"),
    "a gzip archive": gzip.compress(to_csv(plain())),
    "an SQLite database": _sqlite(),
    "a NumPy array": b"\x93NUMPY\x01\x00",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n",
    "an Arrow or Feather file": b"ARROW1\x00\x00",
    "a PDF": b"%PDF-1.7",
    "a web page": b"\n <!DOCTYPE html><html><table><tr><td>1,2</td></tr></table></html>",
    "JSON": json.dumps([{"x": i, "y": 2} for i in range(40)], indent=1).encode(),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_format_under_a_csv_name_is_called_by_its_name(what: str) -> None:
    assert what in refusal(OTHERS[what])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_and_never_loaded(protocol: int) -> None:
    refusal(pickle.dumps([_Canary()] * 3, protocol=protocol))
    if protocol >= 2:
        assert "pickle" in refusal(pickle.dumps({"x": [1, 2, 3]}, protocol=protocol))


def test_lists_in_json_are_refused_and_a_bracket_in_a_name_is_not() -> None:
    assert "JSON" in refusal(json.dumps([[1, 2], [3, 4]]).encode())
    rows = to_csv(plain(), ("[mm]", "{a}", *HEADER[2:]))
    assert inspect(rows, "t.csv").features[0].name == "[mm]"


# --- too little, too much, damaged -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "no text"),
        (b"\n\n  \n", "no text"),
        (to_csv([]), "no rows"),
        (to_csv([row[:1] for row in plain()], ("price",)), "one column"),
        (to_csv(plain(5)), "5 rows"),
        (to_csv(plain(19)), "19 rows"),
        (b"a,b\n1,2\x00\n" * 30, "zero bytes"),
        (b'a,b\n1,"2\n' + b"3,4\n" * 30, "line 2: a quotation mark"),
        (to_csv(plain()) + b'1,2,3,4,5,"a' + b",1\n1,2,3,4,5,a" * 30, "quotation mark"),
        (to_csv(plain()) + b'1,2,3,4,"5' + b",1\n1,2,3,4,5,a" * 30, "line 122: 5 fields"),
        (bytes(range(128, 256)) * 4, "one column"),
    ],
)
def test_too_little_is_said_in_a_sentence(data: bytes, word: str) -> None:
    assert word in refusal(data)


def test_more_bytes_than_allowed_are_refused_by_their_number_alone() -> None:
    start = time.perf_counter()
    assert "at most 100 MB" in refusal(bytes(limits.MAX_BYTES + 1))
    assert time.perf_counter() - start < 1


def test_more_rows_columns_or_cells_than_allowed_are_refused_before_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = ",".join(f"c{i}" for i in range(limits.MAX_COLUMNS + 1)) + "\n"
    assert "2,001 columns" in refusal((wide + wide).encode())
    monkeypatch.setattr(raw, "MAX_ROWS", 100)
    assert "at most 100 are read" in refusal(to_csv(plain()))
    monkeypatch.setattr(raw, "MAX_ROWS", 1_000)
    monkeypatch.setattr(raw, "MAX_CELLS", 500)
    assert "take a sample" in refusal(to_csv(plain()))


def test_a_line_without_end_is_refused() -> None:
    assert "first line of over" in refusal(b"a," * 1_500_000)


def test_more_classes_than_allowed_are_refused_by_name() -> None:
    rows = replaced(plain(600), 5, (f"c{i % 150}" for i in range(600)))
    assert '"kind" has 150 classes' in refusal(to_csv(rows), targets={"kind": "multiclass"})
    assert '"price" has' in refusal(to_csv(rows), targets={"price": "multiclass"})


@pytest.mark.parametrize("fields", [("9", "9"), ()])
def test_a_line_of_another_width_is_named_by_its_number(fields: tuple[str, ...]) -> None:
    rows = plain()
    rows[7] = [*rows[7], *fields] if fields else rows[7][:-2]
    assert "line 9:" in refusal(to_csv(rows))


def test_line_numbers_count_the_lines_inside_quotes() -> None:
    rows = with_column(plain(), ["two\nlines"] * 120)
    rows[7] = [*rows[7], "9"]
    assert "line 16:" in refusal(to_csv(rows, with_header("note")))


def test_lines_above_the_table_are_pointed_at() -> None:
    assert "start on line 4" in refusal(b"Report of 2024-05-01\nmade by: lab 7\n\n" + to_csv(plain()))


def _parquet(table: pa.Table, **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def test_damaged_parquet_is_called_damaged() -> None:
    whole = _parquet(pa.table({"x": list(range(60)), "y": [0.5 * i for i in range(60)]}))
    for broken in (
        whole[: len(whole) // 2],
        whole[:4],
        whole[:-4] + b"PARX",
        b"PAR1" + bytes(200) + b"PAR1",
        whole[:200] + whole[260:],
    ):
        assert "damaged" in refusal(broken, "table.parquet")


def test_parquet_is_measured_by_its_footer_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = _parquet(pa.table({"x": pa.array(np.zeros(2_000_000)), "y": pa.array(np.zeros(2_000_000))}), compression="zstd")
    assert len(bomb) < 100_000
    assert "2,000,000 rows" in refusal(bomb, "table.parquet")
    monkeypatch.setattr(parquet, "MAX_UNPACKED", 2**20)
    long = pa.array(["x" * 30_000 + str(i) for i in range(100)])
    text = _parquet(pa.table({"t": long, "y": list(range(100))}), compression="zstd", use_dictionary=False)
    assert "unpacks to" in refusal(text, "table.parquet")


def test_parquet_without_rows_or_with_one_column_is_refused() -> None:
    assert "no rows" in refusal(_parquet(pa.table({"x": pa.array([], pa.float64()), "y": pa.array([], pa.float64())})))
    assert "one column" in refusal(_parquet(pa.table({"x": [1.0] * 50})))


# --- what a person may say wrongly -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"targets": {"prize": "regression"}}, ("prize", 'Did you mean "price"')),
        ({"ignore": ["x9"]}, ("x9", "ignore")),
        ({"group": "school"}, ("school", "group")),
        ({"split": "kind"}, ("kind", "train, validation and test", "train")),
        ({"targets": {"price": "multi_output"}}, ("multi_output", "regression")),
        ({"targets": {"kind": "regression"}}, ("kind", "multiclass")),
        ({"targets": {"price": "binary"}}, ("price", "classes")),
        ({"targets": {"price": "count"}}, ("price", "count", "regression")),
        ({"targets": {"price": {"kind": "regression", "loss": "ce"}}}, ("price", "mse")),
        ({"targets": {"price": "regression"}, "ignore": ["price"]}, ("price", "ignored")),
        ({"targets": dict.fromkeys(HEADER)}, ("feature",)),
        ({"targets": {"kind": "binary"}, "ignore": [name for name in HEADER if name != "kind"]}, ("feature",)),
        ({"group": "kind"}, ("2 groups", "3")),
        ({"missing": ["a", "b"], "targets": {"kind": "binary"}}, ("kind", "no label")),
    ],
)
def test_what_is_said_wrongly_is_answered_with_what_and_where(said: dict[str, object], words: tuple[str, ...]) -> None:
    sentence = refusal(to_csv(plain()), **said)
    assert any(word in sentence for word in words)
    assert words[0] in sentence


def test_a_date_and_free_text_cannot_be_targets() -> None:
    days = [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(120)]
    notes = [f"this is note number {i} of many" for i in range(120)]
    rows = to_csv(with_column(with_column(plain(), days), notes), with_header("note", "day"))
    assert "dates" in refusal(rows, targets={"day": None})
    assert "free text" in refusal(rows, targets={"note": None})


# --- anything at all -------------------------------------------------------------------------------------------------

CELLS = st.one_of(
    st.sampled_from(
        ["", "1", "-2.5", "1,5", "12%", "inf", "NA", "-999", "2024-01-31", "yes", "no", "1e400", '"', "TOTAL", "0012", "$5"]
    ),
    st.text(alphabet=string.printable + "äß€\u202e\x00", max_size=8),
    st.integers(-10, 10).map(str),
)
WIDTH = st.integers(1, 6)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Mostly even tables of odd cells."""
    width = draw(WIDTH)
    columns = [draw(st.lists(CELLS, min_size=1, max_size=6)) for _ in range(width)]
    rows = draw(st.integers(0, 60))
    delimiter = draw(st.sampled_from(",;\t|"))
    body = [[columns[j][(i * (j + 1)) % len(columns[j])] for j in range(width)] for i in range(rows)]
    if rows and draw(st.booleans()):
        body[draw(st.integers(0, rows - 1))] = draw(st.lists(CELLS, max_size=8))
    header = draw(st.none() | st.lists(CELLS, min_size=width, max_size=width))
    return to_csv(body, header, delimiter).decode().encode(draw(st.sampled_from(["utf-8", "utf-16", "utf-8-sig"])))


def _ends_well(data: bytes, said: DataSpec) -> None:
    for look in (lambda: inspect(data, "any.csv", said), lambda: to_problem(data, "any.csv", said)):
        try:
            look()
        except (TableError, SpecError) as error:
            told = str(error)
        else:
            continue
        assert told.endswith((".", "?"))
        assert "\n" not in told


@given(tables(), st.sampled_from([{}, {"header": False}, {"header": True}, {"missing": ("-999", "1")}]))
@settings(max_examples=120)
def test_any_table_is_read_or_refused_with_a_sentence(data: bytes, said: dict[str, object]) -> None:
    _ends_well(data, spec(**said))


@given(st.binary(max_size=400))
@settings(max_examples=80)
def test_any_bytes_are_read_or_refused_with_a_sentence(data: bytes) -> None:
    _ends_well(data, spec())


@given(st.data())
@settings(max_examples=80)
def test_any_change_to_a_good_file_is_read_or_refused_with_a_sentence(data: st.DataObject) -> None:
    good = data.draw(st.sampled_from([to_csv(plain(40)), _parquet(pa.table({"x": list(range(40)), "y": ["a", "b"] * 20}))]))
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    _ends_well(bytes(changed), spec(targets=data.draw(st.sampled_from([None, {"y": None}, TARGETS]))))


def test_every_known_format_has_its_own_first_bytes() -> None:
    magic = [(first, at) for first, at, _, _ in formats._MAGIC]
    assert len(set(magic)) == len(magic)


def test_a_quotation_mark_that_each_line_leaves_open_is_named_by_its_line() -> None:
    lines = ["x1,y", *(f'{np.sin(i):.4f},"{i % 7}.5' for i in range(60))]
    assert "line 2: a quotation mark" in refusal("\n".join(lines).encode())


def test_quoted_line_breaks_and_loose_quotation_marks_are_still_text() -> None:
    rows = with_column(plain(), ('a "word"\nof two lines' if i % 2 else 'loose "" mark' for i in range(120)))
    data = to_csv(rows, with_header("note")).replace(b'loose """" mark', b'"loose" mark')
    assert inspect(data, "t.csv").rows == 120


@pytest.mark.parametrize("name", ["group", "split"])
def test_a_blank_column_name_is_one_sentence(name: str) -> None:
    assert refusal(to_csv(plain()), **{name: " "}).startswith(f'{name}: No column " "')
    with pytest.raises(SpecError, match=rf"^data\.{name}: "):
        parse_experiment({"data": {"file": "table.csv", name: ""}, "arms": {"a": {"scheme": "equal"}}})

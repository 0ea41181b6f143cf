"""Whatever dress a table comes in (encoding, separators, quotes, lines around it), it is read as itself or refused."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from tables import HEADER, plain, replaced, target_kinds, to_csv, used, warned

from mtl_core.data import inspect
from mtl_core.data.table import to_problem
from mtl_core.errors import TableError
from mtl_core.specs import DataSpec

ROWS = plain()
TEXT = to_csv(ROWS).decode()
LINES = TEXT.splitlines()
NAMES, BODY = LINES[0], LINES[1:]
PLAIN = to_problem(TEXT.encode(), "t.csv", DataSpec(file="t.csv"))


def read_as_itself(data: bytes, *words: str, name: str = "t.csv") -> None:
    """The same numbers and labels come out, and a warning says all the words."""
    seen, problem = inspect(data, name), to_problem(data, name, DataSpec(file=name))
    assert used(seen) == list(HEADER[:4])
    assert np.array_equal(problem.features, PLAIN.features)
    assert all(np.array_equal(problem.targets[task], PLAIN.targets[task]) for task in PLAIN.targets)
    assert warned(seen, *words) if words else not seen.warnings


def refused(data: bytes, *words: str) -> None:
    with pytest.raises(TableError) as caught:
        inspect(data, "t.csv")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def joined(separator: str) -> bytes:
    return "\n".join(separator.join(row) for row in [HEADER, *ROWS]).encode()


# --- encodings -------------------------------------------------------------------------------------------------------

WORDS = {
    ("cp1252", "latin_1", "iso8859-15", "cp850", "mac_roman", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"): (
        "Käse",
        "Öl",
        "Straße",
    ),
    ("cp1250",): ("Łódź", "Kraków", "Gdańsk"),
    ("cp1251", "koi8_r", "iso8859_5", "cp866"): ("Москва", "Петербург", "Казань"),
    ("cp1253",): ("Αθήνα", "Θεσσαλονίκη", "Πάτρα"),
    ("shift_jis", "iso2022_jp"): ("東京都", "大阪府", "北海道"),
    ("gb18030",): ("北京市", "上海市", "广州市"),
    ("cp949",): ("서울특별시", "부산광역시", "제주도"),
}


@pytest.mark.parametrize(("encoding", "words"), [(one, words) for many, words in WORDS.items() for one in many])
def test_words_come_through_in_every_encoding_and_it_is_named(encoding: str, words: tuple[str, str, str]) -> None:
    text = to_csv(replaced(ROWS, 5, (words[i % 3] for i in range(120)))).decode()
    seen = inspect(text.encode(encoding), "t.csv")
    assert set(seen.targets[1].classes) == set(words)
    assert any(word in seen.warnings[0].lower() for word in ("utf-8", "utf-16", "utf-32"))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (TEXT.replace(",a,", ",K\ufffdse,").encode(), "replacement signs"),
        (TEXT.replace(",a,", ",KÃ¤se,").encode(), '"Käse"'),
    ],
)
def test_letters_that_an_earlier_conversion_has_damaged_are_pointed_at(data: bytes, word: str) -> None:
    assert warned(inspect(data, "t.csv"), word, "export it again")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_few_bad_bytes_do_not_make_utf8_another_encoding(mark: str) -> None:
    text = mark + to_csv(replaced(ROWS, 5, (("Käse", "Łódź")[i % 2] for i in range(120)))).decode()
    lines = text.encode().splitlines(keepends=True)
    lines[7] = lines[7].replace("Käse".encode(), b"K\xe4se")
    seen = inspect(b"".join(lines), "t.csv")
    assert seen.recognised.encoding == "utf-8"
    assert set(seen.targets[1].classes) == {"Käse", "Łódź", "K\ufffdse"}
    assert warned(seen, "UTF-8 but for 1 byte, first on line 8", "K\ufffdse")
    assert not warned(seen, "export it again")


def test_utf8_that_ends_in_the_middle_of_a_letter_stays_utf8() -> None:
    seen = inspect(to_csv(replaced(ROWS, 6, (("東", "京")[i % 2] for i in range(120)))).rstrip()[:-1], "t.csv")
    assert set(seen.targets[-1].classes) >= {"東", "京"}
    assert warned(seen, "UTF-8 but for 2 bytes, first on line 121")


def test_a_file_of_another_encoding_is_not_taken_for_damaged_utf8() -> None:
    text = to_csv(replaced(ROWS, 5, (("Käse", "Öl")[i % 2] for i in range(120)))).decode()
    seen = inspect(text.encode("cp1252").replace(b"x1", "Größe".encode(), 1), "t.csv")
    assert warned(seen, "not UTF-8 and was read as")


def test_marks_of_other_systems_leave_no_trace() -> None:
    mark = "\ufeff".encode()
    read_as_itself(mark + mark + TEXT.encode())
    read_as_itself(TEXT.encode() + b"\x1a")
    read_as_itself(TEXT.replace(",a,", ",\x1b[31ma\x1b[0m,").encode())
    refused(bytes(range(1, 32)) * 40 + TEXT.encode(), "binary data")


# --- separators and quotes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["^", "~", "¦", "·", "\x01", "\x1f", "||", "::", "~|~", ",\t", ";;", "@@"])
def test_an_odd_separator_is_seen_and_named(separator: str) -> None:
    read_as_itself(joined(separator), "divided by")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ", ", " | ", " ", "   "])
def test_a_usual_separator_needs_no_word(separator: str) -> None:
    read_as_itself(joined(separator))


@pytest.mark.parametrize(("line", "separator"), [("sep=;", ";"), ('"sep=;"', ";"), ("SEP=^", "^"), ("sep=;", ",")])
def test_a_line_that_names_the_separator_is_followed_where_it_is_right(line: str, separator: str) -> None:
    data = f"{line}\r\n".encode() + joined(separator)
    read_as_itself(data, *(("divided by",) if separator == "^" else ("not followed",) if separator == "," else ()))


@pytest.mark.parametrize("separator", [":", "/", "=", "&"])
def test_a_sign_that_stands_inside_values_divides_nothing(separator: str) -> None:
    refused(joined(separator), "one column only")


@pytest.mark.parametrize(("first", "last"), [("'", "'"), ("“", "”"), ("„", "“"), ("«", "»")])
def test_cells_in_other_quotation_marks_are_read_without_them(first: str, last: str) -> None:
    lines = (",".join(f"{first}{cell}{last}" for cell in row) for row in [HEADER, *ROWS])
    read_as_itself("\n".join(lines).encode(), "quotation marks")


def test_lines_in_quotation_marks_as_a_whole_are_unwrapped() -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([[line] for line in LINES])
    read_as_itself(text.getvalue().encode(), "as a whole")


def test_names_and_rows_that_are_divided_differently_are_refused() -> None:
    refused("\n".join([NAMES.replace(",", ";"), *BODY]).encode(), "names are divided by semicolons")


# --- lines around the table ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("above", "line"),
    [
        (["Report"], 2),
        (["Report", "", "made today"], 4),
        (["Report,,,,,,", ",,,,,,"], 3),
        (["Report, made by me"], 2),
        (["# one", "# two, three"], 3),
        (["a,b,c,d,e,f,g,h,i"], 2),
        (["features,,,,targets,,"], 2),
        ([f"line {i}" for i in range(300)], 301),
        (["# by hand", "# twice", "Station:,Zürich", "Period:,2020,2021,,,,", ""], 6),
        (["# by hand", "Station:,Zürich", "Period:,from,to,in,days,of,May", ""], 5),
        (["Station:,Zürich", "Period:,from,to,in,days,of,May"], 3),
        (["Station:,a,b,c,d,e,f", "Period:,from,to,in,days,of,May"], 3),
        (["Report", "all,of,it,was,made,by,me", "in May", ""], 5),
    ],
)
def test_lines_above_the_names_are_refused_with_the_line_of_the_names(above: list[str], line: int) -> None:
    refused("\n".join([*above, *LINES]).encode(), f"start on line {line}:")


@pytest.mark.parametrize("units", ["m,m,m,m,EUR,-,n", "(m),(s),(kg),(K),(EUR),(),()", "float,float,float,float,float,str,int"])
def test_a_line_of_units_below_the_names_is_dropped_and_said(units: str) -> None:
    read_as_itself("\n".join([NAMES, units, *BODY]).encode(), "units or types")


def test_first_cells_that_are_no_numbers_are_no_line_of_units() -> None:
    rows = replaced(ROWS, 0, ["abc", *(row[0] for row in ROWS[1:])])
    assert inspect(to_csv(rows), "t.csv").rows == 120


@pytest.mark.parametrize(
    "below",
    [
        ["Source: my lab"],
        ["", "(120 rows affected)"],
        ["Total,,,,12,,300"],
        ["Sum,1,1,1,1,,3", "Mean,1,1,1,1,,3"],
        ["mean,0,0,0,0,,1", "std,1,1,1,1,,1"],
    ],
)
def test_lines_below_the_table_are_dropped_and_said(below: list[str]) -> None:
    read_as_itself("\n".join([*LINES, *below]).encode(), "was dropped")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([NAMES.rsplit(",", 1)[0], *BODY], ("6 names", "7 fields")),
        ([f"{NAMES},more", *BODY], ("8 names", "7 fields")),
        ([NAMES, *BODY[:50], "# a note", *BODY[50:]], ("line 52", "comment")),
        ([NAMES, *BODY[:5], f"{BODY[5]},9", *BODY[6:]], ("line 7", "8 fields")),
        ([NAMES, *BODY[:5], "1,2", *BODY[6:]], ("line 7", "2 fields")),
        ([f'"{NAMES}', *BODY], ("line 1", "quotation mark")),
        ([",".join(row) for row in zip(HEADER, *ROWS, strict=False)], ("7 rows", "on its side")),
    ],
)
def test_what_does_not_fit_is_named_by_its_line(lines: list[str], words: tuple[str, ...]) -> None:
    refused("\n".join(lines).encode(), *words)


def test_row_names_without_a_name_are_taken_for_what_they_are() -> None:
    data = "\n".join([NAMES, *(f"{i + 1},{line}" for i, line in enumerate(BODY))]).encode()
    read_as_itself(data, "row names")


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n\r", "\r\r\n"])
def test_any_line_end_will_do(end: str) -> None:
    read_as_itself(TEXT.replace("\n", end).encode())


@pytest.mark.parametrize("more", [",", ",,", ",,,"])
def test_delimiters_at_the_ends_of_rows_shift_no_name(more: str) -> None:
    read_as_itself("\n".join([NAMES, *(line + more for line in BODY)]).encode(), "end with a delimiter")


@pytest.mark.parametrize("data", [b",,,\n" * 40, b'"",""\n' * 40, b";\n" * 40, b" \n\t\n"])
def test_separators_without_a_value_are_no_table(data: bytes) -> None:
    refused(data, "value" if data.strip() else "no text")


def test_a_log_with_dates_on_top_has_no_names() -> None:
    lines = (f"2024-01-{1 + i % 28:02d} 10:00,{np.sin(i):.3f},{i * i % 17}" for i in range(60))
    seen = inspect("\n".join(lines).encode(), "t.csv")
    assert (seen.rows, seen.recognised.header) == (60, False)
    assert target_kinds(seen)

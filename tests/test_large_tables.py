"""Large and endless tables are refused within 10 seconds and 1 GiB; 120,000 rows load within 20 seconds (of one processor)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]
LOOK = """
import json, resource, sys
from mtl_core.data import read_file
from mtl_core.data.table import to_problem
from mtl_core.errors import UserError
from mtl_core.specs import DataSpec
try:
    name, data = read_file(sys.argv[1])
    said = f"{len(to_problem(data, name, DataSpec(file=name)).features)} rows"
except UserError as error:
    said = str(error)
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([said, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime]))
"""


def outcome(path: Path) -> tuple[str, float, float]:
    """(what is said, peak memory in MB, seconds of a processor) of reading a table in a process of its own."""
    shell = [sys.executable, "-c", LOOK, str(path)]  # of a shell, as a child of a large process inherits its peak
    done = subprocess.run(["/bin/sh", "-c", '"$@"', "sh", *shell], cwd=ROOT, capture_output=True, text=True, check=True)
    said, memory, seconds = json.loads(done.stdout)
    return said, memory, seconds


def write(path: Path, table: dict[str, np.ndarray | list[str]]) -> None:
    pq.write_table(pa.table(table), path, compression="zstd")


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "many.csv": (lambda p: p.write_bytes(b"a,b,y\n" + b"1,2,3\n" * 1_200_000), "1,200,000 rows"),
    "quoted.csv": (lambda p: p.write_bytes(b"a,b,y\n" + b'"1","2","3"\n' * 1_200_000), "1,200,000 rows"),
    "blanks.txt": (lambda p: p.write_bytes(b"a b c\n" + b"1 2 3\n" * 12_000_000), "12,000,000 rows"),
    "line.csv": (lambda p: p.write_bytes(b"1," * 25_000_000), "first line of over"),
    "cell.csv": (lambda p: p.write_bytes(b"a,b,y\n1," + b"x" * 50_000_000 + b",3\n"), "1 row"),
    "open.csv": (lambda p: p.write_bytes(b'a,b,y\n1,"2,3\n' + b"1,2,3\n" * 6_000_000), "line 2: a quotation mark"),
    "wide.csv": (lambda p: p.write_text((",".join(f"c{i}" for i in range(20_000)) + "\n") * 30), "20,000 columns"),
    "bomb.parquet": (lambda p: write(p, {"x": np.zeros(6_000_000), "y": np.zeros(6_000_000)}), "6,000,000 rows"),
    "long.parquet": (lambda p: write(p, {"t": ["x" * 30_000 + str(i) for i in range(10_000)]}), "unpacks to"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_too_large_is_refused_in_little_time_and_memory(name: str, tmp_path: Path) -> None:
    make, word = REFUSED[name]
    make(tmp_path / name)
    said, memory, seconds = outcome(tmp_path / name)
    assert word in said
    assert memory < 1024
    assert seconds < 10


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_a_table_of_120_000_rows_loads_in_little_time_and_memory(name: str, tmp_path: Path) -> None:
    names = [*(f"x{i}" for i in range(29)), "y"]
    values = np.random.default_rng(0).normal(size=(30, 4_000)).round(4)
    if name.endswith("csv"):
        block = "".join(",".join(map(str, row)) + "\n" for row in values.T.tolist())
        (tmp_path / name).write_text(",".join(names) + "\n" + 30 * block)
    else:
        write(tmp_path / name, {name: np.tile(column, 30) for name, column in zip(names, values, strict=True)})
    said, memory, seconds = outcome(tmp_path / name)
    assert said == "120000 rows"
    assert memory < 1024
    assert seconds < 20


def test_long_cells_that_are_almost_numbers_take_no_longer_than_others(tmp_path: Path) -> None:
    cells = ["1" * 900, "(" + "1" * 900, "1." * 450, "+-" * 450, "1 d " * 225, "'" * 900]
    lines = (f"{cells[i % len(cells)]}{i},{i * i % 97},{i % 7}" for i in range(30_000))
    (tmp_path / "cells.csv").write_text("a,b,y\n" + "\n".join(lines))
    said, memory, seconds = outcome(tmp_path / "cells.csv")
    assert said == "30000 rows"
    assert memory < 1024
    assert seconds < 10

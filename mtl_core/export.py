"""A comparison as files: `history.csv`, `metrics.csv` and `record.json`. Others script against names and columns.

CSV is UTF-8 in long format with `\\n` line ends; what is not finite is an empty cell (JSON: null). A name that a
spreadsheet would take for a formula gets an apostrophe in front (`'=A1`), as does one that starts with an apostrophe,
so that `unprotected` gives every name back; record.json has all names as they are. Predicted rates (`positive_rate`,
`zero_rate`) are in the record and in the frames, not in the CSV files.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mtl_core.analysis import selection, verdict
from mtl_core.analysis.frames import HistoryRow, MetricValue, history_rows, metric_rows
from mtl_core.experiment_file import dump_yaml
from mtl_core.links import to_link
from mtl_core.records import NEITHER, Comparison, RunRecord
from mtl_core.specs import digest

FORMULA_STARTS = frozenset("=+-@\t\r\n'＝＋－＠")  # the last four are full-width forms that spreadsheets accept
FILES = ("record.json", "history.csv", "metrics.csv")


def history_csv(comparison: Comparison) -> str:
    """Columns `arm, seed, epoch, split, task, name, value`; values to nine digits, as float32 has no more."""
    rows = (row for row in history_rows(comparison) if row.name not in NEITHER)
    return _csv(HistoryRow._fields, rows, digits=9)


def metrics_csv(comparison: Comparison) -> str:
    """Columns `arm, seed, split, task, metric, value, at`, with the training mean's value as `baseline_<name>`."""
    rows = (row for row in metric_rows(comparison) if row.metric.removeprefix("baseline_") not in NEITHER)
    return _csv(MetricValue._fields, rows, digits=17)


def record_json(comparison: Comparison) -> str:
    """The record as indented JSON."""
    return json.dumps(record(comparison), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def record(comparison: Comparison) -> dict[str, Any]:
    """What was run, on what, with what, and what came of every run, as plain data."""
    verdict_ = verdict(comparison)
    problem = json.loads(comparison.problem.to_json())
    return {
        "experiment_id": comparison.experiment_id,
        "name": comparison.spec.name,
        "created": comparison.created,
        "versions": dict(comparison.versions),
        "spec": comparison.spec.model_dump(mode="json"),
        "link": to_link(comparison.spec),
        "data_fingerprint": fingerprint(comparison),
        "problem": problem,
        "selected_by": selection(comparison).criterion,
        "runs": [_run(run) for run in comparison.runs],
        "verdict": {"warnings": verdict_.warnings, "sentences": verdict_.sentences, "notes": verdict_.notes},
    }


def experiment_yaml(comparison: Comparison, table: str | None = None) -> str:
    """The resolved experiment as `run` takes it. table: name of the file beside it that holds the data, if any.

    The fingerprint stays, so that other bytes under that name are refused and the runs keep their ids.
    """
    value = comparison.spec.model_dump(mode="json")
    if table is not None:
        value["data"]["file"] = table
    return dump_yaml(value)


def file_name(table: str) -> str:
    """The name of an uploaded table without folders, as browsers of any system send it."""
    return re.split(r"[\\/]", table)[-1] or "table"


def fingerprint(comparison: Comparison) -> str:
    """Of a table: its bytes' hash. Of a scenario: the hash of its name and knobs, which decide its data."""
    data = comparison.spec.data
    return data.fingerprint or digest(data.canonical())


def save(comparison: Comparison, folder: Path) -> list[Path]:
    """Write the three files into a folder, made if need be; returns their paths. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = (record_json(comparison), history_csv(comparison), metrics_csv(comparison))
    for name, text in zip(FILES, texts, strict=True):
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return [folder / name for name in FILES]


def protected(text: str) -> str:
    """A text cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in FORMULA_STARTS else text


def unprotected(cell: str) -> str:
    """Inverse of `protected`."""
    return cell.removeprefix("'")


def _run(run: RunRecord) -> dict[str, Any]:
    result = json.loads(run.result.to_json()) if run.result else {}
    return {**result, "arm": run.arm, "seed": run.seed, "run_id": run.run_id, "status": run.status, "epochs": run.epoch}


def _csv(columns: Iterable[str], rows: Iterable[HistoryRow] | Iterable[MetricValue], digits: int) -> str:
    buffer = _Lines()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    writer.writerows(_cells(row, digits) for row in rows)
    return buffer.getvalue()


class _Lines(io.StringIO):
    """Ends lines with a newline alone. (The csv module told to do so leaves a carriage return in a name unquoted.)"""

    def write(self, line: str) -> int:
        return super().write(line.removesuffix("\r\n") + "\n")


def _cells(row: HistoryRow | MetricValue, digits: int) -> Iterator[str | int]:
    for cell in row:
        if isinstance(cell, float):
            yield f"{cell:.{digits}g}" if math.isfinite(cell) else ""
        else:
            yield protected(cell) if isinstance(cell, str) else cell

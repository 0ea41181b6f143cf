"""The arguments of the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from mtl_core import __version__
from mtl_core.errors import UserError


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one sentence, like everything else here."""

    def error(self, message: str) -> NoReturn:
        sentence = re.sub(r"^argument (\S+): ", r"\1: ", message)
        raise UserError(f"{sentence}. See: {self.prog} --help")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for; `command` is the command's name. Raises UserError."""
    parser = _Parser(prog="python -m mtl_core", description="Compare learned and fixed task weights for multi-task training.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    run = _add_run(commands)
    inspect = commands.add_parser(
        "inspect", help="what is understood of a table: features, targets, kinds, associations, warnings"
    )
    inspect.add_argument("file", type=Path, metavar="FILE", help="CSV, TSV or Parquet")
    bench = _add_bench(commands)
    schemes = commands.add_parser("schemes", help="every weighting scheme with its settings, defaults, limits and source")
    schemes.add_argument("name", nargs="?", metavar="NAME", help="one scheme in full")
    schemes.add_argument("--markdown", action="store_true", help="print the document that docs/schemes.md is")
    scenarios = commands.add_parser("scenarios", help="every built-in scenario with its knobs")
    worker = commands.add_parser("worker", help="train what a store has queued, until stopped (the app starts its own)")
    for command in (inspect, bench, schemes, scenarios):
        command.add_argument("--json", action="store_true", help="print JSON and nothing else")
    worker.add_argument("--store", metavar="URL", help="default: MTL_STORE_URL, else a file in the user's data directory")
    worker.add_argument("--id", help=argparse.SUPPRESS)  # the name under which the app has announced it
    worker.add_argument("--experiment", help=argparse.SUPPRESS)  # of a run that it helps
    for command in (run, worker):
        command.add_argument("--threads", metavar="N", help="of each process: a number or auto; default: MTL_THREADS, else 1")
    return parser.parse_args(arguments)


def _add_bench(commands: Any) -> argparse.ArgumentParser:
    bench: argparse.ArgumentParser = commands.add_parser("bench", help="speed of lanes beside other loops, on this machine")
    bench.add_argument("--short", action="store_true", help="a quick form, for continuous checks")
    bench.add_argument(
        "--only", metavar="NAME[,NAME]",
        help="some parts: steps, gramian, profile, evaluation, store, growth, memory, import, mixed, compile",
    )  # fmt: skip
    bench.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train; on cuda steps only")
    bench.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    bench.add_argument(
        "--schemes", nargs="?", const="medium", choices=("small", "default", "medium", "large"), metavar="SIZE",
        help="what a step costs under each scheme, on a small, default, medium or large problem (medium if left out)",
    )  # fmt: skip
    return bench


def _add_run(commands: Any) -> Any:
    run = commands.add_parser("run", help="train a comparison, print it, write record.json, history.csv, metrics.csv")
    run.add_argument("experiment", type=Path, metavar="EXPERIMENT.yaml")
    run.add_argument("--out", type=_folder, metavar="DIR", help="where to write; default: out/NAME-ID")
    run.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="default: the experiment's")
    run.add_argument(
        "--store", metavar="URL", help="where runs are kept; default: MTL_STORE_URL, else a file in the user's data directory"
    )
    run.add_argument("--json", action="store_true", help="print the record as JSON and nothing else")
    return run


def _folder(text: str) -> Path:
    if not text.strip():
        raise UserError("--out is empty. Name a folder, or leave --out away to write into out/NAME-ID.")
    return Path(text)

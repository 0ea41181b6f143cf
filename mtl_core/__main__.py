"""The command line: `python -m mtl_core run | inspect | schemes | scenarios | bench | worker`.

Exit codes: 0; 2 for a person's mistake, with one sentence on stderr; 130 on Ctrl-C, with what was finished saved;
1 if every run of a comparison failed.
With --json, stdout holds one JSON value and nothing else. Progress is drawn on stderr, on a terminal only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mtl_core.arguments import parsed
from mtl_core.cores import ask_threads
from mtl_core.errors import MTLError, UserError, unknown

if TYPE_CHECKING:
    from mtl_core.records import Comparison
    from mtl_core.store import Store

T = TypeVar("T")
FAILED, INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter is no reason to fail
    try:
        options = parsed(arguments)
        if hasattr(options, "threads"):
            ask_threads(options.threads)
        code = COMMANDS[options.command](options)
        sys.stdout.flush()
    except MTLError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


# --- commands --------------------------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    from mtl_core.api import folder_of
    from mtl_core.experiment_file import read_experiment
    from mtl_core.export import record
    from mtl_core.store import open_store

    experiment = read_experiment(options.experiment)
    if options.device is not None:
        experiment = experiment.model_copy(update={"device": options.device})
    if options.out is not None:
        _writable(options.out)
    with closing(open_store(options.store)) as store:
        comparison, interrupted = _train(experiment, store)
    if comparison is None:
        return INTERRUPTED
    folder = options.out or folder_of(comparison, Path("out"))
    _save(comparison, folder)
    as_json = {**record(comparison), "out": str(folder)} if options.json else {}
    _print(as_json, lambda _: _report(comparison, folder), as_json=options.json)
    failed = all(run.status == "failed" for run in comparison.runs)
    return INTERRUPTED if interrupted else FAILED if failed else 0


def _train(experiment: Any, store: Store) -> tuple[Comparison | None, bool]:
    """The comparison as far as it came, and whether Ctrl-C ended it."""
    from mtl_core.runner import run_iter

    experiment_id, interrupted = "", False
    reports: Any = run_iter(experiment, store)
    with _progress_bar() as bar, closing(reports) as steps:
        try:
            for progress in steps:
                experiment_id = progress.experiment_id
                bar.set_description_str(progress.sentence, refresh=False)
                bar.update(progress.fraction - bar.n)
        except KeyboardInterrupt:
            interrupted = True
    return (store.comparison(experiment_id) if experiment_id else None), interrupted


def _progress_bar() -> Any:
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    return tqdm(total=1.0, bar_format=form, file=sys.stderr, disable=not sys.stderr.isatty(), leave=False)


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {folder} cannot be made: {error.strerror}.") from None


def _save(comparison: Comparison, folder: Path) -> None:
    from mtl_core.export import save

    try:
        save(comparison, folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}. The runs are kept in the store.") from None


def _report(comparison: Comparison, folder: Path) -> str:
    from mtl_core.analysis import report

    return f"{report(comparison)}\n\nWritten to {folder}: record.json, history.csv, metrics.csv."


def _inspect(options: argparse.Namespace) -> int:
    from mtl_core.data import read_file
    from mtl_core.data.cmapss import with_siblings
    from mtl_core.data.profile import examine
    from mtl_core.listing import understood_text

    name, content = read_file(str(options.file))
    name, content = with_siblings(str(options.file), content) or (name, content)
    found = examine(content, name)
    facts = found.understanding.to_dict()
    if found.refusal and facts["targets"]:
        facts["warnings"].append(found.refusal)
    facts |= found.profile.to_dict() if found.profile else {}
    return _print(facts, understood_text, as_json=options.json)


def _schemes(options: argparse.Namespace) -> int:
    from mtl_core.listing import schemes_text
    from mtl_core.schemes import describe
    from mtl_core.schemes.markdown import document

    entries = describe()
    if options.name is not None:
        entries = [one for one in entries if one["name"] == options.name]
        if not entries:
            raise UserError(unknown("scheme", options.name, [one["name"] for one in describe()]))
    if options.markdown:
        print(document(entries), end="")
        return 0
    return _print(entries, schemes_text, as_json=options.json)


def _scenarios(options: argparse.Namespace) -> int:
    from mtl_core.data.scenarios import describe
    from mtl_core.listing import scenarios_text

    return _print(describe(), scenarios_text, as_json=options.json)


def _bench(options: argparse.Namespace) -> int:
    from mtl_core import bench
    from mtl_core.listing import figures_text

    if options.schemes:
        return _print(bench.schemes(options.schemes, short=options.short), figures_text, as_json=options.json)
    only = [] if options.only is None else [name.strip() for name in options.only.split(",")]
    form = bench.Form.of(short=options.short, device=options.device)
    figures = bench.main(form, only, lambda words: print(words, file=sys.stderr, flush=True))
    return _print(figures, bench.markdown if options.markdown else bench.text, as_json=options.json)


def _worker(options: argparse.Namespace) -> int:
    from mtl_core import jobs

    jobs.worker_main(options.store, options.id, experiment=options.experiment)
    return 0


def _print(value: T, as_text: Callable[[T], str], *, as_json: bool) -> int:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=list) if as_json else as_text(value))
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "inspect": _inspect,
    "bench": _bench,
    "schemes": _schemes,
    "scenarios": _scenarios,
    "worker": _worker,
}

if __name__ == "__main__":
    sys.exit(main())

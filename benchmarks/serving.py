"""What the app's processes cost a person who waits: importing, getting ready, drawing, watching, growing.

    python -m benchmarks.serving [imports ready drawing polling growth] [--short] [--json]

imports   seconds of a Python process that imports the package or runs a command that trains nothing; least of several
ready     seconds from a process's start until it answers, has drawn its first page, has an idle worker
drawing   milliseconds of a comparison of 10 arms x 10 seeds x 200 epochs x 6 tasks, from the store's rows to figures and tables
          as Compare and Runs draw them, every part of them; nothing of the experiment was read before, all is imported
polling   milliseconds of one look at such a comparison while it trains, by what the look finds
growth    milliseconds of reading, drawing and looking again, by runs and epochs

Milliseconds are of CPU time in this process, medians over experiments that are stored anew each time (`benchmarks/stored.py`:
random and plausible, nothing is trained). Imports and readiness are wall time: read them where nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from benchmarks import starting, stored

T = TypeVar("T")
Figures = dict[str, float]
GROWTH = ((1, 10, 200), (5, 10, 200), (10, 10, 200), (10, 20, 200), (10, 40, 200), (10, 10, 50), (10, 10, 500), (10, 10, 1000))
SHORT_GROWTH = ((1, 10, 200), (10, 10, 50), (10, 10, 200))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--short", action="store_true", help="fewer repetitions, smaller experiments")
    parser.add_argument("--json", action="store_true", help="one JSON value on stdout and nothing else")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)  # Streamlit's, about there being no server
    found = {part: PARTS[part](short=chosen.short) for part in PARTS if part in chosen.parts}
    print(json.dumps(found, indent=1) if chosen.json else "\n\n".join(_table(part, of) for part, of in found.items()))


def _table(part: str, found: Mapping[str, Any]) -> str:
    if all(isinstance(value, Mapping) for value in found.values()):
        return "\n".join([part, *(f"  {name:24} {_line(of)}" for name, of in found.items())])
    return "\n".join([part, *(f"  {name:24} {value:10.3f}" for name, value in found.items())])


def _line(found: Figures) -> str:
    return "   ".join(f"{name} {value:.1f}" for name, value in found.items())


# --- drawing ---------------------------------------------------------------------------------------------------------


def drawing(*, short: bool) -> Figures:
    """Milliseconds by part, of the page as it opens (`opened`) and of everything it can show (`every part`)."""
    with _store() as store:
        return _medians(
            lambda n: _drawn(store, stored.keep(store, epochs=40 if short else 200, first_seed=20 * n)), 3 if short else 9
        )


def _drawn(store: Any, experiment_id: str) -> Figures:
    from mtl_core.analysis import loss_shares, metric_table, score, selection, verdict
    from pages.ui import panels, strip, tables
    from pages.ui.forest import forest
    from pages.ui.palette import looks

    with _opened_anew(store.url) as fresh, _clock() as (figures, timed):
        comparison = timed("reading", lambda: fresh.comparison(experiment_id))
        timed("progress", lambda: fresh.progress(experiment_id))
        main = timed("main figure", lambda: panels.main_figure(comparison, "light"))
        timed("its JSON", lambda: json.dumps(main.option))
        timed("legend", lambda: strip.legend(comparison))
        timed("verdict", lambda: verdict(comparison))
        table = timed("metric table", lambda: metric_table(comparison))
        timed("its rows", lambda: tables.metrics(table, headlines_only=False))
        opened = sum(figures.values())
        plotly = timed("differences", lambda: forest(table, looks(comparison.spec, "light"), "light"))
        timed("their JSON", plotly.to_json)
        inner = timed("sigma and shares", lambda: (loss_shares(comparison), panels.inner_figure(comparison, "light"))[1])
        timed("JSON of these", lambda: json.dumps(inner.option))
        timed("selection", lambda: [write(selection(comparison)) for write in (tables.selections, tables.task_regrets)])
        timed("score", lambda: tables.score_parts(score(comparison), comparison.spec.score or {}))
        return {**figures, "opened": opened, "every part": sum(figures.values())}


# --- polling ---------------------------------------------------------------------------------------------------------


def polling(*, short: bool) -> dict[str, Figures]:
    """Milliseconds of a look that finds a new epoch, and of one that finds none, half way through training."""
    from mtl_core import jobs

    epochs = 40 if short else 200
    with _store() as store:
        experiment_id, problem = stored.submit(store, 10, 10, epochs)
        drawn = [(claim, list(stored.history(claim.runs, problem.tasks, epochs))) for claim in stored.claims(store)]
        for claim, of_batch in drawn:
            stored.begin(store, claim, problem)
            store.queue.append(claim, of_batch[: epochs // 2])
        with closing(_reader(store.url)) as reader:
            jobs.ensure_workers(reader, 0)
            _look(reader, experiment_id)
            found: dict[str, list[Figures]] = {"a new epoch": [], "nothing new": []}
            for epoch in range(epochs // 2, epochs // 2 + 9):
                for claim, of_batch in drawn:
                    store.queue.append(claim, [of_batch[epoch]])
                for seen in found.values():
                    seen.append(_look(reader, experiment_id))
        return {name: {key: median(one[key] for one in seen) for key in seen[0]} for name, seen in found.items()}


def _look(store: Any, experiment_id: str) -> Figures:
    """What `pages/ui/live.py` does at each look."""
    from mtl_core import jobs
    from pages.ui import live

    with _clock() as (figures, timed):
        timed("workers", lambda: jobs.ensure_workers(store, 0))
        progress = timed("progress", lambda: store.progress(experiment_id))
        figure = timed("figure", lambda: live.as_far_as(store, (store.url, experiment_id), progress, "light", None))
        timed("JSON", lambda: json.dumps(figure.option))
        return {**figures, "whole": sum(figures.values())}


# --- growth ----------------------------------------------------------------------------------------------------------


def growth(*, short: bool) -> dict[str, Figures]:
    """Milliseconds by size: reading the first time, reading again, drawing what Compare opens with, and megabytes held."""
    return {f"{a * s} runs x {e} epochs": _grown(a, s, e, 3 if short else 5) for a, s, e in (SHORT_GROWTH if short else GROWTH)}


def _grown(arms: int, seeds: int, epochs: int, times: int) -> Figures:
    with _store() as store:
        experiment_id = stored.keep(store, arms, seeds, epochs)
        return _medians(lambda _: _read_and_drawn(store.url, experiment_id), times)


def _read_and_drawn(url: str, experiment_id: str) -> Figures:
    from mtl_core.analysis import metric_table, verdict
    from pages.ui import panels, strip

    with _opened_anew(url) as fresh, _clock() as (figures, timed):
        comparison = timed("reading", lambda: fresh.comparison(experiment_id))
        timed("again", lambda: fresh.comparison(experiment_id))
        figure = timed("main figure", lambda: panels.main_figure(comparison, "light"))
        timed("JSON", lambda: json.dumps(figure.option))
        timed("words and tables", lambda: (strip.legend(comparison), verdict(comparison), metric_table(comparison)))
        return {**figures, "MB": comparison.history.nbytes / 1e6}


# --- measuring -------------------------------------------------------------------------------------------------------


@contextmanager
def _clock() -> Iterator[tuple[Figures, Callable[[str, Callable[[], Any]], Any]]]:
    """Milliseconds of CPU time by name, and what runs something under a name."""
    figures: Figures = {}

    def timed(name: str, act: Callable[[], T]) -> T:
        started = time.process_time()
        result = act()
        figures[name] = 1e3 * (time.process_time() - started)
        return result

    yield figures, timed


def _medians(once: Callable[[int], Figures], times: int) -> Figures:
    """The first time pays for imports and does not count."""
    once(0)
    seen = [once(n) for n in range(1, times + 1)]
    return {name: median(one[name] for one in seen) for name in seen[0]}


@contextmanager
def _store() -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as folder, closing(_reader(f"sqlite:///{Path(folder) / 'store.sqlite'}")) as store:
        yield store


def _reader(url: str) -> Any:
    from mtl_core.store import open_store

    return open_store(url)


@contextmanager
def _opened_anew(url: str) -> Iterator[Any]:
    """A store of which this process has read nothing: neither histories nor results."""
    from mtl_core.store import comparing

    comparing.result_of.cache_clear()
    with closing(_reader(url)) as store:
        store.experiments()  # connects, and has the statements compiled
        yield store


PARTS: dict[str, Callable[..., Mapping[str, Any]]] = {
    "imports": starting.imports,
    "ready": starting.ready,
    "drawing": drawing,
    "polling": polling,
    "growth": growth,
}

if __name__ == "__main__":
    main()

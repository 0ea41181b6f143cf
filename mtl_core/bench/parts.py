"""The parts of the benchmark, by name, and all of them one after another.

A part's module is imported when it is measured, so that steps on a GPU need neither the store's packages nor those of tables.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from mtl_core.bench.machine import machine
from mtl_core.bench.problems import known
from mtl_core.bench.targets import targets
from mtl_core.bench.timing import Form, Row, one_thread
from mtl_core.devices import choose_device
from mtl_core.errors import UserError, unknown


class Part(NamedTuple):
    """A table of the benchmark."""

    title: str
    source: str  # module here, and the function in it that yields the rows
    always: bool = True  # in the short form, too, where nothing is named

    def rows(self, form: Form) -> Iterator[Row]:
        """Measure."""
        module, _, name = self.source.partition(".")
        rows: Iterator[Row] = getattr(importlib.import_module(f"mtl_core.bench.{module}"), name)(form)
        return rows


PARTS = {
    "steps": Part("Training steps: plain loop, lanes, bare products", "steps.steps"),
    "gramian": Part("Training steps under schemes on gradients, beside torchjd's loop", "steps.gramian"),
    "profile": Part("Where a training step of 64 lanes spends its time", "profile.profiled"),
    "evaluation": Part("Whole trainings: evaluation, recording, store", "whole.evaluation"),
    "store": Part("Runner and store without training", "storing.storing"),
    "growth": Part("How cost grows", "growth.growth"),
    "memory": Part("Memory of the default problem", "process.memory"),
    "import": Part("Seconds of an import, and of a worker's start", "process.imports"),
    "mixed": Part("A mixed comparison", "mixed.mixed", always=False),
    "compile": Part("torch.compile", "compiled.compiled", always=False),
}
NAMES = tuple(PARTS)
ON_GPU = ("steps",)


def main(form: Form, only: Sequence[str] = (), tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure and return plain data; `tell` hears of every row. Raises UserError for a part or a device that there is not."""
    names = chosen(form, only)
    choose_device(form.device)
    began, cpu = time.perf_counter(), time.process_time()
    sections: dict[str, dict[str, Any]] = {}
    with one_thread(), known():
        on = machine(form.device)
        for name in names:
            rows = []
            for row in PARTS[name].rows(form):
                rows.append(row)
                tell(f"{time.perf_counter() - began:5.0f} s  {name}: {' '.join(_told(row))}")
            sections[name] = {"title": PARTS[name].title, "rows": rows}
    found = targets({name: section["rows"] for name, section in sections.items()})
    return {
        "short": form.short,
        "device": form.device,
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "machine": on,
        "sections": sections,
        "targets": {"title": "Targets", "rows": found},
    }


def chosen(form: Form, only: Sequence[str]) -> list[str]:
    """Which parts to measure, in their order. Raises UserError."""
    for name in only:
        if name not in PARTS:
            raise UserError(unknown("part of the benchmark", name, PARTS))
    if form.device != "cpu" and set(only) - set(ON_GPU):
        raise UserError(f"On {form.device} only {', '.join(ON_GPU)} can be measured: leave --only or --device out.")
    if only:
        return [name for name in PARTS if name in only]
    if form.device != "cpu":
        return list(ON_GPU)
    return [name for name, part in PARTS.items() if part.always or not form.short]


def _told(row: Row) -> list[str]:
    """What a row is about: its words and whole numbers."""
    return [str(value) for value in row.values() if isinstance(value, str | int) and not isinstance(value, bool)][:4]

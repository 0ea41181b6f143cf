"""From an experiment to records in the store: submit it, train it here, or work for everybody.

    submit(store, experiment)        keep it and queue what is missing; no torch
    run(experiment, store)           the same, trained in this process: for scripts and the command line
    work(store, worker)              the loop of a worker process

An exception while a batch trains becomes a sentence on its runs and a traceback in the log; the worker goes on.
"""

from mtl_core.runner.here import run, run_iter
from mtl_core.runner.loop import work
from mtl_core.runner.submitting import prepare, submit
from mtl_core.runner.trainer import Trainer

__all__ = ["Trainer", "prepare", "run", "run_iter", "submit", "work"]

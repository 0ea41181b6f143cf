"""A worker process whose training costs nothing: `fake_worker.py [--pace] --id NAME [--experiment ID]`.

The store is MTL_STORE_URL. With --pace an epoch takes about a hundredth of a second.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from store_fakes import FakeTraining, trainer

from mtl_core.jobs import worker_main


class Paced(FakeTraining):
    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            time.sleep(0.005)
            yield item


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pace", action="store_true")
    parser.add_argument("--id")
    parser.add_argument("--experiment")
    options = parser.parse_args()
    worker_main(None, options.id, trainer(Paced if options.pace else FakeTraining), options.experiment)

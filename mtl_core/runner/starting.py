"""Start a worker process of this package beside the calling one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from mtl_core.cores import QUIET
from mtl_core.store import Store

LOGS_KEPT = 20
ONE_THREAD = {**QUIET, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # until a setting says more


def start_worker(store: Store, name: str, command: Sequence[str] | None = None, *more: str) -> subprocess.Popen[bytes]:
    """The store's address goes by the environment, where a password in it is not seen by others."""
    root = str(Path(__file__).parent.parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, **ONE_THREAD, "MTL_STORE_URL": store.url, "PYTHONPATH": path}
    words = [*(command or (sys.executable, "-m", "mtl_core", "worker")), "--id", name, *more]
    with log_of(store, name).open("ab") as log:
        return subprocess.Popen(  # noqa: S603  (our own command)
            words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def log_of(store: Store, name: str) -> Path:
    """Where a worker writes; old logs are thrown away."""
    folder = store.file.parent / "logs" if store.file else Path(platformdirs.user_log_dir("mtl-lanes"))
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("worker-*.log"), key=lambda path: path.stat().st_mtime)[:-LOGS_KEPT]:
        old.unlink(missing_ok=True)
    return folder / f"worker-{name}.log"

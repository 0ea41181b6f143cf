"""The app as a process with a store of its own, for browser tests and screenshots."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class App:
    """A running server."""

    url: str
    log: Path
    store_url: str
    ready: float  # seconds from start until it answered

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def served(folder: Path) -> Iterator[App]:
    """Start the app on a free port, wait until it answers, and end it by its handle, workers included."""
    port, log = _free_port(), folder / "server.log"
    store_url = f"sqlite:///{folder / 'store.sqlite'}"
    environment = {**os.environ, "MTL_STORE_URL": store_url, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    options = ["--server.port", str(port), "--server.headless", "true", "--server.fileWatcherType", "none"]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", *options]
    started = time.monotonic()
    with log.open("wb") as sink:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sink, stderr=subprocess.STDOUT)
    try:
        _answers(server, f"http://127.0.0.1:{port}/_stcore/health")
        yield App(f"http://127.0.0.1:{port}", log, store_url, time.monotonic() - started)
    finally:
        server.terminate()
        server.wait(timeout=20)
        _dismiss(store_url)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(server: subprocess.Popen[bytes], address: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert server.poll() is None, "the server ended by itself"
        try:
            urllib.request.urlopen(address, timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(address)


def _dismiss(store_url: str) -> None:
    from mtl_core import jobs
    from mtl_core.store import open_store

    store = open_store(store_url)
    jobs.dismiss_workers(store)
    store.close()

"""How long processes take to start: the package, its commands, the app, a worker. Wall time; read it where nothing else runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGE = "import mtl_core"
COMMANDS: dict[str, Sequence[str]] = {
    "bare Python": ("-c", "pass"),
    PACKAGE: ("-c", PACKAGE),
    "mtl_core --help": ("-m", "mtl_core", "--help"),
    "mtl_core schemes": ("-m", "mtl_core", "schemes"),
    "mtl_core scenarios": ("-m", "mtl_core", "scenarios"),
}
PATIENCE = 120.0  # seconds


def imports(*, short: bool) -> dict[str, float]:
    """Seconds of a process by what it does; `without Python` is the import less the bare interpreter."""
    found = {name: min(_seconds(words) for _ in range(3 if short else 10)) for name, words in COMMANDS.items()}
    seen = subprocess.run(
        [sys.executable, "-c", f"import sys; {PACKAGE}; print('torch' in sys.modules)"], cwd=ROOT, capture_output=True, check=True
    )
    assert seen.stdout.strip() == b"False", "importing the package brings torch"
    return {**found, "without Python": found[PACKAGE] - found["bare Python"]}


def _seconds(words: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def ready(*, short: bool) -> dict[str, float]:
    """Seconds from the app's start to its first answer; of its first page and of the next ones; and of a worker to be idle."""
    with tempfile.TemporaryDirectory() as folder:
        alone = _worker_alone(f"sqlite:///{Path(folder) / 'alone.sqlite'}")
        found = _app(f"sqlite:///{Path(folder) / 'store.sqlite'}", 2 if short else 5)
    return {**found, "worker alone idle": alone}


def _app(url: str, times: int) -> dict[str, float]:
    from mtl_core import jobs
    from mtl_core.store import open_store

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    open_store(url).close()  # migrated before: only the first start of all has to do that
    options = ["--server.port", str(port), "--server.headless", "true", "--server.fileWatcherType", "none"]
    started = time.monotonic()
    with _process(["-m", "streamlit", "run", "app.py", *options], url):
        _until(lambda: _answers(f"http://127.0.0.1:{port}/_stcore/health"))
        answered = time.monotonic()
        _page(port)
        drawn = time.monotonic()
        with closing(open_store(url)) as store:
            _until(
                lambda: [one.state for one in store.workers.live() if one.kind == "process"] == ["idle"] * jobs.wanted_workers()
            )
            idle = time.monotonic()
            again = min(_page(port) for _ in range(times))
            jobs.dismiss_workers(store)
    return {
        "app answers": answered - started,
        "first page": drawn - answered,
        "next page": again,
        "app's workers idle": idle - answered,
    }


def _worker_alone(url: str) -> float:
    from mtl_core.store import open_store

    with closing(open_store(url)) as store:
        started = time.monotonic()
        with _process(["-m", "mtl_core", "worker"], url):
            _until(lambda: any(one.state == "idle" for one in store.workers.live()))
            return time.monotonic() - started


def _page(port: int) -> float:
    """Seconds of a new session's first script, as a browser asks for it."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    started = time.monotonic()
    with connect(f"ws://127.0.0.1:{port}/_stcore/stream", subprotocols=[Subprotocol("streamlit")], max_size=None) as server:
        ask: Any = BackMsg()
        ask.rerun_script.query_string = ""
        server.send(ask.SerializeToString())
        while True:
            message = server.recv(timeout=PATIENCE)
            assert isinstance(message, bytes), "the server speaks protocol buffers"
            told: Any = ForwardMsg.FromString(message)
            if told.WhichOneof("type") == "script_finished":
                return time.monotonic() - started


@contextmanager
def _process(words: Sequence[str], url: str) -> Iterator[None]:
    environment = {**os.environ, "MTL_STORE_URL": url}
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment, **quiet)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def _answers(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(address, timeout=1):
        return True
    return False


def _until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < end, "it has not started"
        time.sleep(0.02)

"""How many processes and threads train: what the environment asks for, and what this machine has. No torch.

MTL_WORKERS   processes that train: by default one per core, up to four; 0: none besides whoever asks
MTL_THREADS   threads of each of them: 1 by default; a number; or auto, which tries more where cores are left over
"""

from __future__ import annotations

import os

from mtl_core.errors import SpecError

MOST = 64
WORKERS = 4  # by default; each takes some 260 MiB and three seconds of a core to be warm
QUIET = {"OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait sleep: spinning ones take the core from whoever they wait for


def cores() -> int:
    """Those this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def wanted_workers() -> int:
    """`MTL_WORKERS`, else one per core up to four. Raises SpecError."""
    text = os.environ.get("MTL_WORKERS", "").strip()
    if not text:
        return min(WORKERS, cores())
    if not text.isdecimal() or int(text) > MOST:
        raise SpecError(f"MTL_WORKERS is a number from 0 to {MOST}, not {text!r}.")
    return int(text)


def wanted_threads() -> int | None:
    """`MTL_THREADS`, else 1; None for auto. Raises SpecError."""
    text = os.environ.get("MTL_THREADS", "").strip()
    if text == "auto":
        return None
    if text and not (text.isdecimal() and 1 <= int(text) <= MOST):
        raise SpecError(f"MTL_THREADS (--threads) is auto or a number from 1 to {MOST}, not {text!r}.")
    return int(text or 1)


def ask_threads(asked: str | None) -> None:
    """Ask for threads, if not None, in this process and those it starts, before torch is loaded. Raises SpecError."""
    if asked is not None:
        os.environ["MTL_THREADS"] = asked
    wanted_threads()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)

"""Whether a process on this machine still lives, safe against pids that are used again.

A process is named by (host, pid, birth). The host is one boot of one machine and one pid namespace; the birth is the
time the kernel noted when the process started. Where either cannot be read, nothing is known, and leases decide.
"""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from pathlib import Path
from typing import NamedTuple


class Identity(NamedTuple):
    """Names one process; an empty birth means that this system does not tell."""

    host: str
    pid: int
    birth: str


def me() -> Identity:
    """The calling process."""
    return Identity(_host(), os.getpid(), birth(os.getpid()) or "")


def alive(host: str, pid: int, born: str) -> bool | None:
    """Whether the process lives; None when that cannot be known from here."""
    if host != _host() or not born:
        return None
    return birth(pid) == born


def birth(pid: int) -> str | None:
    """When the process was started, as the system tells it; None when there is no such process, or it is a zombie."""
    if Path("/proc/self/stat").exists():
        return _birth_from_proc(pid)
    return _birth_from_ps(pid) if os.name == "posix" else None


def _birth_from_proc(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]  # state and starttime: proc(5), fields 3 and 22


def _birth_from_ps(pid: int) -> str | None:
    command = ["ps", "-o", "lstart=,stat=", "-p", str(pid)]
    told = subprocess.run(  # noqa: S603  (no part of it comes from outside)
        command, capture_output=True, text=True, check=False
    ).stdout.split()
    return None if not told or told[-1].startswith("Z") else " ".join(told[:-1])


@functools.cache
def _host() -> str:
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(str(Path(path).readlink()) if path.endswith("pid") else Path(path).read_text(encoding="ascii").strip())
        except OSError:
            parts.append("")
    return "/".join(parts)[:200]

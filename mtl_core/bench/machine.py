"""What figures were measured on, as far as the system tells."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

CPU_INFO, CACHES = Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu/cpu0/cache")


def machine(device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, caches, versions, threads and load now."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "caches": _caches(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "blas": _blas(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        **({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}),
    }


def _processor() -> str:
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _caches() -> str:
    """`L1 32K data, L1 32K instruction, L2 1024K unified, ...` of the first core."""
    found = []
    for cache in sorted(CACHES.glob("index*")):
        level, size, kind = (_line(cache / name) for name in ("level", "size", "type"))
        if level and size:
            found.append(f"L{level} {size} {kind.lower()}".strip())
    return ", ".join(found)


def _line(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _blas() -> str:
    """The library of the matrix products, and the instructions that torch uses."""
    built = torch.__config__.show()
    name = built.partition("BLAS_INFO=")[2].partition(",")[0]
    return f"{name or 'unknown'}, {torch.backends.cpu.get_cpu_capability()}"

"""`python -m mtl_core.recorded`: train the recorded comparison again and replace the package data with it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mtl_core import recorded, runner
from mtl_core.store import open_store


def main() -> None:
    """Train in a store of its own, so that nothing is reused, and write the file."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'recorded.sqlite'}")
        comparison = runner.run(recorded.experiment(), store)
        store.close()
    data = comparison.to_bytes()
    recorded.FILE.write_bytes(data)
    print(f"{recorded.FILE}: {len(comparison.runs)} runs, {len(comparison.history)} epochs, {len(data):,} bytes")  # noqa: T201


if __name__ == "__main__":
    main()

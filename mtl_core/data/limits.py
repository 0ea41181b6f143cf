"""What a table may be: every limit in one place, checked before the work that it bounds."""

from __future__ import annotations

MAX_BYTES = 100 * 2**20
MAX_ROWS = 1_000_000
MAX_COLUMNS = 2_000
MAX_CELLS = 20_000_000  # rows x columns of the file, and of the encoded features
MAX_CELL = 1_000  # letters of a cell that are looked at
MAX_UNPACKED = 256 * 2**20  # bytes of a Parquet file's columns once decompressed, as its footer says
MIN_ROWS = 20  # below that a validation or a test split would hold three rows
MIN_LABELS = 10
MAX_CLASSES = 100
FEW_LEVELS = 30  # one-hot columns a categorical feature may take in any table; the rest is merged
MAX_LEVELS = 256  # the same where rows x columns leave room
MAX_NAME = 120  # letters of a column's name
MAX_MAGNITUDE = 1e30  # beyond it float32 and squares lose their meaning
MAX_EXACT = 2**53  # whole numbers beyond it lose digits in a float64
MAX_COUNT = 1e6  # labels above it are not counts that an exp() should be asked for
MAX_PROPOSED = 8  # targets proposed without being asked


def describe() -> str:
    """The limits as one sentence, to be shown beside an uploader."""
    return (
        f"CSV, TSV or Parquet; at most {MAX_BYTES // 2**20} MB, {MAX_ROWS:,} rows, {MAX_COLUMNS:,} columns and "
        f"{MAX_CELLS // 10**6} million cells; at least {MIN_ROWS} rows, one feature and one target; "
        f"at most {MAX_CLASSES} classes a target."
    )

"""Histories as chunks: one blob of float32 for all lanes and channels of an epoch, with a checksum.

NaN is a value of the blob, so it stays NaN (as a number in a column SQLite would turn it into NULL).
"""

from __future__ import annotations

import json
import logging
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32
from sqlalchemy import Connection, delete, insert, select

from mtl_core.records import Channel
from mtl_core.store.base import Epoch
from mtl_core.store.schema import Record, chunks

logger = logging.getLogger(__name__)
CACHE_BYTES = 128 * 2**20


def write(connection: Connection, batch: int, epochs: Sequence[Epoch]) -> None:
    """Store epochs of a batch in place of what is there of them."""
    numbers = [one.epoch for one in epochs]
    connection.execute(delete(chunks).where(chunks.c.batch == batch, chunks.c.epoch.in_(numbers)))
    blobs = [_pack(one.values) for one in epochs]
    rows = [{"batch": batch, "epoch": n, "crc": zlib.crc32(blob), "data": blob} for n, blob in zip(numbers, blobs, strict=True)]
    connection.execute(insert(chunks), rows)


def _pack(values: Float[np.ndarray, "lanes channels"]) -> bytes:
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        return values.astype("<f4").tobytes()


def _unpack(row: Record, lanes: int, width: int) -> Float32[np.ndarray, "lanes channels"]:
    """A damaged chunk is a gap in the curves, not the end of the page."""
    if zlib.crc32(row.data) != row.crc or len(row.data) != 4 * lanes * width:
        logger.error("The chunk of batch %s, epoch %s is damaged and is left out.", row.batch, row.epoch)
        return np.full((lanes, width), np.nan, dtype=np.float32)
    return np.frombuffer(row.data, dtype="<f4").reshape(lanes, width)


def columns(stored: str, wanted: Sequence[Channel]) -> list[int]:
    """Where each wanted channel stands among the stored ones (JSON); -1 where it was not recorded."""
    places = {Channel(*channel): place for place, channel in enumerate(json.loads(stored))}
    return [places.get(channel, -1) for channel in wanted]


class Known(NamedTuple):
    """What was read of a batch, with room for epochs to come: whoever holds the first ones is not disturbed by more."""

    epochs: int
    room: Float32[np.ndarray, "room lanes channels"]


class Histories:
    """Reads histories of batches, and only what was added since this process read them last.

    A stored epoch never changes its content (an epoch trained again gives the same), so what was read stays valid.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Known] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, connection: Connection, batch: int, lanes: int, width: int) -> Float32[np.ndarray, "epochs lanes channels"]:
        """The batch's history so far; cannot be written to."""
        with self._lock:
            known = self._kept.pop(batch, Known(0, np.empty((0, lanes, width), dtype=np.float32)))
            query = select(chunks).where(chunks.c.batch == batch, chunks.c.epoch > known.epochs).order_by(chunks.c.epoch)
            if rows := connection.execute(query).all():
                known = _with_room(known, rows[-1].epoch)
                for row in rows:
                    known.room[row.epoch - 1] = _unpack(row, lanes, width)
            self._kept[batch] = known
            self._forget_the_oldest()
        history = known.room[: known.epochs]
        history.flags.writeable = False
        return history

    def _forget_the_oldest(self) -> None:
        while len(self._kept) > 1 and sum(one.room.nbytes for one in self._kept.values()) > CACHE_BYTES:
            self._kept.popitem(last=False)


def _with_room(known: Known, epochs: int) -> Known:
    """Room for so many epochs: exactly that at first, then for half as many more, so that few polls copy what is there."""
    if epochs <= len(known.room):
        return known._replace(epochs=epochs)
    length = max(epochs, 3 * known.epochs // 2)
    room = np.full((length, *known.room.shape[1:]), np.nan, dtype=np.float32)
    room[: known.epochs] = known.room[: known.epochs]
    return Known(epochs, room)


def place(
    history: Float32[np.ndarray, "epochs runs channels"],
    batch: Float32[np.ndarray, "epochs lanes channels"],
    runs: Sequence[int],
    lanes: Sequence[int],
    channels: Sequence[int],
) -> None:
    """Write the lanes of a batch into the runs of a comparison, channel by channel; -1: not recorded, left as it is."""
    part = batch[: len(history)]
    if list(channels) == list(range(batch.shape[2])):
        history[: len(part), runs] = part[:, lanes]
        return
    for channel, column in enumerate(channels):
        if column >= 0:
            history[: len(part), runs, channel] = part[:, lanes, column]

"""How often the store hears of a batch."""

from __future__ import annotations

from typing import Any

import pytest
from store_fakes import Clock, epoch

from mtl_core.runner import journal
from mtl_core.runner.journal import Journal


class Heard:
    """A queue and a training that only count."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.commits, self.kept, self.asked = clock, [], [], 0
        self.stop, self.cost = False, 0.0

    def append(self, claim: Any, epochs: Any, checkpoint: bytes | None = None) -> None:
        self.commits.append([one.epoch for one in epochs])
        self.kept.append(checkpoint)

    def heartbeat(self, claim: Any) -> bool:
        self.asked += 1
        return self.stop

    def checkpoint(self) -> bytes:
        self.clock.now += self.cost
        return b"state"


@pytest.fixture
def heard() -> Heard:
    return Heard(Clock())


@pytest.fixture
def written(heard: Heard) -> Journal:
    return Journal(heard, None, heard, heard.clock)  # type: ignore[arg-type]


def test_the_first_epoch_is_stored_at_once(heard: Heard, written: Journal) -> None:
    written.note(epoch(1, 2))
    assert heard.commits == [[1]]


def test_fast_epochs_share_a_commit(heard: Heard, written: Journal) -> None:
    for number in range(1, 8):
        written.note(epoch(number, 2))
        heard.clock.now += journal.COMMIT_SECONDS / 2.9
    assert heard.commits == [[1], [2, 3, 4], [5, 6, 7]]
    written.note(epoch(8, 2))
    written.close(unfinished=False)
    assert heard.commits[-1] == [8]


def test_a_breath_brings_what_waits(heard: Heard, written: Journal) -> None:
    written.note(epoch(1, 2))
    written.note(epoch(2, 2))
    heard.clock.now += journal.COMMIT_SECONDS
    written.note(None)
    assert heard.commits == [[1], [2]]


def test_checkpoints_come_every_two_seconds_with_their_epoch(heard: Heard, written: Journal) -> None:
    for number in range(1, 12):
        written.note(epoch(number, 2))
        heard.clock.now += 0.5
    assert [number for number, state in enumerate(heard.kept, 1) if state] == [5, 9]


def test_costly_checkpoints_are_kept_less_often(heard: Heard, written: Journal) -> None:
    heard.cost = 1.0
    for number in range(1, 40):
        written.note(epoch(number, 2))
        heard.clock.now += 0.5
    assert sum(state is not None for state in heard.kept) == 1


def test_a_stop_is_seen_within_a_fifth_of_a_second(heard: Heard, written: Journal) -> None:
    assert written.note(None) is False
    heard.stop = True
    assert written.note(None) is False
    heard.clock.now += 0.25
    assert written.note(None) is True
    assert heard.asked == 2


def test_a_batch_that_ends_before_its_end_says_where_to_go_on(heard: Heard, written: Journal) -> None:
    written.note(epoch(1, 2))
    written.close(unfinished=True)
    assert heard.kept == [None, b"state"]


def test_a_batch_that_ends_before_its_first_epoch_leaves_nothing(heard: Heard, written: Journal) -> None:
    written.note(None)
    written.close(unfinished=True)
    assert heard.commits == []

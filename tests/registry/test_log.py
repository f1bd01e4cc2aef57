"""The change log: one revision for each change, whole batches, epochs, compaction."""

from __future__ import annotations

import pytest

from gate.filings import Change, Status
from gate.registry import log
from gate.registry.commands import CancelSubject, ChangeService
from gate.registry.errors import RegistryError
from gate.registry.registry import LOCAL, Registry
from tests.registry.conftest import Clock
from tests.registry.filings import changes, do, file_another, file_first


def fill(registry: Registry) -> None:
    """Five changes in three batches: 1, 2, and 3 to 5."""
    file_first(registry, "a.cn")
    file_another(registry, "b.cn")
    do(registry, ChangeService(domain="a.cn", domains=("c.cn",)))
    do(registry, CancelSubject(licence="鲁ICP备09090609号"))


def read(registry: Registry, since: int, limit: int = 100) -> list[Change]:
    with registry.database.read() as connection:
        return log.read_after(connection, since, limit=limit)


def test_every_change_has_its_own_revision_and_batches_join(registry: Registry) -> None:
    fill(registry)
    every = changes(registry)
    assert len(every) == registry.head().revision == 6
    for since in range(7):
        assert read(registry, since) == every[since:]


def test_a_limit_never_cuts_a_batch(registry: Registry) -> None:
    fill(registry)
    assert [len(read(registry, 0, limit)) for limit in range(1, 8)] == [1, 2, 4, 4, 6, 6, 6]


def test_a_follower_ahead_of_the_registry_is_told(registry: Registry) -> None:
    fill(registry)
    with pytest.raises(RegistryError) as caught:
        read(registry, 7)
    assert (caught.value.code, caught.value.status) == ("ahead", 410)


@pytest.mark.parametrize(
    ("keep", "oldest"), [(0, 6), (1, 4), (2, 4), (3, 2), (4, 2), (5, 1), (6, 0), (99, 0)]
)
def test_compaction_keeps_whole_batches_and_at_least_the_window(
    registry: Registry, keep: int, oldest: int
) -> None:
    fill(registry)
    every = changes(registry)
    registry.tidy(keep=keep)
    assert registry.head().oldest == oldest
    assert read(registry, oldest) == every[oldest:]
    if oldest:
        with pytest.raises(RegistryError) as caught:
            read(registry, oldest - 1)
        assert (caught.value.code, caught.value.status) == ("compacted", 410)


def test_changes_go_on_after_everything_was_compacted(registry: Registry) -> None:
    fill(registry)
    registry.tidy(keep=0)
    file_first(registry, "d.cn")
    assert [change.domain for change in read(registry, 6)] == ["d.cn"]


@pytest.mark.parametrize("step", [86400.0, 0.0, -86400.0])
def test_a_new_epoch_sorts_after_the_old_one_whatever_the_clock_does(
    registry: Registry, clock: Clock, step: float
) -> None:
    fill(registry)
    first = registry.renew_epoch(actor=LOCAL)
    clock.now += step
    second = registry.renew_epoch(actor=LOCAL)
    assert first.epoch < second.epoch
    assert (second.revision, second.oldest) == (6, 6)
    with pytest.raises(RegistryError, match="snapshot"):
        read(registry, 5)
    file_first(registry, "d.cn")
    assert registry.head().revision == 7


def test_changes_are_stored_as_they_are() -> None:
    stored = [
        Change("xn--fsqu00a.cn", Status.FILED, "鲁ICP备09090609号-2A", 1),
        Change("b.cn", Status.ABSENT, "", 2**40),
    ]
    assert log.decode(log.encode(stored)) == stored

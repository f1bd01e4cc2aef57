"""Operations at the same time: one of two rivals wins, and the log has no gap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest

from gate.registry import registry as module
from gate.registry.commands import (
    Approve,
    CancelService,
    ChangeService,
    Command,
    Outcome,
    Resume,
    Role,
    Suspend,
)
from gate.registry.database import Database
from gate.registry.dispatch import carry_out
from gate.registry.errors import RegistryError
from gate.registry.operations import Work
from gate.registry.queries import find_audit
from gate.registry.registry import LOCAL, Registry, Request
from gate.registry.tokens import Actor
from tests.registry.filings import changes, do, file_another, file_first, first_filing, status

T = TypeVar("T")


@pytest.fixture
def rivals(registry: Registry, database_url: str) -> Iterator[list[Registry]]:
    """Four registries on one database, as four processes would have."""
    databases = [Database(database_url) for _ in range(4)]
    yield [Registry(database) for database in databases]
    for database in databases:
        database.close()


def at_once(works: list[Callable[[], T]]) -> tuple[list[T], list[str]]:
    """Run all at the same time; gives back the results and the codes of the refusals."""
    barrier = Barrier(len(works))

    def run(work: Callable[[], T]) -> T | str:
        barrier.wait()
        try:
            return work()
        except RegistryError as error:
            return error.code

    with ThreadPoolExecutor(len(works)) as threads:
        found = list(threads.map(run, works))
    return [item for item in found if not isinstance(item, str)], sorted(
        item for item in found if isinstance(item, str)
    )


def test_one_of_several_applications_for_a_domain_wins(
    registry: Registry, rivals: list[Registry]
) -> None:
    done, codes = at_once(
        [
            lambda rival=rival, number=number: do(  # type: ignore[misc]
                rival, first_filing("a.cn", account=f"a{number}")
            )
            for number, rival in enumerate(rivals)
        ]
    )
    assert (len(done), codes) == (1, ["domain_pending"] * 3)


def test_an_application_is_approved_once(registry: Registry, rivals: list[Registry]) -> None:
    do(registry, first_filing("a.cn"))
    done, codes = at_once(
        [lambda rival=rival: do(rival, Approve(application=1, generate=True)) for rival in rivals]  # type: ignore[misc]
    )
    assert (len(done), codes) == (1, ["application_decided"] * 3)
    assert len(changes(registry)) == 1


def test_two_services_do_not_get_one_domain(registry: Registry, rivals: list[Registry]) -> None:
    file_first(registry, "a.cn")
    for name in ("b.cn", "c.cn", "d.cn"):
        file_another(registry, name)
    done, codes = at_once(
        [
            lambda rival=rival, name=name: do(  # type: ignore[misc]
                rival, ChangeService(domain=name, domains=("wanted.cn",))
            )
            for rival, name in zip(rivals, ("a.cn", "b.cn", "c.cn", "d.cn"), strict=True)
        ]
    )
    assert (len(done), codes) == (1, ["domain_filed"] * 3)
    assert status(registry, "wanted.cn") == "filed"


def test_the_log_has_no_gap_under_load(registry: Registry, rivals: list[Registry]) -> None:
    def work(rival: Registry, own: int) -> list[int]:
        revisions = []
        for number in range(15):
            domain = f"d{number}-{own}.cn"
            application = do(rival, first_filing(domain, account=f"a{number}-{own}")).application
            assert application is not None
            revisions.append(do(rival, Approve(application=application, generate=True)).revision)
            if number % 3 == 0:
                revisions.append(do(rival, CancelService(domain=domain)).revision)
        return revisions

    done, codes = at_once(
        [lambda rival=rival, own=own: work(rival, own) for own, rival in enumerate(rivals)]  # type: ignore[misc]
    )
    assert codes == []
    assert sorted(revision for revisions in done for revision in revisions) == list(range(1, 81))
    assert all(revisions == sorted(revisions) for revisions in done)
    assert len(changes(registry)) == 80


def test_operations_that_share_a_transaction_stand_alone(registry: Registry) -> None:
    heard: list[tuple[int, list[str]]] = []
    file_first(registry, "a.cn")
    for name in ("b.cn", "c.cn"):
        file_another(registry, name)
    registry.listen(
        lambda head, changes: heard.append((head.revision, [change.domain for change in changes]))
    )
    reader = Actor("somebody", Role.READER)
    found = registry.perform_all(
        [
            Request(Suspend(domain="a.cn", reason="order"), LOCAL, "key"),
            Request(Suspend(domain="a.cn", reason="order"), LOCAL),
            Request(CancelService(domain="b.cn"), reader),
            Request(CancelService(domain="b.cn"), LOCAL),
            Request(Suspend(domain="a.cn", reason="order"), LOCAL, "key"),
            Request(CancelService(domain="none.cn"), LOCAL),
            Request(Resume(domain="a.cn"), LOCAL),
        ]
    )
    answers = [one if isinstance(one, Exception) else one[0].revision for one in found]
    assert [one.code if isinstance(one, RegistryError) else one for one in answers] == [
        4,
        "already_suspended",
        "role_insufficient",
        5,
        4,
        "domain_unknown",
        6,
    ]
    assert heard == [(6, ["a.cn", "b.cn", "a.cn"])]
    assert [status(registry, name) for name in ("a.cn", "b.cn", "c.cn")] == [
        "filed",
        "absent",
        "filed",
    ]
    with registry.database.read() as connection:
        trail = find_audit(connection, after=0, limit=100)
    assert [line.operation for line in trail][-3:] == ["suspend", "cancel_service", "resume"]


def test_a_fault_of_the_program_in_one_operation_spares_the_others(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_first(registry, "a.cn")
    file_another(registry, "b.cn")
    real = carry_out

    def faulty(work: Work, command: Command) -> Outcome:
        outcome = real(work, command)
        if command.target == "a.cn":
            raise ZeroDivisionError
        return outcome

    monkeypatch.setattr(module, "carry_out", faulty)
    first, second = registry.perform_all(
        [Request(CancelService(domain=name), LOCAL) for name in ("a.cn", "b.cn")]
    )
    assert isinstance(first, ZeroDivisionError)
    assert not isinstance(second, Exception)
    assert second[0].revision == 3
    assert (status(registry, "a.cn"), status(registry, "b.cn")) == ("filed", "absent")

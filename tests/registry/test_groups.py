"""Operations of one transaction: what is acknowledged is in the log, at its revision."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import permutations

import pytest
from sqlalchemy import Table

from gate.registry.commands import Approve, CancelService, ChangeService, Command, Outcome
from gate.registry.log import read_after
from gate.registry.operations.transaction import Transaction
from gate.registry.registry import LOCAL, Registry, Request
from gate.registry.schema import audit
from gate.registry.verifying import verify
from tests.harness.examples import some
from tests.harness.new_registry import filled, migrated
from tests.registry.filings import first_filing


@pytest.fixture
def registry(database_url: str) -> Iterator[Registry]:
    """A registry with three names on record, and three applications that wait."""
    database = migrated(database_url)
    registry = Registry(database, clock=lambda: 1_800_000_000.0)

    def file() -> None:
        for number in range(6):
            command = first_filing(f"d{number}.cn", account=f"a{number}")
            filed, _ = registry.perform(command, actor=LOCAL)
            if number < 3:
                approve = Approve(application=filed.application or 0, generate=True)
                registry.perform(approve, actor=LOCAL)

    filled(database, "three names on record, and three that wait", file)
    yield registry
    database.close()


def group(registry: Registry, *commands: Command) -> list[Outcome | Exception]:
    done = registry.perform_all([Request(command, LOCAL) for command in commands])
    return [one if isinstance(one, Exception) else one[0] for one in done]


def is_in_the_log(registry: Registry, outcomes: list[Outcome | Exception]) -> bool:
    with registry.database.read() as connection:
        assert list(verify(connection, "gate")) == []
        every = read_after(connection, 0, limit=10**9)
    return all(
        [(c.domain, c.status.value) for c in every[one.revision - len(one.changes) : one.revision]]
        == [(c.domain, c.status) for c in one.changes]
        for one in outcomes
        if isinstance(one, Outcome)
    )


STEPS: list[Command] = [
    ChangeService(domain="d0.cn", domains=("new-d0.cn",)),
    Approve(application=4, generate=True),
    Approve(application=5, licence="鲁ICP备2027000009号-1"),
    CancelService(domain="d1.cn"),
    ChangeService(domain="d2.cn", domains=("new-d2.cn",)),
]


@pytest.mark.parametrize("commands", some(list(permutations(STEPS, 3))), ids=lambda _: "")
def test_a_group_is_done_as_one_and_each_outcome_is_in_the_log(
    registry: Registry, commands: tuple[Command, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        outcomes = group(registry, *commands)
    assert caplog.text == ""  # else they were carried out one by one
    assert [type(one) for one in outcomes] == [Outcome] * 3
    assert is_in_the_log(registry, outcomes)


@pytest.mark.parametrize("third", [STEPS[0], STEPS[3]], ids=lambda command: command.operation)
def test_what_cannot_be_written_of_one_part_takes_no_other_with_it_unsaid(
    registry: Registry, third: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the program: two lines of the trail with one id, seen in the third's part."""
    right = Transaction.next_id

    def wrong(self: Transaction, table: Table) -> int:
        return 1 if self._grouped and table is audit else right(self, table)

    monkeypatch.setattr(Transaction, "next_id", wrong)
    outcomes = group(registry, STEPS[1], STEPS[2], third)
    assert [type(one) for one in outcomes] == [Outcome] * 3  # one by one
    assert is_in_the_log(registry, outcomes)

"""Operations that are done together come to what they come to one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from gate.registry.commands import (
    Approve,
    CancelService,
    CancelSubject,
    Command,
    FirstFiling,
    ServiceData,
    SubjectData,
    Suspend,
)
from gate.registry.database import Database
from gate.registry.errors import RegistryError
from gate.registry.orders.commands import (
    AbandonOrder,
    ApproveOrder,
    NewOrder,
    PassOrder,
    ReportPerson,
    ReturnOrder,
    SubmitOrder,
    UpdateOrder,
    WithdrawOrder,
)
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.registry import LOCAL, Registry, Request
from gate.registry.schema import log_head, metadata
from gate.registry.verifying import verify
from gate.settings import Sms
from tests.harness.examples import examples
from tests.harness.new_registry import migrated
from tests.registry.conftest import Clock
from tests.registry.orders.steps import filing

Pair = tuple[Registry, Registry]


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Database]]:
    """Two databases, which each test empties."""
    folder = tmp_path_factory.mktemp("pair")
    made = (migrated(str(folder / "a.db")), migrated(str(folder / "b.db")))
    yield made
    for database in made:
        database.close()


@pytest.fixture
def pair(databases: tuple[Database, Database], clock: Clock) -> Pair:
    """One registry to do things together, and one to do them one after the other."""
    return _pair(databases, clock)


def _pair(databases: tuple[Database, Database], clock: Clock) -> Pair:
    made = []
    for database in databases:
        with database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                if table is not log_head:
                    connection.execute(table.delete())
            connection.execute(
                log_head.update().values(
                    epoch="e", revision=0, oldest=0, changed_at=0, provider=None
                )
            )
        policy = OrderPolicy(sms=Sms.REPORTED)
        made.append(Registry(database, clock=clock, policy=policy))
    return made[0], made[1]


def _tables(registry: Registry) -> dict[str, list[tuple[Any, ...]]]:
    with registry.database.read() as connection:
        assert list(verify(connection, registry.provider)) == []
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


def _outcome(done: object) -> object:
    if isinstance(done, RegistryError):
        return done.code, done.field, done.zh
    assert isinstance(done, tuple), done
    return done


def same_together(pair: Pair, commands: Sequence[Command | Request]) -> list[object]:
    """Do this in one group and one by one; what both come to, which must be the same."""
    together, alone = pair
    requests = [c if isinstance(c, Request) else Request(c, LOCAL) for c in commands]
    found = [_outcome(done) for done in together.perform_all(requests)]
    expected = [_outcome(alone.perform_all([request])[0]) for request in requests]
    assert found == expected
    assert _tables(together) == _tables(alone)
    return found


def codes(found: list[object]) -> list[str | None]:
    """What each came to: its state, or the code of its refusal."""
    return [one[0] if isinstance(one[0], str) else one[0].state for one in found]  # type: ignore[index]


def new(number: int, *domains: str, **of_subject: Any) -> NewOrder:
    """An order of account `number`, whose certificate is its own."""
    given = {"certificate": f"C{number}"} | of_subject
    return NewOrder(account=f"a{number}", entry=filing(*domains, **given))


def whole(order: int) -> list[Command]:
    """Every step of an order from its draft to its end."""
    return [
        SubmitOrder(order=order),
        PassOrder(order=order),
        ReportPerson(order=order, person=1, verified=True),
        ApproveOrder(order=order, generate=True),
    ]


DONE = ["draft", "provider_review", "sms", "authority_review", "done"]

CASES: dict[str, tuple[list[Command], list[str | None]]] = {
    "an order from its draft to its end": (
        [new(1, "one.com"), *whole(1)],
        [*DONE],
    ),
    "an account's second order, while the first is open": (
        [new(1, "one.com"), new(1, "two.com")],
        ["draft", "order_open"],
    ),
    "an account's second order, when the first has ended": (
        [new(1, "one.com"), AbandonOrder(order=1), new(1, "two.com")],
        ["draft", "abandoned", "draft"],
    ),
    "a domain that another order holds": (
        [new(1, "one.com"), new(2, "one.com"), SubmitOrder(order=1), SubmitOrder(order=2)],
        ["draft", "draft", "provider_review", "domain_pending"],
    ),
    "a domain that was let go": (
        [
            new(1, "one.com"),
            new(2, "one.com"),
            SubmitOrder(order=1),
            ReturnOrder(order=1, reason="不清晰"),
            WithdrawOrder(order=1),
            SubmitOrder(order=2),
        ],
        ["draft", "draft", "provider_review", "returned", "withdrawn", "provider_review"],
    ),
    "a domain that was filed by the order before": (
        [new(1, "one.com"), new(2, "one.com"), *whole(1), SubmitOrder(order=2)],
        ["draft", *DONE, "domain_conflict"],
    ),
    "a subject's certificate that another has by now": (
        [new(1, "one.com"), new(2, "two.com", certificate="C1"), *whole(1), SubmitOrder(order=2)],
        ["draft", *DONE, "subject_other_account"],
    ),
    "a number that the authority has given above the next one": (
        [
            new(1, "one.com"),
            new(2, "two.com"),
            new(3, "three.com"),
            *whole(1),
            *whole(2)[:3],
            ApproveOrder(order=2, licences=("鲁ICP备2026000005号-1",)),
            *whole(3),
        ],
        [*["draft"] * 3, *DONE[1:] * 3],
    ),
    "filings that end in between": (
        [
            new(1, "one.com"),
            new(2, "one.com"),
            *whole(1),
            CancelSubject(licence="鲁ICP备2026000001号"),
            *whole(2),
        ],
        ["draft", *DONE, None, *DONE[1:]],
    ),
    "a refusal after something was written": (
        [
            new(1, "one.com"),
            *whole(1)[:3],
            ApproveOrder(order=1, licences=("粤ICP备2026000005号-1",)),
            ApproveOrder(order=1),
            ApproveOrder(order=1, generate=True),
        ],
        [*DONE[:-1], "licence_province", "licences_required", "done"],
    ),
    "an order that there is not": (
        [PassOrder(order=9), new(1, "one.com")],
        ["order_unknown", "draft"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_group_comes_to_what_its_steps_come_to_alone(pair: Pair, case: str) -> None:
    commands, expected = CASES[case]
    assert codes(same_together(pair, commands)) == expected


def test_a_key_that_comes_twice_in_a_group_is_answered_twice_and_done_once(pair: Pair) -> None:
    asked = Request(new(1, "one.com"), LOCAL, "k1")
    other = Request(new(2, "two.com"), LOCAL, "k1")
    first, again, differs = same_together(pair, [asked, asked, other])
    assert isinstance(first, tuple)
    assert isinstance(again, tuple)
    assert (first[0], again) == (again[0], (first[0], True))
    assert isinstance(differs, tuple)
    assert differs[0] == "key_reused"


NUMBERS = st.integers(1, 3)
ORDERS = st.integers(1, 4)
NAMES = st.sampled_from(["one.com", "two.com", "three.com"])
LICENCES = st.sampled_from([(), ("鲁ICP备2026000003号-1",), ("粤ICP备2026000001号-1",)])


def _unit(number: int, name: str) -> FirstFiling:
    subject = SubjectData(name="某某网络公司", certificate=f"C{number}")
    service = ServiceData(name="某某官方商城", domains=(name,))
    return FirstFiling(account=f"a{number}", province="鲁", subject=subject, service=service)


COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(new, NUMBERS, NAMES),
    *(st.builds(step, order=ORDERS) for step in (SubmitOrder, SubmitOrder, PassOrder, PassOrder)),
    *(st.builds(step, order=ORDERS) for step in (AbandonOrder, WithdrawOrder)),
    st.builds(ReportPerson, order=ORDERS, person=st.just(1), verified=st.booleans()),
    st.builds(ApproveOrder, order=ORDERS, licences=LICENCES, generate=st.booleans()),
    st.builds(ReturnOrder, order=ORDERS, reason=st.just("不清晰")),
    st.builds(UpdateOrder, order=ORDERS, entry=st.builds(filing, NAMES)),
    st.builds(_unit, NUMBERS, NAMES),
    st.builds(Approve, application=ORDERS),
    st.builds(CancelService, domain=NAMES),
    st.builds(Suspend, domain=NAMES, reason=st.just("核查")),
)
FULL = st.builds(
    lambda number, name, order: [new(number, name), *whole(order)], NUMBERS, NAMES, ORDERS
)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    groups=st.lists(
        st.one_of(st.lists(COMMANDS, min_size=1, max_size=8), FULL), min_size=1, max_size=4
    )
)
def test_any_group_comes_to_what_its_operations_come_to_alone(
    databases: tuple[Database, Database], groups: list[list[Command]]
) -> None:
    clock = Clock()
    pair = _pair(databases, clock)
    for group in groups:
        same_together(pair, group)
        clock.now += 3_600

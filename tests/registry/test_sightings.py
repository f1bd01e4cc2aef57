"""What only gates know, put beside the records: whose blocked names are, what is idle or hollow."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from gate.changes.position import GatePosition
from gate.registry.bulk.importing import import_file
from gate.registry.commands import Approve, CancelAccess, CancelService, CancelSubject, Role
from gate.registry.errors import RegistryError
from gate.registry.import_modes import ImportMode
from gate.registry.orders.commands import AbandonOrder, NewOrder, SubmitOrder
from gate.registry.orders.kinds import OrderType
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.working_days import china_date
from gate.registry.registry import LOCAL, Registry
from gate.registry.schema import subjects
from gate.registry.sightings.hollow import find_hollow
from gate.registry.sightings.matching import find_matches
from gate.registry.sightings.networks import accounts_of, find_networks
from gate.registry.sightings.reminding import Reminder
from gate.registry.sightings.traffic import count_idle, find_idle, place, watch
from gate.registry.sightings.views import BlockedMatch, Evidence, NetworkOwner, TrafficReport
from gate.registry.unfiled import UnfiledName, UnfiledReport
from gate.registry.verifying import verify
from gate.registry.workflow.facts import AccountFacts, OwnerFacts
from gate.settings import OrderSettings
from tests.harness.waiting import wait_for
from tests.registry.conftest import Api, Clock
from tests.registry.filings import do, file_another, file_first, first_filing
from tests.registry.orders.steps import filing, owner, take

DAY = 86_400
TODAY = date(2026, 9, 21)  # of the tests' clock, in China


def ask_for(registry: Registry, clock: Clock, *names: str, reason: str = "unfiled") -> None:
    """A gate reports that names were asked for, and the registry looks at it."""
    seen = int(clock.now)
    told = tuple(
        UnfiledName(name=name, reason=reason, count=3, first_seen=seen - 60, last_seen=seen)
        for name in names
    )
    registry.report_unfiled(UnfiledReport(gate="g1", names=told), actor=LOCAL)
    registry.look_around()


def matches(registry: Registry, account: str | None = None) -> dict[str, BlockedMatch]:
    with registry.database.read() as connection:
        found = find_matches(connection, account=account, after="", limit=100)
    return {one.domain: one for one in found}


def verified(registry: Registry, account: str, name: str, domain: str | None = None) -> None:
    """The provider's word on who an account is, and a domain's owner."""
    registry.put_account(account, AccountFacts(name=name, verified_at=1), actor=LOCAL)
    if domain is not None:
        facts = OwnerFacts(owner=name, verified_at=1, here=True)
        registry.put_owner(domain, facts, actor=LOCAL)


class TestBlockedNames:
    """Matched to accounts, each with the draft of the order that would open it."""

    def test_a_name_is_the_account_s_that_was_verified_as_its_domain_s_owner(
        self, registry: Registry, clock: Clock
    ) -> None:
        verified(registry, "a1", "某某网络公司", "new.cn")
        ask_for(registry, clock, "www.new.cn", "api.new.cn", "stranger.cn")
        found = matches(registry)
        assert set(found) == {"new.cn"}
        match = found["new.cn"]
        assert (match.account, match.evidence, match.requests) == ("a1", Evidence.OWNER, 6)
        assert match.draft is not None
        made = take(registry, NewOrder(entry=match.draft), owner("a1"))
        assert (made.type, made.domains) == (OrderType.FIRST_FILING, ("new.cn",))
        assert made.entry.subject.name == "某某网络公司"
        # Now an order is under way: nothing more is offered until it ends.
        found = matches(registry)
        assert (found["new.cn"].order, found["new.cn"].draft) == (made.id, None)
        take(registry, AbandonOrder(order=made.id), owner("a1"))
        assert matches(registry)["new.cn"].draft is not None

    def test_a_name_that_is_filed_elsewhere_gets_the_draft_of_an_access_filing(
        self, registry: Registry, clock: Clock
    ) -> None:
        file_first(registry, "a.cn")
        do(registry, CancelAccess(domain="a.cn"))
        ask_for(registry, clock, "www.a.cn", reason="filed_elsewhere")
        match = matches(registry, "a1")["a.cn"]
        assert (match.evidence, match.reason) == (Evidence.FILING, "filed_elsewhere")
        assert match.draft is not None
        assert match.draft.subject.licence == "鲁ICP备09090609号"
        made = take(registry, NewOrder(entry=match.draft), owner("a1"))
        assert made.type in {OrderType.ACCESS_FILING, OrderType.ACCESS_SITE}

    def test_an_account_with_a_subject_gets_the_draft_of_a_new_service(
        self, registry: Registry, clock: Clock
    ) -> None:
        file_first(registry, "a.cn")
        verified(registry, "a1", "某某网络公司", "second.cn")
        ask_for(registry, clock, "second.cn")
        match = matches(registry)["second.cn"]
        assert match.draft is not None
        made = take(registry, NewOrder(entry=match.draft), owner("a1"))
        assert made.type is OrderType.NEW_SERVICE_HERE

    def test_an_ended_order_tells_whose_a_name_is(self, registry: Registry, clock: Clock) -> None:
        made = take(registry, NewOrder(entry=filing("once.cn")), owner("a7"))
        take(registry, AbandonOrder(order=made.id), owner("a7"))
        ask_for(registry, clock, "once.cn")
        match = matches(registry)["once.cn"]
        assert (match.account, match.evidence) == ("a7", Evidence.ORDER)

    @pytest.mark.parametrize(("submitted", "whose"), [(True, {"a1"}), (False, set())])
    def test_a_name_in_a_later_draft_is_taken_from_nobody(
        self, registry: Registry, clock: Clock, submitted: bool, whose: set[str]
    ) -> None:
        """Anybody may write any name down: who has asked for it in earnest keeps it."""
        made = take(registry, NewOrder(entry=filing("held.cn")), owner("a1"))
        if submitted:
            take(registry, SubmitOrder(order=made.id), owner("a1"))
        theirs = filing("held.cn", certificate="c2", name="乙公司")
        take(registry, NewOrder(entry=theirs), owner("a2"))
        ask_for(registry, clock, "held.cn")
        assert {one.account for one in matches(registry).values()} == whose

    def test_a_name_is_the_account_s_whose_hosts_it_was_asked_for_at(
        self, registry: Registry, clock: Clock
    ) -> None:
        networks = {"203.0.113.0/28": "a1", "203.0.113.16/28": "a2"}
        owners = [NetworkOwner(network=one, account=of) for one, of in networks.items()]
        registry.put_networks(owners, actor=LOCAL)
        hosts = {
            "one.cn": ["203.0.113.1:443", "203.0.113.2:80", "198.51.100.1:443"],
            "both.cn": ["203.0.113.1:443", "203.0.113.17:443"],  # nobody's alone
            "none.cn": ["198.51.100.1:443"],
        }
        seen = int(clock.now)
        names = tuple(
            UnfiledName.model_validate(
                {
                    "name": f"www.{name}",
                    "reason": "unfiled",
                    "count": 3,
                    "first_seen": seen,
                    "last_seen": seen,
                    "destinations": [{"address": address, "count": 1} for address in addresses],
                }
            )
            for name, addresses in hosts.items()
        )
        registry.report_unfiled(UnfiledReport(gate="g1", names=names), actor=LOCAL)
        registry.look_around()
        found = matches(registry)
        assert {name: (one.account, one.evidence) for name, one in found.items()} == {
            "one.cn": ("a1", Evidence.ADDRESS)
        }

    def test_an_owner_of_several_accounts_is_nobody_s_account(
        self, registry: Registry, clock: Clock
    ) -> None:
        verified(registry, "a1", "某某网络公司", "new.cn")
        verified(registry, "a2", "某某网络公司")
        ask_for(registry, clock, "new.cn")
        assert matches(registry) == {}

    def test_what_a_clerk_suspended_is_shown_without_a_draft(
        self, registry: Registry, clock: Clock
    ) -> None:
        file_first(registry, "a.cn")
        ask_for(registry, clock, "a.cn", reason="suspended")
        assert matches(registry)["a.cn"].draft is None

    async def test_a_look_is_told_in_figures(self, api: Api) -> None:
        registry = api.service.registry
        file_first(registry, "a.cn")
        do(registry, CancelService(domain="a.cn"))
        verified(registry, "a1", "某某网络公司", "new.cn")
        clock = Clock()
        clock.now = registry.now()
        ask_for(registry, clock, "new.cn")
        await asyncio.to_thread(wait_for, lambda: api.service.look, "the service's own look", 30)
        api.service.look = registry.look_around()
        told = await api.call("GET", "/metrics", role=Role.READER)
        figures = dict(
            line.split() for line in told.body.decode().splitlines() if not line.startswith("#")
        )
        assert figures["gate_registry_blocked_matched"] == "1.0"
        assert figures["gate_registry_hollow_subjects"] == "1.0"
        # No gate reports traffic: not "none is idle".
        assert "gate_registry_idle_filings" not in figures

    def test_what_nobody_has_asked_for_lately_is_forgotten(
        self, registry: Registry, clock: Clock
    ) -> None:
        verified(registry, "a1", "某某网络公司", "new.cn")
        ask_for(registry, clock, "new.cn")
        clock.now += 31 * DAY
        registry.look_around()
        assert matches(registry) == {}

    async def test_an_owner_sees_its_own_and_nothing_else(self, api: Api) -> None:
        registry = api.service.registry
        verified(registry, "a1", "甲公司", "mine.cn")
        verified(registry, "a2", "乙公司", "other.cn")
        seen = registry.now()
        names = tuple(
            UnfiledName(name=name, reason="unfiled", count=1, first_seen=seen, last_seen=seen)
            for name in ("mine.cn", "other.cn")
        )
        registry.report_unfiled(UnfiledReport(gate="g1", names=names), actor=LOCAL)
        registry.look_around()
        for path, role, expected in (
            ("/v1/blocked", Role.OWNER, ["mine.cn"]),
            ("/v1/blocked?account=a2", Role.OWNER, ["mine.cn"]),
            ("/v1/blocked", Role.READER, ["mine.cn", "other.cn"]),
            ("/v1/blocked?account=a2", Role.READER, ["other.cn"]),
        ):
            answer = await api.call("GET", path, role=role)
            assert [one["domain"] for one in answer.json()["items"]] == expected
        for path in ("/v1/idle", "/v1/hollow", "/v1/networks"):
            assert (await api.call("GET", path, role=Role.OWNER)).status == 403
            assert (await api.call("GET", path, role=Role.READER)).status == 200


class TestNetworks:
    """Whose hosts are where."""

    def test_the_smallest_network_around_an_address_counts(self, registry: Registry) -> None:
        put = {
            "203.0.113.0/24": "a1",
            "203.0.113.16/28": "a2",
            "2001:db8::/32": "a3",
            "198.51.100.7": "a4",
        }
        owners = [NetworkOwner(network=one, account=account) for one, account in put.items()]
        registry.put_networks(owners, actor=LOCAL)
        expected = {
            "203.0.113.1": "a1",
            "203.0.113.17:443": "a2",
            "[2001:db8::1]:443": "a3",
            "2001:db8::2": "a3",
            "::ffff:203.0.113.1": "a1",
            "198.51.100.7:80": "a4",
        }
        asked = [*expected, "198.51.100.8", "nonsense", ""]
        with registry.database.read() as connection:
            assert accounts_of(connection, asked) == expected

    def test_the_last_word_counts_and_none_ends_it(self, registry: Registry) -> None:
        for account in ("a1", "a2", None):
            owner_ = NetworkOwner(network="203.0.113.0/24", account=account)
            registry.put_networks([owner_], actor=LOCAL)
            with registry.database.read() as connection:
                found = find_networks(connection, after="", limit=10)
            assert [one.account for one in found] == ([] if account is None else [account])

    @pytest.mark.parametrize("text", ["203.0.113.1/24", "example.cn", "", "203.0.113.0/33"])
    def test_what_is_no_network_is_refused_with_its_place(self, lite: Registry, text: str) -> None:
        owners = [
            NetworkOwner(network="10.0.0.0/8", account="a1"),
            NetworkOwner(network=text, account="a1"),
        ]
        with pytest.raises(RegistryError) as caught:
            lite.put_networks(owners, actor=LOCAL)
        assert (caught.value.code, caught.value.field) == ("field_invalid", "networks.1.network")
        with lite.database.read() as connection:
            assert find_networks(connection, after="", limit=10) == []


def tell(registry: Registry, gate: str, day: date, *domains: str, lost: bool = False) -> int:
    """A gate's word on a day's traffic."""
    report = TrafficReport(gate=gate, day=day, domains=domains, lost=lost)
    return registry.take_traffic(report, actor=LOCAL).taken


def idle(registry: Registry, days: int = 30) -> list[str]:
    with registry.database.read() as connection:
        found = find_idle(connection, days, now=registry.now(), after="", limit=100)
        if watch(connection, days, now=registry.now()).sufficient:
            assert count_idle(connection, days, now=registry.now()) == len(found)
        else:
            assert count_idle(connection, days, now=registry.now()) is None
    return [one.domain for one in found]


class TestIdleFilings:
    """Filed domains without traffic: only where the gates' word goes far enough."""

    def every_day(
        self, registry: Registry, clock: Clock, days: int, *names: str, gates: Any = ("g1",)
    ) -> None:
        """Days go by, on each of which gates report the traffic of some domains."""
        for _ in range(days):
            clock.now += DAY
            today = TODAY + timedelta((int(clock.now) - 1_790_000_000) // DAY)
            for gate in gates:
                tell(registry, gate, today, *names)

    def test_a_domain_is_idle_when_no_gate_saw_traffic_for_all_the_days(
        self, registry: Registry, clock: Clock
    ) -> None:
        file_first(registry, "busy.cn")
        file_first_of(registry, "quiet.cn", "a2")
        assert tell(registry, "g1", TODAY, "busy.cn", "nobody.cn") == 1
        self.every_day(registry, clock, 30, "busy.cn")
        assert idle(registry) == []  # its first day was not a whole one
        self.every_day(registry, clock, 1, "busy.cn")
        assert idle(registry) == ["quiet.cn"]
        self.every_day(registry, clock, 1, "busy.cn", "quiet.cn")
        assert idle(registry) == []
        self.every_day(registry, clock, 30, "busy.cn")
        assert idle(registry) == ["quiet.cn"]

    def test_a_gap_of_one_gate_leaves_nothing_to_say(
        self, registry: Registry, clock: Clock
    ) -> None:
        file_first(registry, "quiet.cn")
        self.every_day(registry, clock, 40, gates=("g1", "g2"))
        assert idle(registry) == ["quiet.cn"]
        self.every_day(registry, clock, 2)  # g2 is silent
        self.every_day(registry, clock, 1, gates=("g1", "g2"))
        assert idle(registry) == []
        self.every_day(registry, clock, 31, gates=("g1", "g2"))
        assert idle(registry) == ["quiet.cn"]

    def test_a_day_of_which_something_was_lost_is_a_gap(
        self, registry: Registry, clock: Clock
    ) -> None:
        file_first(registry, "quiet.cn")
        self.every_day(registry, clock, 40)
        today = TODAY + timedelta(40)
        tell(registry, "g1", today, lost=True)
        assert idle(registry) == []

    def test_a_gate_that_joins_later_was_never_in_the_way(
        self, registry: Registry, clock: Clock
    ) -> None:
        file_first(registry, "quiet.cn")
        self.every_day(registry, clock, 40)
        self.every_day(registry, clock, 1, gates=("g1", "new"))
        assert idle(registry) == ["quiet.cn"]

    def test_a_gate_that_reports_no_traffic_may_carry_some(
        self, registry: Registry, clock: Clock
    ) -> None:
        file_first(registry, "quiet.cn")
        self.every_day(registry, clock, 40)
        position = GatePosition(epoch=registry.head().epoch, revision=1, channel="pull")
        registry.take_positions({"dark": position})
        assert idle(registry) == []
        with registry.database.read() as connection:
            found = watch(connection, 30, now=registry.now())
        assert (found.silent, found.sufficient) == (("dark",), False)

    def test_a_record_that_changed_within_the_days_is_not_idle(
        self, registry: Registry, clock: Clock
    ) -> None:
        self.every_day(registry, clock, 20)
        file_first(registry, "young.cn")
        self.every_day(registry, clock, 29)
        assert idle(registry) == []
        self.every_day(registry, clock, 1)
        assert idle(registry) == ["young.cn"]

    def test_pages_go_from_the_longest_idle_on_and_skip_nothing(
        self, registry: Registry, clock: Clock
    ) -> None:
        for number in range(7):
            file_first_of(registry, f"quiet{number}.cn", f"a{number}")
        for day in range(60):
            seen = {20: ("quiet5.cn",), 10: ("quiet2.cn", "quiet6.cn"), 50: ("quiet0.cn",)}
            tell(registry, "g1", TODAY + timedelta(day), *seen.get(day, ()))
            clock.now += DAY
        found: list[str] = []
        after = ""
        with registry.database.read() as connection:
            while page := find_idle(connection, 30, now=registry.now(), after=after, limit=2):
                found += [one.domain for one in page]
                after = place(page[-1])
        assert found == [f"quiet{number}.cn" for number in (1, 3, 4, 2, 6, 5)]

    @pytest.mark.parametrize("after", ["nonsense", "-1 a.cn", f"{10**15} a.cn", "１ a.cn"])
    async def test_a_place_that_is_none_is_refused(self, api: Api, after: str) -> None:
        registry = api.service.registry
        for day in range(-2, 0):
            tell(registry, "g1", china_date(registry.now()) + timedelta(day))
        tell(registry, "g1", china_date(registry.now()))
        cursor = base64.urlsafe_b64encode(after.encode()).decode()
        answer = await api.call("GET", f"/v1/idle?days=1&cursor={cursor}")
        assert (answer.status, answer.json()["code"]) == (422, "cursor_invalid")

    @pytest.mark.parametrize("day", [TODAY - timedelta(8), TODAY + timedelta(2)])
    def test_a_day_that_can_not_be_is_refused(self, lite: Registry, day: date) -> None:
        with pytest.raises(RegistryError) as caught:
            tell(lite, "g1", day)
        assert caught.value.field == "day"


def file_first_of(registry: Registry, domain: str, account: str) -> None:
    """A first filing of another account."""
    made = do(registry, first_filing(domain, account=account))
    assert made.application is not None
    do(registry, Approve(application=made.application, generate=True))


def hollow(registry: Registry) -> list[tuple[str, int]]:
    with registry.database.read() as connection:
        found = find_hollow(connection, after="", limit=100)
    return [(one.licence, one.since) for one in found]


def told(registry: Registry) -> list[tuple[str, str, int]]:
    """The notices that go out now: to whom, of what, on which day."""
    found = []
    while sendings := registry.claim_account_notices():
        for sending in sendings:
            notice = sending.notice
            found.append((notice.account, f"{notice.kind} {notice.target}", notice.day))
            registry.settle_notice(sending, None)
    return found


def test_a_subject_is_hollow_from_the_end_of_its_last_service_on(
    registry: Registry, clock: Clock
) -> None:
    file_first(registry, "a.cn")
    assert hollow(registry) == []
    clock.now += 5 * DAY
    do(registry, CancelService(domain="a.cn"))
    assert hollow(registry) == [("鲁ICP备09090609号", int(clock.now))]


FILED = "domain,licence,subject,account\n"
HOLLOW_WAYS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    # What a list brings (and whether it is all there is): which domain is hollow's afterwards.
    "a list that is all there is leaves the last service out": (
        (
            "a.cn,鲁ICP备10000001号-1,某某网络公司,a1\nb.cn,鲁ICP备10000002号-1,另一公司,a2\n",
            "",
            True,
        ),
        ("b.cn,鲁ICP备10000002号-1,另一公司,a2\n", "鲁ICP备10000001号", True),
    ),
    "it leaves out one service of two": (
        (
            "a.cn,鲁ICP备10000001号-1,某某网络公司,a1\nc.cn,鲁ICP备10000001号-2,某某网络公司,a1\n"
            "b.cn,鲁ICP备10000002号-1,另一公司,a2\n",
            "",
            True,
        ),
        (
            "a.cn,鲁ICP备10000001号-1,某某网络公司,a1\nb.cn,鲁ICP备10000002号-1,另一公司,a2\n",
            "",
            True,
        ),
    ),
    "a list brings the hollow one another service": (
        (
            "a.cn,鲁ICP备10000001号-1,某某网络公司,a1\nb.cn,鲁ICP备10000002号-1,另一公司,a2\n",
            "",
            True,
        ),
        ("b.cn,鲁ICP备10000002号-1,另一公司,a2\n", "鲁ICP备10000001号", True),
        ("new.cn,鲁ICP备10000001号-5,某某网络公司,a1\n", "", False),
    ),
}


@pytest.mark.parametrize("lists", HOLLOW_WAYS.values(), ids=HOLLOW_WAYS)
def test_what_lists_leave_hollow_is_kept_right(
    registry: Registry, clock: Clock, tmp_path: Path, lists: Sequence[tuple[str, str, bool]]
) -> None:
    for number, (rows, expected, complete) in enumerate(lists):
        path = tmp_path / f"{number}.csv"
        path.write_text(FILED + rows)
        mode = ImportMode.REPLACE if complete else ImportMode.ADD
        for _ in import_file(registry, path, actor=LOCAL, mode=mode, max_shrink=1.0):
            pass
        assert [licence for licence, _ in hollow(registry)] == ([expected] if expected else [])
        with registry.database.read() as connection:
            assert list(verify(connection, "gate")) == []
        clock.now += DAY


def test_a_hollow_subject_that_files_again_is_hollow_no_more_and_may_become_it_again(
    registry: Registry, clock: Clock
) -> None:
    file_first(registry, "a.cn")
    for number in range(3):
        do(registry, CancelService(domain="a.cn" if number == 0 else f"b{number - 1}.cn"))
        assert hollow(registry) == [("鲁ICP备09090609号", int(clock.now))]
        clock.now -= DAY  # a clock that jumps back
        file_another(registry, f"b{number}.cn")
        assert hollow(registry) == []
        clock.now += 3 * DAY
        with registry.database.read() as connection:
            assert list(verify(connection, "gate")) == []
    do(registry, CancelSubject(licence="鲁ICP备09090609号"))
    assert hollow(registry) == []


def test_a_hollow_subject_that_is_noted_wrongly_is_found_by_verify(lite: Registry) -> None:
    file_first(lite, "a.cn")
    with lite.database.write() as connection:
        connection.exec_driver_sql("UPDATE subjects SET hollow_since = 5")
    with lite.database.read() as connection:
        (fault,) = verify(connection, "gate")
    assert "鲁ICP备09090609号 is kept as hollow since 5" in fault
    with lite.database.write() as connection:
        connection.exec_driver_sql("UPDATE subjects SET hollow_since = NULL")


def test_however_many_are_to_be_told_each_has_its_turn(registry: Registry) -> None:
    count = 1_700
    hollow_ones = [
        {
            "id": number,
            "licence": f"京ICP备{10000000 + number}号",
            "province": "京",
            "name": f"{number}公司",
            "folded": f"{number}公司",
            "kind": "unit",
            "account": f"a{number}",
            "created_at": registry.now(),
            "changed_at": registry.now(),
            "hollow_since": registry.now(),
        }
        for number in range(count)
    ]
    with registry.database.write() as connection:
        connection.execute(insert(subjects), hollow_ones)
    policy = OrderPolicy.of(OrderSettings.model_validate({"sightings": {"notices": ["hollow"]}}))
    reminder = Reminder(most=500)
    looks = [
        reminder.look(registry.database, policy, "hollow", now=registry.now()) for _ in range(6)
    ]
    assert looks == [500, 500, 500, 200, 0, 0]
    registry.policy = policy
    assert sorted(account for account, _, _ in told(registry)) == sorted(
        f"a{number}" for number in range(count)
    )


def test_a_hollow_subject_s_account_is_told_at_once_and_on_days_5_10_and_15(
    registry: Registry, clock: Clock
) -> None:
    registry.policy = OrderPolicy.of(
        OrderSettings.model_validate({"sightings": {"notices": ["hollow"]}})
    )
    file_first(registry, "a.cn")
    do(registry, CancelService(domain="a.cn"))
    days = []
    for day in range(30):
        for _ in range(3):  # looks of one day, and of two registries
            registry.look_around()
        days += [(day, *one) for one in told(registry)]
        clock.now += DAY
    target = "hollow 鲁ICP备09090609号"
    assert days == [(day, "a1", target, day) for day in (0, 5, 10, 15)]


def test_after_weeks_without_a_look_the_last_day_alone_is_told(
    registry: Registry, clock: Clock
) -> None:
    registry.policy = OrderPolicy.of(
        OrderSettings.model_validate({"sightings": {"notices": ["blocked", "hollow"]}})
    )
    file_first(registry, "a.cn")
    do(registry, CancelService(domain="a.cn"))
    clock.now += 12 * DAY
    registry.look_around()
    assert told(registry) == [("a1", "hollow 鲁ICP备09090609号", 10)]


def test_an_idle_filing_s_account_is_told_until_there_is_traffic(
    registry: Registry, clock: Clock
) -> None:
    registry.policy = OrderPolicy.of(
        OrderSettings.model_validate({"sightings": {"notices": ["idle"], "idle_days": 10}})
    )
    file_first(registry, "quiet.cn")
    days = []
    for day in range(30):
        seen = ("quiet.cn",) if day == 18 else ()
        tell(registry, "g1", TODAY + timedelta(day), *seen)
        registry.look_around()
        days += [(day, one[2]) for one in told(registry)]
        clock.now += DAY
    assert [step for _, step in days] == [0, 5, 0]
    first, second, third = (day for day, _ in days)
    assert second - first in (4, 5)  # counted from its last traffic, not from the first look
    assert third >= 28


def test_a_notice_that_no_channel_takes_is_tried_again(registry: Registry, clock: Clock) -> None:
    registry.policy = OrderPolicy.of(
        OrderSettings.model_validate({"sightings": {"notices": ["blocked"]}})
    )
    verified(registry, "a1", "某某网络公司", "new.cn")
    ask_for(registry, clock, "www.new.cn")
    (sending,) = registry.claim_account_notices()
    assert "草稿" in sending.notice.text_zh
    registry.settle_notice(sending, "no route")
    assert registry.claim_account_notices() == []
    clock.now += 5
    (again,) = registry.claim_account_notices()
    assert (again.notice.id, again.tries) == (sending.notice.id, 2)


def test_nobody_is_told_unless_that_is_asked_for(registry: Registry, clock: Clock) -> None:
    verified(registry, "a1", "某某网络公司", "new.cn")
    ask_for(registry, clock, "new.cn")
    assert told(registry) == []

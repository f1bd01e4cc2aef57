"""Verdicts: which record decides for a name, what an operator changes, what is cached."""

from __future__ import annotations

import pytest

from gate.filings import Change, Filing, Override, OverrideKind, Status
from gate.policy import REASONS, Decider, Policy, Reason
from gate.replica import Replica
from tests.policy.conftest import Clock

EXEMPT = OverrideKind.EXEMPT
SUSPENDED = OverrideKind.SUSPENDED


def override(
    domain: str, kind: OverrideKind, until: float | None = None, *, since: float = 0
) -> Override:
    return Override(domain, kind, until, "a test", "tester", since)


@pytest.mark.parametrize(
    ("host", "allowed", "reason", "name", "domain"),
    [
        ("example.com", True, "filed", "example.com", "example.com"),
        ("Example.COM", True, "filed", "example.com", "example.com"),
        ("example.com.", True, "filed", "example.com", "example.com"),
        ("example.com:8080", True, "filed", "example.com", "example.com"),
        ("www.a.example.com.cn", True, "filed", "www.a.example.com.cn", "example.com.cn"),
        ("notexample.com", False, "unfiled", "notexample.com", ""),
        ("example.com.evil.cn", False, "unfiled", "example.com.evil.cn", ""),
        ("com.cn", False, "unfiled", "com.cn", ""),
        ("com", False, "unfiled", "com", ""),
        ("localhost", False, "unfiled", "localhost", ""),
        ("例子.中国", True, "filed", "xn--fsqu00a.xn--fiqs8s", "xn--fsqu00a.xn--fiqs8s"),
        ("www。例子。中国", True, "filed", "www.xn--fsqu00a.xn--fiqs8s", "xn--fsqu00a.xn--fiqs8s"),
        ("_a.b_c.example.com", True, "filed", "_a.b_c.example.com", "example.com"),
        ("a." * 100 + "example.com", True, "filed", "a." * 100 + "example.com", "example.com"),
        ("elsewhere.com", False, "filed_elsewhere", "elsewhere.com", "elsewhere.com"),
        ("a.elsewhere.com", False, "filed_elsewhere", "a.elsewhere.com", "elsewhere.com"),
        ("revoked.com", False, "revoked", "revoked.com", "revoked.com"),
        ("a.b.revoked.com", False, "revoked", "a.b.revoked.com", "revoked.com"),
        ("suspended.com", False, "suspended", "suspended.com", "suspended.com"),
        ("a.suspended.com", False, "suspended", "a.suspended.com", "suspended.com"),
        # A filing covers all names below it; only a suspension below it takes that away.
        ("child-elsewhere.filed.com", True, "filed", "child-elsewhere.filed.com", "filed.com"),
        ("a.child-revoked.filed.com", True, "filed", "a.child-revoked.filed.com", "filed.com"),
        (
            "a.child-suspended.filed.com",
            False,
            "suspended",
            "a.child-suspended.filed.com",
            "child-suspended.filed.com",
        ),
        # A filing of its own below one that is no longer good.
        ("a.filed.revoked.com", True, "filed", "a.filed.revoked.com", "filed.revoked.com"),
        ("filed.suspended.com", True, "filed", "filed.suspended.com", "filed.suspended.com"),
        # Of two reasons to block, the filing that still stands somewhere is told.
        ("a.lost.elsewhere.com", False, "filed_elsewhere", "a.lost.elsewhere.com", "elsewhere.com"),
        ("1.2.3.4", False, "ip_host", "1.2.3.4", ""),
        ("0x1020304:80", False, "ip_host", "1.2.3.4", ""),
        ("[::1]:80", False, "ip_host", "[::1]", ""),
        ("", False, "malformed", "", ""),
        ("a b.com", False, "malformed", "", ""),
        ("a_b.com", False, "malformed", "", ""),
        ("xn--abc.com", False, "unfiled", "xn--abc.com", ""),
        ("XN--abc.filed.com", True, "filed", "xn--abc.filed.com", "filed.com"),
    ],
)
def test_verdict(
    decider: Decider, host: str, allowed: bool, reason: str, name: str, domain: str
) -> None:
    for _ in range(2):  # judged, then from the cache
        verdict = decider.decide(host.encode())
        assert (verdict.allowed, verdict.reason, verdict.name, verdict.domain) == (
            allowed,
            reason,
            name,
            domain,
        )
        assert REASONS[verdict.code] is verdict.reason


@pytest.mark.parametrize(
    ("host", "licence"),
    [
        ("www.example.com", "京ICP备12345678号-1"),
        ("example.com.cn", "沪ICP备2021000001号"),
        ("例子.中国", "粤ICP备12号-3A"),
        ("suspended.com", "京ICP备3号-2"),
        ("elsewhere.com", ""),
        ("unfiled.com", ""),
        ("1.2.3.4", ""),
        ("", ""),
    ],
)
def test_licence_of_the_filing_that_was_found(decider: Decider, host: str, licence: str) -> None:
    assert decider.decide(host.encode()).licence == licence


def test_reason_names_are_those_of_the_notice_page_and_metrics() -> None:
    assert [reason.value for reason in REASONS] == [
        "filed",
        "unfiled",
        "filed_elsewhere",
        "revoked",
        "suspended",
        "exempt",
        "ip_host",
        "no_host",
        "no_sni",
        "ech",
        "malformed",
        "timeout",
        "limit",
        "not_intercepted",
        "acme",
    ]
    assert [reason.code for reason in REASONS] == list(range(15))


def test_connections_without_a_name(decider: Decider) -> None:
    for verdict, reason in (
        (decider.no_host, Reason.NO_HOST),
        (decider.no_sni, Reason.NO_SNI),
        (decider.malformed, Reason.MALFORMED),
        (decider.timeout, Reason.TIMEOUT),
        (decider.limit, Reason.LIMIT),
        (decider.not_intercepted, Reason.NOT_INTERCEPTED),
    ):
        assert not verdict.allowed
        assert (verdict.reason, verdict.code, verdict.name) == (reason, reason.code, "")


def test_policy_on_ip_hosts_and_missing_sni(replica: Replica) -> None:
    decider = Decider(replica, policy=Policy(ip_hosts_allowed=True, no_sni_allowed=True))
    assert decider.decide(b"127.1").allowed
    assert decider.decide(b"[::1]").allowed
    assert decider.no_sni.allowed
    assert not decider.no_host.allowed
    assert not decider.decide(b"256.1.1.1").allowed  # malformed is no address
    decider.set_policy(Policy())
    assert not decider.decide(b"127.1").allowed
    assert not decider.no_sni.allowed


def test_a_hit_is_the_verdict_of_the_miss(decider: Decider) -> None:
    verdict = decider.decide(b"www.example.com")
    assert decider.stats.misses == 1
    assert decider.decide(b"www.example.com") is verdict
    assert decider.stats.misses == 1
    assert decider.stats.size == 1


def test_malformed_and_overlong_hosts_take_no_room(decider: Decider) -> None:
    for number in range(1000):
        decider.decide(f"bad host {number}".encode())
        decider.decide(f"{number}.".encode() + "ｅ".encode() * 110 + b".example.com")
    assert decider.stats.size == 0
    assert decider.stats.misses == 2000


def test_a_commit_counts_for_the_next_miss_and_an_invalidation_for_the_cached(
    replica: Replica, decider: Decider
) -> None:
    assert not decider.decide(b"a.new.com").allowed
    replica.apply([Change("new.com", Status.FILED)], epoch="e1", from_revision=1, to_revision=2)
    assert decider.decide(b"b.new.com").allowed
    assert not decider.decide(b"a.new.com").allowed
    assert decider.invalidate(["new.com"]) == 2
    assert decider.decide(b"a.new.com").allowed
    replica.apply([Change("new.com", Status.ABSENT)], epoch="e1", from_revision=2, to_revision=3)
    decider.invalidate(["new.com"])
    assert decider.decide(b"a.new.com").reason is Reason.REVOKED


def test_a_bulk_load_counts_after_a_clear(replica: Replica, decider: Decider) -> None:
    assert decider.decide(b"example.com").allowed
    replica.load([Filing("other.com", Status.FILED)], epoch="e2", revision=1)
    decider.clear()
    assert decider.decide(b"example.com").reason is Reason.REVOKED
    assert decider.decide(b"other.com").allowed


class TestOverrides:
    """What an operator decides beside the filings."""

    def put(self, replica: Replica, decider: Decider, *overrides: Override) -> None:
        for one in overrides:
            replica.set_override(one)
        decider.invalidate([one.domain for one in overrides])

    def test_an_exemption_covers_a_domain_and_all_names_below(
        self, replica: Replica, decider: Decider, clock: Clock
    ) -> None:
        assert not decider.decide(b"www.unfiled.com").allowed
        self.put(replica, decider, override("unfiled.com", EXEMPT, clock.now + 60))
        for host in (b"unfiled.com", b"www.unfiled.com", b"A.B.unfiled.com."):
            verdict = decider.decide(host)
            assert (verdict.allowed, verdict.reason, verdict.code, verdict.domain) == (
                True,
                Reason.EXEMPT,
                Reason.EXEMPT.code,
                "unfiled.com",
            )
        assert not decider.decide(b"notunfiled.com").allowed

    @pytest.mark.parametrize("host", ["elsewhere.com", "revoked.com", "suspended.com"])
    def test_an_exemption_lets_through_whatever_the_registry_says(
        self, replica: Replica, decider: Decider, clock: Clock, host: str
    ) -> None:
        self.put(replica, decider, override(host, EXEMPT, clock.now + 60))
        assert decider.decide(host.encode()).reason is Reason.EXEMPT

    def test_a_suspension_blocks_a_filed_domain(self, replica: Replica, decider: Decider) -> None:
        self.put(replica, decider, override("example.com", SUSPENDED))
        verdict = decider.decide(b"www.example.com")
        assert (verdict.allowed, verdict.reason) == (False, Reason.SUSPENDED)
        assert verdict.licence == "京ICP备12345678号-1"

    def test_an_override_that_changes_nothing_leaves_the_reason(
        self, replica: Replica, decider: Decider, clock: Clock
    ) -> None:
        self.put(
            replica,
            decider,
            override("example.com", EXEMPT, clock.now + 60),
            override("unfiled.com", SUSPENDED),
        )
        assert decider.decide(b"example.com").reason is Reason.FILED
        assert decider.decide(b"unfiled.com").reason is Reason.UNFILED

    def test_the_nearest_override_counts(
        self, replica: Replica, decider: Decider, clock: Clock
    ) -> None:
        self.put(
            replica,
            decider,
            override("example.com", SUSPENDED),
            override("shop.example.com", EXEMPT, clock.now + 60),
        )
        assert decider.decide(b"a.shop.example.com").reason is Reason.FILED
        assert decider.decide(b"example.com").reason is Reason.SUSPENDED
        assert decider.decide(b"notshop.example.com").reason is Reason.SUSPENDED

    def test_an_ended_override_makes_way_for_the_next(
        self, replica: Replica, decider: Decider, clock: Clock
    ) -> None:
        self.put(
            replica,
            decider,
            override("example.com", SUSPENDED),
            override("shop.example.com", EXEMPT, clock.now),
        )
        assert decider.decide(b"shop.example.com").reason is Reason.SUSPENDED

    def test_an_exemption_ends_at_its_time(
        self, replica: Replica, decider: Decider, clock: Clock
    ) -> None:
        self.put(
            replica,
            decider,
            override("unfiled.com", EXEMPT, clock.now + 60),
            override("later.com", EXEMPT, clock.now + 90),
        )
        assert decider.decide(b"www.unfiled.com").allowed
        assert decider.decide(b"later.com").allowed
        assert decider.next_expiry(clock.now) == clock.now + 60
        clock.now += 59
        assert decider.expire(clock.now) == 0
        assert decider.decide(b"www.unfiled.com").allowed
        clock.now += 1
        assert decider.expire(clock.now) == 1
        assert decider.decide(b"www.unfiled.com").reason is Reason.UNFILED
        assert decider.decide(b"later.com").allowed
        assert decider.next_expiry(clock.now) == clock.now + 30
        clock.now += 100
        decider.expire(clock.now)
        assert decider.decide(b"later.com").reason is Reason.UNFILED
        assert decider.next_expiry(clock.now) is None

    def test_a_suspension_can_end(self, replica: Replica, decider: Decider, clock: Clock) -> None:
        self.put(replica, decider, override("example.com", SUSPENDED, clock.now + 60))
        assert not decider.decide(b"example.com").allowed
        clock.now += 60
        decider.expire(clock.now)
        assert decider.decide(b"example.com").allowed

    def test_a_clock_that_goes_back_brings_an_exemption_back(
        self, replica: Replica, decider: Decider, clock: Clock
    ) -> None:
        self.put(replica, decider, override("unfiled.com", EXEMPT, clock.now + 60))
        clock.now += 3600
        decider.expire(clock.now)
        assert not decider.decide(b"unfiled.com").allowed
        clock.now -= 3600
        decider.expire(clock.now)
        assert decider.decide(b"unfiled.com").allowed
        clock.now += 60
        decider.expire(clock.now)
        assert not decider.decide(b"unfiled.com").allowed

    def test_a_removed_override_is_gone(
        self, replica: Replica, decider: Decider, clock: Clock
    ) -> None:
        self.put(replica, decider, override("unfiled.com", EXEMPT, clock.now + 60))
        assert decider.decide(b"unfiled.com").allowed
        assert replica.remove_override("unfiled.com")
        decider.invalidate(["unfiled.com"])
        assert not decider.decide(b"unfiled.com").allowed
        assert not replica.remove_override("unfiled.com")

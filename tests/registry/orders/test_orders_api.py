"""/v1/orders: every role over HTTP, an owner who reaches for another's, repeats, refusals."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gate.registry.commands import Grant, Role
from gate.registry.registry import LOCAL
from tests.registry.conftest import Answer, Api, serving
from tests.registry.orders.steps import filing


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """The API of a new registry, whose persons are reported by a gateway."""
    async with serving(database_url, tmp_path, orders={"sms": "reported"}) as api:
        yield api


def body(*domains: str, account: str | None = None, **more: Any) -> dict[str, Any]:
    """The request for a new order."""
    made: dict[str, Any] = {"entry": filing(*domains, **more).model_dump(mode="json")}
    return made if account is None else made | {"account": account}


async def owner(api: Api, account: str) -> dict[str, str]:
    """The headers of another account's owner."""
    _, text = api.service.registry.tokens.create(
        name=f"owner of {account}", role=Role.OWNER, actor=LOCAL, account=account
    )
    return {"Authorization": f"Bearer {text}"}


async def make(api: Api, *domains: str) -> int:
    """An order of account a1's owner; its number."""
    made = await api.call("POST", "/v1/orders", role=Role.OWNER, json=body(*domains))
    assert made.status == 201, made.json()
    return int(made.json()["id"])


async def test_an_order_goes_its_way_through_the_roles(api: Api) -> None:
    number = await make(api, "dnspod.cn")

    async def step(way: str, role: Role, **given: Any) -> dict[str, Any]:
        answer = await api.call("POST", f"/v1/orders/{number}/{way}", role=role, **given)
        assert answer.status == 200, answer.json()
        found: dict[str, Any] = answer.json()
        return found

    assert (await step("submit", Role.OWNER))["state"] == "provider_review"
    assert (await step("pass", Role.REVIEWER))["state"] == "sms"
    waiting = (await api.call("GET", "/v1/verifications", role=Role.VERIFIER)).json()
    assert [(w["order"], w["person"], w["phone"]) for w in waiting["items"]] == [
        (number, 1, "13800000000")
    ]
    report = {"person": 1, "verified": True}
    assert (await step("report", Role.VERIFIER, json=report))["state"] == "authority_review"
    without = await api.call("POST", f"/v1/orders/{number}/approve", role=Role.AUTHORITY, json={})
    assert (without.status, without.json()["code"]) == (422, "licences_required")
    found = await step("approve", Role.AUTHORITY, json={"licences": ["鲁ICP备09090609号-2"]})
    assert (found["state"], found["licence"]) == ("done", "鲁ICP备09090609号-2")
    events = (await api.call("GET", f"/v1/orders/{number}/events", role=Role.OWNER)).json()
    assert [event["state"] for event in events["items"]] == [
        *("draft", "provider_review", "sms", "sms", "authority_review", "done"),
    ]
    filed = await api.call("GET", "/v1/filings/dnspod.cn")
    assert filed.json()["status"] == "filed"


async def test_what_is_wrong_is_named_by_field_in_both_languages(api: Api) -> None:
    answer = await api.call("POST", "/v1/orders", role=Role.OWNER, json=body("com.cn"))
    problem = answer.json()
    assert (answer.status, answer.content_type) == (422, "application/problem+json")
    assert (problem["code"], problem["field"]) == ("domain_invalid", "items.0.domains.0")
    assert "公共后缀" in problem["zh"]
    number = await make(api, "a.cn")
    answer = await api.call("POST", f"/v1/orders/{number}/withdraw", role=Role.OWNER)
    assert (answer.status, answer.json()["code"]) == (409, "order_state")
    assert "提交" in answer.json()["zh"]
    assert "submit" in answer.json()["en"]


async def test_a_repeated_request_is_done_once(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    for again in (False, True):
        made = await api.call(
            "POST", "/v1/orders", role=Role.OWNER, json=body("a.cn"), headers=headers
        )
        assert (made.status, made.json()["id"]) == (201, 1)
        assert ("Idempotent-Replay" in made.headers) is again
    other = await api.call(
        "POST", "/v1/orders", role=Role.OWNER, json=body("b.cn"), headers=headers
    )
    assert other.json()["code"] == "key_reused"
    for _ in range(2):
        done = await api.call(
            "POST", "/v1/orders/1/submit", role=Role.OWNER, headers={"Idempotency-Key": "k2"}
        )
        assert (done.status, done.json()["state"]) == (200, "provider_review")
    again_ = await api.call("POST", "/v1/orders/1/submit", role=Role.OWNER)
    assert again_.json()["code"] == "order_state"


WAYS: dict[str, dict[str, Any] | None] = {
    "update": {"entry": {}},
    "submit": None,
    "abandon": None,
    "withdraw": None,
    "pass": None,
    "return": {"reason": "x"},
    "verify": {"person": 1, "code": "123456"},
    "resend": {"person": 1},
    "report": {"person": 1, "verified": True},
    "approve": {},
}


def same(found: Answer, unknown: Answer, number: int) -> bool:
    """Whether two refusals tell the same, but for the number that was asked for."""

    def told(answer: Answer, asked: int) -> dict[str, Any]:
        problem = {k: v for k, v in answer.json().items() if k != "request"}
        text = re.sub(rf"\b{asked}\b", "N", json.dumps(problem, ensure_ascii=False))
        return json.loads(text)  # type: ignore[no-any-return]

    return (found.status, told(found, number)) == (unknown.status, told(unknown, 987654321))


async def test_an_owner_who_reaches_for_another_s_order_finds_nothing(api: Api) -> None:
    """Whatever it asks, the answer is that of an order that is not there."""
    number = await make(api, "a.cn")
    thief = await owner(api, "a2")
    before = (await api.call("GET", f"/v1/orders/{number}")).json()
    for method, path, given in [
        ("GET", "/v1/orders/{}", None),
        ("GET", "/v1/orders/{}/events", None),
        *(("POST", f"/v1/orders/{{}}/{way}", given) for way, given in WAYS.items()),
    ]:
        found, unknown = [
            await api.call(method, path.format(n), headers=thief, json=given)
            for n in (number, 987654321)
        ]
        expected = 403 if path.endswith("report") else 404
        assert (found.status, same(found, unknown, number)) == (expected, True), path
    for query in ("", "?account=a1", "?target=a.cn", f"?account=a1&state={before['state']}"):
        listed = await api.call("GET", f"/v1/orders{query}", headers=thief)
        assert listed.json() == {"items": [], "next": None}
    made = await api.call("POST", "/v1/orders", headers=thief, json=body("b.cn", account="a1"))
    assert made.json()["code"] == "account_needed"
    assert (await api.call("GET", f"/v1/orders/{number}")).json() == before


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/filings", "/v1/filings/a.cn", "/v1/subjects/x", "/v1/applications", "/v1/audit"),
        *("/v1/changes?since=0", "/v1/snapshot", "/v1/export", "/v1/tokens", "/v1/head"),
        *("/v1/reports/unfiled", "/v1/followers", "/metrics", "/v1/verifications"),
    ],
)
async def test_an_owner_s_token_opens_nothing_else(api: Api, path: str) -> None:
    answer = await api.call("GET", path, role=Role.OWNER)
    assert (answer.status, answer.json()["code"]) == (403, "role_insufficient")


@pytest.mark.parametrize("role", [Role.OWNER, Role.VERIFIER])
async def test_no_filing_operation_is_open_to_it(api: Api, role: Role) -> None:
    operation = {"domain": "a.cn"}
    answer = await api.call("POST", "/v1/operations/cancel-service", role=role, json=operation)
    assert answer.status == 403
    token = {"name": "x", "role": "admin"}
    assert (await api.call("POST", "/v1/tokens", role=role, json=token)).status == 403


async def test_the_gateway_s_token_reads_no_orders(api: Api) -> None:
    number = await make(api, "a.cn")
    for path in ("/v1/orders", f"/v1/orders/{number}", f"/v1/orders/{number}/events"):
        assert (await api.call("GET", path, role=Role.VERIFIER)).status == 403


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"domains": "a.cn"}, "items.0.domains"),  # by the shape of a request
        ({"domains": ["com.cn"]}, "items.0.domains.0"),  # by what a domain may be
        ({"nonsense": 1}, "items.0.nonsense"),
        ({"principal": {"name": "张三", "phone": "none"}}, "items.0.principal.phone"),
    ],
)
async def test_a_field_has_one_name_whoever_refuses_it(
    api: Api, wrong: dict[str, Any], named: str
) -> None:
    asked = body("a.cn")
    asked["entry"]["items"][0] |= wrong
    answer = await api.call("POST", "/v1/orders", role=Role.OWNER, json=asked)
    assert (answer.status, answer.json()["field"]) == (422, named)


async def sub_user(api: Api, *grants: Grant) -> dict[str, str]:
    """The headers of a sub-user of account a1."""
    _, text = api.service.registry.tokens.create(
        name="sub", role=Role.OWNER, actor=LOCAL, account="a1", grants=frozenset(grants)
    )
    return {"Authorization": f"Bearer {text}"}


async def test_who_may_not_see_an_order_learns_its_state_alone_from_a_step(api: Api) -> None:
    maker = await sub_user(api, Grant.EDIT)
    once = maker | {"Idempotency-Key": "one"}
    draft = {"id": 1, "state": "draft", "state_zh": "草稿"}
    for _ in range(2):  # the repeat tells no more than the first
        made = await api.call("POST", "/v1/orders", headers=once, json=body("a.cn"))
        assert (made.status, made.json()) == (201, draft)
    changed = await api.call("POST", "/v1/orders/1/update", headers=maker, json=body("b.cn"))
    assert changed.json() == draft
    sender = await sub_user(api, Grant.SUBMIT)
    sent = await api.call("POST", "/v1/orders/1/submit", headers=sender)
    assert sent.json() == {"id": 1, "state": "provider_review", "state_zh": "初审"}
    assert (await api.call("POST", "/v1/orders/1/pass", role=Role.REVIEWER)).json()["domains"]
    report = {"person": 1, "verified": False}
    told = await api.call("POST", "/v1/orders/1/report", role=Role.VERIFIER, json=report)
    assert set(told.json()) == {"id", "state", "state_zh"}
    seeing = await sub_user(api, Grant.VIEW, Grant.SUBMIT)
    ended = await api.call("POST", "/v1/orders/1/withdraw", headers=seeing)
    assert ended.json()["domains"] == ["b.cn"]


async def test_a_sub_user_s_token_does_what_was_granted_and_ends(api: Api) -> None:
    number = await make(api, "a.cn")
    made = await api.call(
        "POST", "/v1/account/users", role=Role.OWNER, json={"name": "李四", "grants": ["submit"]}
    )
    assert (made.status, made.json()["info"]["account"]) == (201, "a1")
    sub = {"Authorization": f"Bearer {made.json()['token']}"}
    seen = await api.call("GET", f"/v1/orders/{number}", headers=sub)
    assert seen.json()["code"] == "grant_missing"
    other = await api.call(
        "POST", "/v1/account/users", headers=sub, json={"name": "x", "grants": ["view", "edit"]}
    )
    assert other.status == 403
    done = await api.call("POST", f"/v1/orders/{number}/submit", headers=sub)
    assert done.json() == {"id": number, "state": "provider_review", "state_zh": "初审"}
    events = (await api.call("GET", f"/v1/orders/{number}/events")).json()["items"]
    assert events[-1]["actor"].startswith("李四 (")
    users = (await api.call("GET", "/v1/account/users", role=Role.OWNER)).json()["items"]
    assert sorted(user["name"] for user in users) == ["owner", "李四"]
    token = made.json()["info"]["id"]
    thief = await owner(api, "a2")
    gone = await api.call("DELETE", f"/v1/account/users/{token}", headers=thief)
    assert gone.status == 404
    own = next(user["id"] for user in users if user["name"] == "owner")
    gone = await api.call("DELETE", f"/v1/account/users/{own}", role=Role.OWNER)
    assert gone.status == 404  # the account's own token is the provider's to end
    gone = await api.call("DELETE", f"/v1/account/users/{token}", role=Role.OWNER)
    assert gone.status == 204
    assert (await api.call("GET", "/v1/orders", headers=sub)).status == 401


@pytest.mark.programs
async def test_wrong_codes_are_counted_although_they_are_refused(
    database_url: str, tmp_path: Path
) -> None:
    async with serving(database_url, tmp_path) as api:
        number = await make(api, "a.cn")
        await api.call("POST", f"/v1/orders/{number}/submit", role=Role.OWNER)
        await api.call("POST", f"/v1/orders/{number}/pass", role=Role.REVIEWER)
        await api.service.write(api.service.registry.sweep)
        for left in (4, 3, 2, 1, 0):
            answer = await api.call(
                "POST",
                f"/v1/orders/{number}/verify",
                role=Role.OWNER,
                json={"person": 1, "code": "000000"},
            )
            if answer.status == 200:
                pytest.skip("000000 was the code, by chance")
            assert answer.json()["code"] == "code_wrong"
            assert f" {left} " in answer.json()["en"]
        found = await api.call("GET", f"/v1/orders/{number}", role=Role.OWNER)
        assert found.json()["state"] == "returned"


@pytest.mark.programs
async def test_a_wrong_code_that_comes_again_is_answered_whoever_the_order_names_by_then(
    database_url: str, tmp_path: Path
) -> None:
    two = filing("a.cn").model_dump(mode="json")
    two["items"][0]["principal"] = {"name": "李四", "phone": "13800000001"}
    async with serving(database_url, tmp_path, orders={"sms_tries": 1}) as api:

        async def step(way: str, role: Role, **given: Any) -> Answer:
            return await api.call("POST", f"/v1/orders/1/{way}", role=role, **given)

        await api.call("POST", "/v1/orders", role=Role.OWNER, json={"entry": two})
        await step("submit", Role.OWNER)
        await step("pass", Role.REVIEWER)
        await api.service.write(api.service.registry.sweep)
        wrong = {"json": {"person": 2, "code": "000000"}, "headers": {"Idempotency-Key": "k"}}
        first = await step("verify", Role.OWNER, **wrong)
        if first.status == 200:
            pytest.skip("000000 was the code, by chance")
        await step("update", Role.OWNER, json=body("a.cn"))
        await step("submit", Role.OWNER)
        await step("pass", Role.REVIEWER)
        again = await step("verify", Role.OWNER, **wrong)
        assert (again.status, again.json()["code"]) == (422, "code_wrong")


async def test_lists_have_pages_and_filters(api: Api) -> None:
    for account in ("b1", "b2", "b3"):
        made = await api.call(
            "POST",
            "/v1/orders",
            json=body(f"{account}.cn", account=account, certificate=account),
        )
        assert made.status == 201
    seen: list[int] = []
    path = "/v1/orders?limit=2"
    while path:
        page = (await api.call("GET", path)).json()
        seen += [item["id"] for item in page["items"]]
        path = f"/v1/orders?limit=2&cursor={page['next']}" if page["next"] else ""
    assert seen == [3, 2, 1]
    for query, numbers in (
        ("account=b2", [2]),
        ("state=draft", [3, 2, 1]),
        ("state=done", []),
        ("type=first_filing", [3, 2, 1]),
        ("target=b3.cn", [3]),
        ("overdue=true", []),
        ("open=true", [3, 2, 1]),
        ("open=false", []),
    ):
        page = (await api.call("GET", f"/v1/orders?{query}")).json()
        assert [item["id"] for item in page["items"]] == numbers, query

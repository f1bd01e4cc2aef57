"""`policy.acme_http`: what a certificate authority asks of a name that is not filed yet."""

from __future__ import annotations

import json

import pytest

from tests.harness import filings
from tests.harness.client import get, request
from tests.harness.planes import Plane
from tests.harness.stage import Stage, Stages
from tests.harness.waiting import wait_for

TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
CHALLENGE = f"/.well-known/acme-challenge/{TOKEN}"
PER_NAME = 8
"""Challenges of one name that a worker lets through in a minute."""


@pytest.fixture
def open_stage(stages: Stages, plane: Plane) -> Stage:
    """A gate that lets challenges through, and writes no line on other passes."""
    return stages.on(
        "acme", plane, policy={"acme_http": "allow"}, limits={"acme_per_name": PER_NAME}
    )


def passed(stage: Stage) -> float:
    return stage.gate.decisions(reason="acme")


def test_it_is_off_unless_the_settings_say_so(stage: Stage) -> None:
    assert stage.ask(get(filings.UNFILED, CHALLENGE)).status == 302
    assert passed(stage) == 0


@pytest.mark.parametrize("host", [filings.UNFILED, "www." + filings.ELSEWHERE])
@pytest.mark.parametrize("behind", [False, True], ids=["first", "behind-another"])
def test_a_challenge_reaches_the_origin(
    open_stage: Stage, path: str, host: str, behind: bool
) -> None:
    before, arrived = passed(open_stage), len(open_stage.origin.about(CHALLENGE))
    with open_stage.http() as client:
        if behind:
            assert client.ask(get(filings.FILED, path)).status == 200
        assert client.ask(get(host, CHALLENGE)).status == 200
        # What comes next on the connection is judged by itself.
        assert client.ask(get(host, path + "hidden")).status == 302
    assert passed(open_stage) == before + 1
    assert len(open_stage.origin.about(CHALLENGE)) == arrived + 1
    assert open_stage.origin.about(path + "hidden") == []


REFUSED = {
    "another path": get(filings.UNFILED, f"/x{CHALLENGE}"),
    "a path that leads out of it": get(filings.UNFILED, "/.well-known/acme-challenge/../shop"),
    "a path below it": get(filings.UNFILED, CHALLENGE + "/shop"),
    "a query": get(filings.UNFILED, CHALLENGE + "?page=shop"),
    "no token": get(filings.UNFILED, "/.well-known/acme-challenge/"),
    "a token that anyone could guess": get(filings.UNFILED, CHALLENGE[:-30]),
    "a token of other letters": get(filings.UNFILED, CHALLENGE + "%2e"),
    "another method": request("POST", filings.UNFILED, CHALLENGE),
    "HEAD": request("HEAD", filings.UNFILED, CHALLENGE),
    "a body": request("GET", filings.UNFILED, CHALLENGE, "Content-Length: 2", body=b"hi"),
    "an upgrade": get(
        filings.UNFILED,
        CHALLENGE,
        *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "a name that was revoked": get(filings.REVOKED, CHALLENGE),
    "a name that an operator suspended": get(filings.STOPPED, CHALLENGE),
    "a name that the registry suspended": get(filings.SUSPENDED, CHALLENGE),
    "an address": get("127.0.0.1", CHALLENGE),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
def test_nothing_else_passes_by_it(open_stage: Stage, request_: bytes) -> None:
    before = passed(open_stage)
    with open_stage.http() as client:
        client.send(request_)
        assert client.read_to_end().startswith(b"HTTP/1.1 302 ")
    assert passed(open_stage) == before


def test_a_filed_name_passes_as_filed(open_stage: Stage) -> None:
    before = passed(open_stage)
    assert open_stage.ask(get(filings.FILED, CHALLENGE)).status == 200
    assert passed(open_stage) == before


def test_a_name_has_so_many_a_minute_and_is_blocked_beyond(open_stage: Stage) -> None:
    name = f"often.{filings.UNFILED}"
    statuses: list[int] = []
    before = open_stage.gate.total("gate_acme_refused_total", bound="name")
    with open_stage.http() as client:  # all at one worker
        while len(statuses) < 2 * PER_NAME + 1 and 302 not in statuses:  # two minutes at most
            statuses.append(client.ask(get(name, CHALLENGE)).status)
    assert statuses[PER_NAME - 1 :].count(302) == 1, statuses
    assert len(open_stage.origin.about(CHALLENGE)) >= PER_NAME
    assert open_stage.gate.total("gate_acme_refused_total", bound="name") == before + 1
    assert open_stage.ask(get(f"seldom.{filings.UNFILED}", CHALLENGE)).status == 200


def test_each_challenge_is_a_line_and_the_option_is_in_the_audit_log(open_stage: Stage) -> None:
    name = f"lines.{filings.UNFILED}"
    assert open_stage.ask(get(name, CHALLENGE)).status == 200
    wait_for(lambda: f"pass acme {name}" in open_stage.gate.log.read_text(), "the line")
    lines = (open_stage.gate.directory / "audit.jsonl").read_text().splitlines()
    noted = [json.loads(line) for line in lines]
    assert [(e["action"], e["target"]) for e in noted if e["actor"] == "settings"] == [
        ("allow", "policy.acme_http")
    ]

"""Rows of enforcement.md, HTTP, filed: what an origin is told of the client, by each setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.certificates import Certificates
from tests.harness.client import get
from tests.harness.http_origin import SeenRequest
from tests.harness.stage import Stage

CLAIMS = (
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: cdn.example",
    "Forwarded: for=6.6.6.6;proto=https",
    "X-Real-IP: 6.6.6.6",
    "Client-IP: 6.6.6.6",
    "True-Client-IP: 6.6.6.6",
    "Via: 1.1 cdn",
)
NAMES = [claim.partition(":")[0].lower() for claim in CLAIMS]
Stages = Callable[..., Stage]


@pytest.fixture(scope="module")
def stages(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Stages]:
    started: dict[str, Stage] = {}

    def start(**upstreams: Any) -> Stage:
        key = repr(upstreams)
        if key not in started:
            folder = tmp_path_factory.mktemp("fields")
            started[key] = Stage(folder, certificates, workers=1, upstreams=upstreams)
        return started[key]

    yield start
    for stage in started.values():
        stage.close()


def seen(stage: Stage, path: str, *claims: str, listener: str = "http") -> SeenRequest:
    assert stage.ask(get("www.filed.com", path, *claims), listener=listener).status == 200
    (exchange,) = stage.origin.about(path)
    return exchange


def values(exchange: SeenRequest) -> dict[str, str | None]:
    return {name: exchange.value(name) for name in NAMES}


def test_by_default_what_a_cdn_said_of_its_client_arrives(stages: Stages, path: str) -> None:
    """Most of all that its client spoke https: a host would else redirect to https for ever."""
    exchange = seen(stages(), path, *CLAIMS)
    assert values(exchange) == {
        "x-forwarded-for": "6.6.6.6, 127.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "cdn.example",
        "forwarded": "for=6.6.6.6;proto=https, for=127.0.0.1",
        "x-real-ip": "6.6.6.6",
        "client-ip": "6.6.6.6",
        "true-client-ip": "6.6.6.6",
        "via": "1.1 cdn",
    }
    assert exchange.value("x-forwarded-port") == "443"


def test_by_default_what_nobody_said_is_set(stages: Stages, path: str) -> None:
    exchange = seen(stages(), path)
    assert values(exchange) == dict.fromkeys(NAMES) | {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "www.filed.com",
    }
    assert exchange.value("x-forwarded-port") == "80"


@pytest.mark.parametrize("claims", [CLAIMS, ()])
def test_replaced_fields_are_the_gates_own(
    stages: Stages, path: str, claims: tuple[str, ...]
) -> None:
    exchange = seen(stages(forwarded="replace"), path, *claims)
    assert values(exchange) == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "www.filed.com",
        "forwarded": "for=127.0.0.1;proto=http",
        "x-real-ip": "127.0.0.1",
        "client-ip": "127.0.0.1",
        "true-client-ip": "127.0.0.1",
        "via": "1.1 cdn" if claims else None,
    }


def test_the_word_of_a_network_that_is_believed_is_not_replaced(stages: Stages, path: str) -> None:
    stage = stages(forwarded="replace", forwarded_from=["127.0.0.1/32"])
    exchange = seen(stage, path, *CLAIMS)
    assert exchange.value("x-forwarded-proto") == "https"
    assert exchange.value("x-real-ip") == "6.6.6.6"


def test_whose_word_counts_is_told_by_the_address_in_a_proxy_header(
    stages: Stages, path: str
) -> None:
    stage = stages(forwarded="replace", forwarded_from=["127.0.0.1/32"])
    header = b"PROXY TCP4 203.0.113.9 127.0.0.1 1000 80\r\n"
    with stage.http("http-proxied", source="127.0.0.2") as client:
        client.send(header)
        assert client.ask(get("www.filed.com", path, *CLAIMS)).status == 200
    (exchange,) = stage.origin.about(path)
    assert exchange.value("x-forwarded-for") == "203.0.113.9"
    assert exchange.value("x-forwarded-proto") == "http"


@pytest.mark.parametrize("claims", [CLAIMS, ()])
def test_off_adds_and_changes_nothing(stages: Stages, path: str, claims: tuple[str, ...]) -> None:
    exchange = seen(stages(forwarded="off"), path, *claims)
    said = {name.lower(): value for name, _, value in (claim.partition(": ") for claim in claims)}
    assert values(exchange) == dict.fromkeys(NAMES) | said
    assert exchange.value("x-forwarded-port") is None


@pytest.mark.parametrize(
    ("via", "claim", "asked", "answered"),
    [
        (False, None, None, None),
        (False, "Via: 1.0 fred", "1.0 fred", None),
        (True, None, "1.1 gate", "1.1 gate"),
        (True, "Via: 1.0 fred", "1.0 fred, 1.1 gate", "1.1 gate"),
    ],
)
def test_via_names_the_gate_where_the_setting_asks_for_it(
    stages: Stages, path: str, via: bool, claim: str | None, asked: str | None, answered: str | None
) -> None:
    stage = stages(via=True) if via else stages()
    response = stage.ask(get("www.filed.com", path, *([claim] if claim else [])))
    (exchange,) = stage.origin.about(path)
    assert (exchange.value("via"), response.field("via")) == (asked, answered)

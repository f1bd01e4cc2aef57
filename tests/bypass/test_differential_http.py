"""Differential test: what real servers understand of what the gate lets through.

Every input of the tables, and seeded mutations of them, goes through the gate to nginx,
Apache, Node, Go and Python's http.server, each made as lax as it can be. None may ever
understand a request whose host the gate did not judge: each request in their logs must name a
filed host, must carry the gate's own Via and X-Forwarded-Host, and there may be no more of
them than the gate passed. After each input a plain request must get its own answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.filings import Change, Status
from gate.replica import Replica
from tests.bypass import test_host_tricks, test_smuggling
from tests.bypass.origins import RealOrigin, start_all
from tests.e2e import test_http_refusals
from tests.harness.client import Client, get
from tests.harness.gate_process import Gate, listener

MUTATIONS = 400
PLACEHOLDER = b"filed.com"


def tables() -> list[bytes]:
    """All inputs of the other suites, as bytes with `filed.com` and `{p}` in them."""
    cases = [
        case.data.encode("latin-1")
        for rows in (
            test_host_tricks.WRITTEN_FORMS,
            test_host_tricks.FIELD_FORMS,
            test_host_tricks.TARGETS,
            test_smuggling.BOTH_FRAMINGS,
            test_smuggling.LENGTHS,
            test_smuggling.CHUNKS,
            test_smuggling.TURNS,
        )
        for case in rows.values()
    ]
    cases += [
        text.encode("utf-8", "surrogateescape") for text in test_http_refusals.MALFORMED.values()
    ]
    head = "POST {p} HTTP/1.1\r\nHost: filed.com\r\nTransfer-Encoding: chunked\r\n\r\n"
    cases += [
        (head + text).encode("utf-8", "surrogateescape")
        for text in test_http_refusals.BAD_CHUNKS.values()
    ]
    return cases


# What mutations put in: pieces that HTTP implementations are known to disagree about.
PIECES = (
    b"\r\n", b"\n", b"\r", b"\r\r\n", b" ", b"\t", b"\x00", b"\x0b", b"\x0c", b"\x85", b"\xa0",
    b":", b",", b";", b"0", b"1", b"+", b"-", b"x", b"\xff", b"\xc2\xa0", b"\xe2\x80\xa8",
    b"Host: unfiled.com\r\n", b"\r\nHost: unfiled.com", b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", b"chunked", b"0\r\n\r\n", b"5\r\n",
    b"GET /x HTTP/1.1\r\nHost: unfiled.com\r\n\r\n", b" HTTP/1.1\r\n", b"http://unfiled.com",
    b"Connection: close\r\n", b"Connection: Host\r\n", b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"@unfiled.com", b".unfiled.com",
)  # fmt: skip


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Between one and four small changes; the placeholder host is put back where it broke."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(6)
        if kind <= 2:
            changed[at:at] = rng.choice(PIECES)
        elif kind == 3:
            del changed[at : at + rng.randint(1, 3)]
        elif kind == 4:
            changed[at : at + 1] = rng.choice(PIECES)
        else:
            end = min(len(changed), at + rng.randint(1, 40))
            changed[at:at] = changed[at:end]
    return bytes(changed)


class Field:
    """The gate, with one filed name for each origin."""

    def __init__(self, folder: Path) -> None:
        self.origins = start_all(folder)
        (folder / "gate").mkdir()
        names = sorted(origin.host for origin in self.origins)
        with Replica.open(folder / "gate" / "replica", writable=True) as replica:
            replica.load((), epoch="differential", revision=1)
            changes = [Change(name, Status.FILED, "", 1) for name in names]
            replica.apply(changes, epoch="differential", from_revision=1, to_revision=2)
        routes = [
            {"match": match, "upstream": {"http": [origin.address]}}
            for origin in self.origins
            for match in (origin.host, "." + origin.host)
        ]
        self.gate = Gate(
            folder / "gate",
            {
                "workers": 1,
                "process": {"drain_seconds": 0},
                "listeners": [listener("http", "http")],
                "limits": {"head_seconds": 2, "body_idle_seconds": 2},
                # So that each request in a server's log shows that the gate wrote it.
                "upstreams": {
                    "response_timeout": 2,
                    "routes": routes,
                    "forwarded": "replace",
                    "via": True,
                },
            },
        ).start()

    def attack(self, origin: RealOrigin, data: bytes, number: int) -> None:
        """Send one input, then a plain request that must get its own answer."""
        data = data.replace(b"{p}", b"/n%d" % number).replace(PLACEHOLDER, origin.host.encode())
        with Client(self.gate.ports["http"]) as client:
            try:
                client.send(data)
                client.finish()
                client.read_to_end()
            except OSError:
                pass  # refused before all was written
        target = f"/plain-{number}"
        with Client(self.gate.ports["http"]) as client:
            answer = client.ask(get(origin.host, target))
        assert answer.status in (200, 204), (origin.name, data, answer)
        assert target in (answer.field("x-seen") or ""), (origin.name, data, answer)

    def close(self) -> None:
        self.gate.stop()
        for origin in self.origins:
            origin.close()


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    made = Field(tmp_path_factory.mktemp("differential"))
    try:
        yield made
    finally:
        made.close()


def check_logs(field: Field) -> None:
    seen = 0
    for origin in field.origins:
        for sighting in origin.sightings():
            seen += 1
            host = sighting.host.lower().partition(":")[0].removesuffix(".")
            assert host == origin.host or host.endswith("." + origin.host), sighting
            assert sighting.via.rpartition(",")[2].strip().startswith("1."), sighting
            assert sighting.forwarded_host.lower().startswith(host), sighting
    passed = field.gate.decisions(reason="filed")
    assert 0 < seen <= passed, f"{seen} requests were seen, {passed:g} were passed"


def test_inputs_of_the_tables(field: Field) -> None:
    for number, data in enumerate(tables()):
        for origin in field.origins:
            field.attack(origin, data, number)
    check_logs(field)


def test_mutations(field: Field) -> None:
    rng = random.Random(20240601)
    inputs = tables()
    for number in range(MUTATIONS):
        data = mutate(rng, rng.choice(inputs))
        for origin in field.origins:
            field.attack(origin, data, 10_000 + number)
    check_logs(field)

"""Access lines of the real program: one for a decision, and no more of the client than is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.worker.access_log import FIELDS
from tests.harness.client import Client, get
from tests.harness.gate_process import Gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.operating import access_lines, change
from tests.harness.running import fill, new_gate, status_of
from tests.harness.waiting import wait_for


@pytest.fixture
def origin() -> Iterator[HttpOrigin]:
    origin = HttpOrigin()
    yield origin
    origin.close()


def logging_gate(directory: Path, origin: HttpOrigin, **access: Any) -> Gate:
    """A running gate of one worker that logs JSON."""
    log = {"format": "json", "access": access}
    gate = new_gate(directory, origin.address, workers=1, log=log)
    fill(gate)
    return gate.start()


def test_a_blocked_request_has_one_line_with_the_documented_fields(
    tmp_path: Path, origin: HttpOrigin
) -> None:
    gate = logging_gate(tmp_path, origin)
    try:
        status_of(gate, "www.example.org")
        status_of(gate, "example.com")  # allowed: no line unless sampled
        wait_for(lambda: access_lines(gate.log), "the line")
    finally:
        gate.stop()
    (line,) = access_lines(gate.log)
    assert set(line) <= set(FIELDS)
    assert (line["verdict"], line["reason"], line["name"]) == (
        "block",
        "unfiled",
        "www.example.org",
    )
    assert (line["listener"], line["scheme"], line["client"]) == ("http", "http", "127.0.0.1")


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (b"\x16\x02\x00\x00\x05hello", "bad_version"),
        (b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00", "sslv2"),
        (b"\x16\x03\x01", "truncated"),
    ],
)
def test_the_line_on_a_malformed_hello_says_what_was_wrong(
    tmp_path: Path, origin: HttpOrigin, sent: bytes, fault: str
) -> None:
    gate = logging_gate(tmp_path, origin)
    try:
        with Client(gate.ports["http"]) as client:  # TLS is told there, too
            client.send(sent)
            client.finish()
            client.expect_closed()
    finally:
        gate.stop()
    (line,) = access_lines(gate.log)
    assert set(line) <= set(FIELDS)
    assert (line["verdict"], line["reason"], line["fault"]) == ("block", "malformed", fault)


def test_the_lines_of_one_connection_share_its_name(tmp_path: Path, origin: HttpOrigin) -> None:
    gate = logging_gate(tmp_path, origin, sample=1)
    try:
        with Client(gate.ports["http"]) as client:
            assert client.ask(get("example.com", "/1")).status == 200
            assert client.ask(get("www.example.com", "/2")).status == 200
            assert client.ask(get("example.org", "/3")).status == 302
        status_of(gate, "example.org")
    finally:
        gate.stop()
    first, second, third, other = access_lines(gate.log)
    assert first["connection"] == second["connection"] == third["connection"]
    assert other["connection"] != first["connection"]
    assert [line["verdict"] for line in (first, third)] == ["pass", "block"]


def test_what_is_over_the_limit_is_told_as_a_number(tmp_path: Path, origin: HttpOrigin) -> None:
    gate = logging_gate(tmp_path, origin, per_second=5)
    try:
        for _ in range(60):
            status_of(gate, "example.org")
    finally:
        gate.stop()
    lines = access_lines(gate.log)
    written = [line for line in lines if line["event"] == "decision"]
    told = sum(line["count"] for line in lines if line["event"] == "suppressed")
    assert len(written) + told == 60
    assert told > 0


@pytest.mark.parametrize(("client", "shown"), [("network", "127.0.0.0/24"), ("none", None)])
def test_a_clients_address_is_cut_or_left_out(
    tmp_path: Path, origin: HttpOrigin, client: str, shown: str | None
) -> None:
    gate = logging_gate(tmp_path, origin, client=client)
    try:
        status_of(gate, "example.org")
    finally:
        gate.stop()
    (line,) = access_lines(gate.log)
    assert line.get("client") == shown
    assert "127.0.0.1" not in str(line)


def test_a_level_above_info_silences_the_lines_at_once(tmp_path: Path, origin: HttpOrigin) -> None:
    gate = logging_gate(tmp_path, origin)
    try:
        change(gate, "PUT", "/v1/log-level", {"level": "warning"})
        status_of(gate, "example.org")
    finally:
        gate.stop()
    assert access_lines(gate.log) == []

"""Lines on decisions: their fields are the documented ones, and clients are cut as is asked."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from gate.policy import Reason, Verdict, nameless
from gate.worker.access_log import CLIENT, FIELDS, ConsoleLines, Decision, JsonLines


def decision(*, allowed: bool = False, passed: bool = False, client: str = "192.0.2.7") -> Decision:
    reason = Reason.FILED if allowed else Reason.UNFILED
    verdict = Verdict(allowed, reason, reason.code, "www.a.cn", "a.cn" if allowed else "")
    sample = 0.5 if allowed else None
    return Decision(
        1700000000.25, "ab-tls-7", "tls", "tls", client, verdict, passed or allowed, sample
    )


def test_a_line_says_where_a_connection_was_addressed_to() -> None:
    told = replace(decision(), destination="203.0.113.9:443")
    assert json.loads(JsonLines(71, 1).decision(told))["destination"] == "203.0.113.9:443"
    assert b" from 192.0.2.7 to 203.0.113.9:443 on tls" in ConsoleLines().decision(told)


def test_a_json_line_has_the_documented_fields_in_their_order() -> None:
    line = JsonLines(71, 1).decision(decision(allowed=True))
    assert line.endswith(b"\n")
    entry = json.loads(line)
    assert list(entry) == [name for name in FIELDS if name not in ("count", "fault", "destination")]
    assert entry["time"] == "2023-11-14T22:13:20.250Z"
    assert (entry["process"], entry["worker"], entry["connection"]) == (71, 1, "ab-tls-7")
    assert (entry["verdict"], entry["reason"], entry["domain"]) == ("pass", "filed", "a.cn")


def test_a_line_on_what_is_malformed_says_what_was_wrong() -> None:
    told = replace(decision(), verdict=nameless(Reason.MALFORMED, fault="two_names"))
    entry = json.loads(JsonLines(71, 1).decision(told))
    assert list(entry) == [
        name for name in FIELDS if name not in ("count", "sample", "destination")
    ]
    assert (entry["reason"], entry["fault"], entry["name"]) == ("malformed", "two_names", "")
    assert b": block malformed (two_names) - from 192.0.2.7 on tls" in ConsoleLines().decision(told)


def test_a_suppressed_line_has_a_count() -> None:
    entry = json.loads(JsonLines(71, 1).suppressed(1700000000.0, 12))
    assert (entry["event"], entry["count"]) == ("suppressed", 12)
    assert set(entry) <= set(FIELDS)


@pytest.mark.parametrize(
    ("allowed", "passed", "outcome"),
    [(True, True, "pass"), (False, False, "block"), (False, True, "monitor")],
)
def test_the_verdict_says_what_became_of_the_visitor(
    allowed: bool, passed: bool, outcome: str
) -> None:
    line = JsonLines(1, 0).decision(decision(allowed=allowed, passed=passed))
    assert json.loads(line)["verdict"] == outcome


def test_a_console_line_is_for_people() -> None:
    line = ConsoleLines().decision(decision()).decode()
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d info    gate\.access: block unfiled www\.a\.cn from 192\.0\.2\.7 "
        r"on tls tls \[ab-tls-7\]\n",
        line,
    )


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
    ],
)
def test_a_client_is_shown_whole_or_as_a_network_or_not_at_all(address: str, network: str) -> None:
    assert CLIENT["full"](address) == address
    assert CLIENT["network"](address) == network
    assert CLIENT["none"](address) == ""


def test_a_client_that_is_left_out_leaves_no_field() -> None:
    assert "client" not in json.loads(JsonLines(1, 0).decision(decision(client="")))
    assert " from " not in ConsoleLines().decision(decision(client="")).decode()

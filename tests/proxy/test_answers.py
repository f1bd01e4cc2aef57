"""The responses that the gate gives by itself."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest

from gate.policy import Reason, Verdict
from gate.proxy.http.answers import Answers
from gate.settings import Notice
from gate.wire.http1 import ResponseHead, ResponseParser


def parsed(response: bytes) -> tuple[ResponseHead, dict[str, str], bytes]:
    head = ResponseParser().parse(response)
    assert head is not None
    lines = response[: head.consumed].decode("ascii").split("\r\n")[1:-2]
    fields = dict(line.split(": ", 1) for line in lines)
    return head, fields, response[head.consumed :]


def blocked(name: str, reason: Reason = Reason.UNFILED) -> Verdict:
    return Verdict(False, reason, reason.code, name)


@pytest.mark.parametrize(
    ("notice", "name", "reason", "location"),
    [
        (Notice(url="https://n.cn/"), "a.cn", Reason.UNFILED, "https://n.cn/?domain=a.cn&reason=unfiled"),
        (Notice(url="https://n.cn/?v=1"), "a.cn", Reason.REVOKED, "https://n.cn/?v=1&domain=a.cn&reason=revoked"),
        (Notice(url="https://n.cn/", with_query=False), "a.cn", Reason.UNFILED, "https://n.cn/"),
        (Notice(url="https://n.cn/"), "_a.b.cn", Reason.UNFILED, "https://n.cn/?domain=_a.b.cn&reason=unfiled"),
        (Notice(url="https://n.cn/"), "[::1]", Reason.IP_HOST, "https://n.cn/?domain=%5B%3A%3A1%5D&reason=ip_host"),
        (Notice(url="https://n.cn/"), "", Reason.NO_HOST, "https://n.cn/?domain=&reason=no_host"),
    ],
)  # fmt: skip
def test_location_is_the_page_with_domain_and_reason_encoded(
    notice: Notice, name: str, reason: Reason, location: str
) -> None:
    head, fields, body = parsed(Answers(notice).redirect(blocked(name, reason)))
    assert head.status == 302
    assert fields["Location"] == location
    assert fields["Cache-Control"] == "no-store"
    assert fields["Connection"] == "close"
    assert body == b""


def test_answers_are_dated(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(Notice())
    for now in (1_700_000_000.9, 1_700_000_001.0, 1_600_000_000.0):  # the clock may go back
        monkeypatch.setattr("gate.proxy.http.answers.time", lambda now=now: now)
        for response in (answers.redirect(blocked("a.cn")), answers.refusal(400, "bad")):
            _, fields, _ = parsed(response)
            assert parsedate_to_datetime(fields["Date"]).timestamp() == int(now)
    assert time.time() > 1_700_000_001


def test_a_refusal_says_what_was_wrong_and_frames_its_text() -> None:
    head, fields, body = parsed(Answers(Notice()).refusal(400, "two Hosts, 备"))
    assert head.status == 400
    assert body.decode() == "400 Bad Request: two Hosts, 备\n"
    assert int(fields["Content-Length"]) == len(body)
    assert fields["Connection"] == "close"

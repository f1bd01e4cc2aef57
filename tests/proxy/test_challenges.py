"""ACME challenges of names without a filing: how many pass in a minute."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from gate.policy import Decider, Policy, Reason
from gate.proxy.http import challenges
from gate.proxy.http.challenges import Challenges
from gate.replica import Replica
from gate.settings import Limits
from gate.wire.http1 import RequestParser

PATH = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"


class Asker:
    """Somebody who asks for names, at a time that the test sets."""

    def __init__(self, replica: Replica) -> None:
        self.refused: Counter[str] = Counter()
        self._decider = Decider(replica, policy=Policy(acme_allowed=True))
        limits = Limits(acme_per_name=2, acme_per_address=3)
        self._challenges = Challenges(self._decider, limits, self.refused)

    def ask(self, name: str, address: str = "192.0.2.1", now: float = 0.0) -> bool:
        """Whether a challenge passes."""
        raw = f"GET {PATH} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
        head = RequestParser().parse(raw)
        assert head is not None
        verdict = self._decider.decide_request(head.host)
        verdict = self._challenges.judge(head, verdict, address, now)
        assert verdict.reason is (Reason.ACME if verdict.allowed else Reason.UNFILED)
        return verdict.allowed


@pytest.fixture
def asker(tmp_path: Path) -> Asker:
    return Asker(Replica.open(tmp_path / "replica", writable=True))


def test_a_name_has_its_bound_whoever_asks(asker: Asker) -> None:
    asked = [asker.ask("a.cn", f"192.0.2.{n}") for n in range(4)]
    assert asked == [True, True, False, False]
    assert asker.ask("b.cn", "192.0.2.9")
    assert asker.refused == {"name": 2}


def test_an_address_has_its_bound_whatever_it_asks_for(asker: Asker) -> None:
    assert [asker.ask(f"{n}.cn") for n in range(5)] == [True, True, True, False, False]
    assert asker.ask("4.cn", "192.0.2.9")
    assert asker.refused == {"address": 2}


def test_all_together_have_theirs(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenges, "IN_ALL", 2)
    assert [asker.ask(f"{n}.cn", f"192.0.2.{n}") for n in range(3)] == [True, True, False]
    assert asker.refused == {"worker": 1}


def test_the_next_minute_begins_anew(asker: Asker) -> None:
    assert [asker.ask("a.cn", now=now) for now in (1.0, 30.0, 59.9, 60.0)] == [
        *(True, True, False),
        True,
    ]

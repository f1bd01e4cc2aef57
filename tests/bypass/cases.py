"""What a case of the bypass suite is, and how one is played against the gate.

A case is what an evader sends on one connection, and the requests that the upstream may see
of it, each as `METHOD target host body`. `{p}` in the bytes is the path of this run alone; in
`sees` the path is left out. Whatever the case, no upstream may ever see a Host that is not
filed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pytest

from tests.harness.client import Response
from tests.harness.http_origin import SeenRequest
from tests.harness.stage import Stage

FILED_SUFFIXES = ("filed.com", "example.com.cn", "xn--fsqu00a.com")


@dataclass(slots=True, frozen=True)
class Case:
    """One attempt to get past the gate."""

    data: str
    """Bytes as Latin-1 text; `{p}` is the path of the run."""
    sees: tuple[str, ...] = ()
    """What the upstream may see: `METHOD rest-of-target host body`."""
    statuses: tuple[int, ...] | None = None
    """The answers, where the case pins them down."""

    def encode(self, path: str) -> bytes:
        return self.data.replace("{p}", path).encode("latin-1")


def table(cases: dict[str, Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases.values(), ids=cases.keys())


def play(stage: Stage, data: bytes, listener: str = "http") -> list[Response]:
    """Send `data` and a FIN; return all answers."""
    with stage.http(listener) as client:
        # The gate may refuse and close before all of it was written.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.send(data)
        with contextlib.suppress(OSError):
            client.finish()
        return client.read_all_responses()


def describe(seen: SeenRequest, path: str) -> str:
    target = seen.target.replace(path, "")
    text = f"{seen.method} {target} {seen.host} {bytes(seen.body).decode('latin-1')}"
    return text.replace(path, "{p}").rstrip(" ")


def check(stage: Stage, case: Case, path: str) -> None:
    """Play a case; the upstream may have seen what the case allows, and nothing else."""
    answers = play(stage, case.encode(path))
    stage.settle()
    if case.statuses is not None:
        assert tuple(answer.status for answer in answers) == case.statuses
    seen = [describe(request, path) for request in stage.origin.about(path) if request.complete]
    assert seen == list(case.sees)
    check_hosts(stage)


def check_hosts(stage: Stage) -> None:
    """No origin has ever seen a host that is not filed, nor anything uncanonical."""
    for request in stage.origin.requests:
        host = request.host.lower().partition(":")[0].removesuffix(".")
        assert host.endswith(FILED_SUFFIXES), request.head
        assert (request.value("x-forwarded-host") or "").lower().startswith(host), request.head
    assert stage.violations() == []

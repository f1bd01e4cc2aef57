"""Why the gate does what it does with a host."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gate.filings import Filing, Override
from gate.names import InvalidName, canonical, parents, to_display
from gate.policy import Decider, Policy, Reason, Verdict
from gate.replica import Replica
from gate.settings import PolicySettings


@dataclass(slots=True, frozen=True)
class Explanation:
    """A verdict with all that it came from. `problem` says why a host is malformed."""

    host: str
    verdict: Verdict
    display: str
    filing: Filing | None
    override: Override | None
    problem: str


class Explainer:
    """Judges hosts as the workers do, past every cache."""

    def __init__(self, replica: Replica, policy: PolicySettings) -> None:
        self._replica = replica
        self._decider = Decider(
            replica,
            size=1,
            policy=Policy(
                ip_hosts_allowed=policy.ip_hosts == "allow",
                no_sni_allowed=policy.no_sni == "allow",
            ),
        )

    def explain(self, host: str) -> Explanation:
        """Return what happens to `host`, as a client would write it. Raises ReplicaError."""
        raw = host.encode("utf-8", "surrogatepass")
        verdict = self._decider.judge(raw)
        name = verdict.name
        problem, filing, override = "", None, None
        if verdict is self._decider.malformed:
            problem = _problem(raw)
        elif verdict.reason is not Reason.IP_HOST:
            filing = self._replica.lookup(name)
            override = self._override(name)
        return Explanation(
            host, verdict, to_display(name) if name else "", filing, override, problem
        )

    def _override(self, name: str) -> Override | None:
        found = self._replica.overrides()
        now = time.time()
        above = (found[domain] for domain in parents(name) if domain in found)
        return next((override for override in above if override.active(now)), None)


def _problem(host: bytes) -> str:
    try:
        canonical(host)
    except InvalidName as error:
        return error.reason
    return ""

"""What of an interception is in force on this machine, beside what the settings ask for.

The kernel writes rules in words of its own. So the wanted ones are put in force in a network
namespace that nobody else is in, and what the kernel makes of them there is compared with what it
has here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any, Final

from gate.net.errors import NetError
from gate.net.interception import LEAKED, TABLE, Interception

_SECONDS: Final = 20.0
_OWN: Final = frozenset({"handle", "packets", "bytes"})
_LIST: Final = ("nft", "-j", "list", "table", "inet", TABLE)


class CannotCompare(NetError):
    """A program or a right is missing that comparing takes."""


def differences(wanted: Interception) -> Iterator[str]:
    """Yield a sentence for each thing that is not as wanted. Raises CannotCompare."""
    expected = _parts(_run("unshare", "--net", "sh", "-c", f"nft -f - && {' '.join(_LIST)}",
                           given=wanted.rules()))  # fmt: skip
    done = _try(*_LIST)
    if done.returncode:
        if "No such file" not in done.stderr:
            raise CannotCompare(_why(_LIST, done))
        yield f"nftables: there is no table inet {TABLE}; run the script"
    else:
        yield from _compare(expected, _parts(done.stdout))
    if wanted.needs_routing:
        yield from _routing(wanted)


def leaked() -> int:
    """Return how many packets to hosts were dropped because no gate took them."""
    done = _try("nft", "-j", "list", "counter", "inet", TABLE, LEAKED)
    if done.returncode:
        return 0
    counters = (item.get("counter") for item in json.loads(done.stdout)["nftables"])
    return sum(counter["packets"] for counter in counters if counter)


def _compare(expected: list[str], found: list[str]) -> Iterator[str]:
    missing = [part for part in expected if part not in found]
    more = [part for part in found if part not in expected]
    yield from (f"nftables: missing: {part}" for part in missing)
    yield from (f"nftables: not of the settings: {part}" for part in more)
    if not missing and not more and expected != found:
        yield "nftables: the rules are there in another order; run the script"


def _routing(wanted: Interception) -> Iterator[str]:
    for version in ("-4", "-6"):
        rules = json.loads(_run("ip", version, "-j", "rule", "show"))
        if not any(_leads(rule, wanted) for rule in rules):
            yield (
                f"ip {version} rule: none has fwmark {wanted.mark:#x} look up table "
                f"{wanted.table}; run the script"
            )
        done = _try("ip", version, "-j", "route", "show", "table", str(wanted.table))
        routes = json.loads(done.stdout or "[]") if done.returncode == 0 else []
        if not any(
            route.get("type") == "local" and route.get("dst") == "default" for route in routes
        ):
            yield f"ip {version} route: table {wanted.table} delivers nothing here; run the script"


def _leads(rule: dict[str, Any], wanted: Interception) -> bool:
    mark = str(rule.get("fwmark", "0"))
    return int(mark, 0) == wanted.mark and str(rule.get("table")) == str(wanted.table)


def _parts(text: str) -> list[str]:
    """Return the sets, chains and rules of a listing, without what counts and numbers them."""
    items = (item for item in json.loads(text)["nftables"] if "metainfo" not in item)
    return [json.dumps(_bare(item), sort_keys=True) for item in items]


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if key not in _OWN}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return value


def _run(*command: str, given: str = "") -> str:
    done = _try(*command, given=given)
    if done.returncode:
        raise CannotCompare(_why(command, done))
    return done.stdout


def _try(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - programs and words of our own
            command, capture_output=True, text=True, input=given, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        raise CannotCompare(
            f"{command[0]} is not installed; it takes nftables, iproute2 and util-linux"
        ) from None
    except subprocess.TimeoutExpired:
        raise CannotCompare(f"{command[0]} has not ended within {_SECONDS:g} s") from None


def _why(command: tuple[str, ...], done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]
    return f"`{command[0]}` failed: {said}; comparing takes root"

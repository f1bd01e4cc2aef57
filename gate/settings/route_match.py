"""What a route is for: a name in the form in which hosts are judged, or names below a domain.

    example.cn      this name alone
    *.example.cn    every name below it
    .example.cn     the domain with every name below it

Whatever could never match is an error, for its traffic would silently go to another pool.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from gate.names import Host, InvalidName, canonical

_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#@]*@)?([^/?#]*)", re.IGNORECASE)


def split_match(match: str) -> tuple[str, str]:
    """Return the part of a match that says what is below (`*.`, `.` or nothing), and the name."""
    for prefix in ("*.", "."):
        if match.startswith(prefix):
            return prefix, match.removeprefix(prefix)
    return "", match


def _canonical_match(match: str) -> str:
    """Return the match with its name in canonical form. Raises ValueError."""
    if match == "*":
        raise ValueError("'*' is every name: put the pool under upstreams.default")
    if "/" in match:
        raise ValueError(f"{match!r} is a URL; write the name alone{_name_in_url(match)}")
    prefix, name = split_match(match)
    if not name:
        raise ValueError(f"{match!r} matches no name; write example.cn")
    if "*" in name:
        raise ValueError(f"{match!r} has a * that is not in front, as in *.example.cn")
    try:
        host = _host(name)
    except InvalidName as error:
        raise ValueError(f"{match!r} is no name: {error.reason}") from None
    if "]:" in name or name.count(":") == 1:
        raise ValueError(
            f"{match!r} has a port; a route is for all ports: write {prefix}{host.text}"
        )
    if prefix and host.ip is not None:
        raise ValueError(f"{match!r} is an address, which has no names below it: write {host.text}")
    return prefix + host.text


def _host(name: str) -> Host:
    return canonical(name.encode("utf-8", "surrogatepass"))


def _name_in_url(url: str) -> str:
    """`: ` and the name to write instead of a URL, if there is one in it."""
    found = _URL.match(url)
    prefix, name = split_match(found[1] if found else url.partition("/")[0])
    try:
        return f": {prefix}{_host(name).text}"
    except InvalidName:
        return ""


RouteMatch = Annotated[str, AfterValidator(_canonical_match)]

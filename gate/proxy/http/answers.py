"""The responses that the gate gives by itself: the redirect to the notice page, and refusals."""

from __future__ import annotations

import json
import re
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Final
from urllib.parse import quote, urlsplit

from gate.names import InvalidName, canonical
from gate.policy import Reason, Verdict
from gate.settings import Notice
from gate.wire.http1 import HTTP_0_9, RequestHead, accepted, shows_pages, wants_json

_HOST_PORT = re.compile(rb":([0-9]++)$").search
_NEEDS_NO_ENCODING = re.compile(r"[a-z0-9._-]*").fullmatch

# RFC 9110 15.5.6. What an origin makes of the others is its own business.
_ALLOW: Final = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
_PATH_LIMIT: Final = 1024
"""Bytes of a request's path that the notice page is told; it is told none of a longer one."""
_WHY: Final = {
    Reason.UNFILED: "no ICP filing was found for this domain: a first filing is due",
    Reason.FILED_ELSEWHERE: "this domain is filed elsewhere: an access filing is due here",
    Reason.REVOKED: "the ICP filing of this domain was cancelled",
    Reason.SUSPENDED: "the provider has suspended access to this domain",
    Reason.IP_HOST: "the Host is an IP address, and not a domain that is filed",
    Reason.NO_HOST: "the request names no domain",
}
_OWN: Final = (
    "the domain of the notice page has no filing here, so that the page cannot be shown. "
    "提示页面所在域名未在此备案,无法显示。"
)


class Answers:
    """Ready-made response bytes."""

    def __init__(self, notice: Notice) -> None:
        self._location = notice.url.encode("ascii")
        self._with_query = notice.with_query
        self._joint = b"&" if "?" in notice.url else b"?"
        self._own = _authority(notice.url)
        self._second = 0
        self._date = b""

    @property
    def own_name(self) -> str:
        """The canonical name of the notice page's host, if it is served over http."""
        return self._own[0]

    @property
    def path_limit(self) -> int:
        """Bytes of a visitor's path that the notice page is told; 0 where it is told of none."""
        return _PATH_LIMIT if self._with_query else 0

    def blocked(self, verdict: Verdict, head: RequestHead) -> tuple[int, bytes]:
        """Return status and response for a request that may not pass; then the connection closes.

        HTTP/0.9 knows no redirect: it gets nothing. Where it is the notice page itself that comes
        through this gate and may not pass, it is no way out, and the gate answers.
        """
        if head.minor == HTTP_0_9:
            return 302, b""
        if verdict.name == self._own[0] and _port(head.host) == self._own[1]:
            return 403, self.refusal(403, _OWN, to_head=head.method == b"HEAD")
        accept = accepted(head.fields)
        location = self._location_for(verdict, head.target if shows_pages(accept) else b"")
        if wants_json(accept) or head.method not in (b"GET", b"HEAD"):
            return 302, self._problem(verdict, location, to_head=head.method == b"HEAD")
        return 302, self._plain(location)

    def redirect(self, verdict: Verdict, target: bytes = b"") -> bytes:
        """`302` to the notice page for a GET that wants no JSON; the connection closes after it.

        `target` is that of a client that shows pages, and b"" for any other.
        """
        return self._plain(self._location_for(verdict, target))

    def _location_for(self, verdict: Verdict, target: bytes) -> bytes:
        """Return the address of the page on what was decided, with the path in `target`."""
        if not self._with_query:
            return self._location
        name = verdict.name
        if not _NEEDS_NO_ENCODING(name):
            name = quote(name, safe="")
        query = f"domain={name}&reason={verdict.reason}".encode("ascii")
        path = _path(target) if name else b""
        return self._location + self._joint + query + path

    def _plain(self, location: bytes) -> bytes:
        return (
            b"HTTP/1.1 302 Found\r\nDate: %b\r\nLocation: %b\r\nCache-Control: no-store\r\n"
            b"Content-Length: 0\r\nConnection: close\r\n\r\n" % (self.date(), location)
        )

    def _problem(self, verdict: Verdict, location: bytes, *, to_head: bool) -> bytes:
        """`302` with a problem document (RFC 9457), for programs: they follow no link to a page."""
        fields = {
            "type": "about:blank",
            "title": "This website is not available at present",
            "status": HTTPStatus.FOUND,
            "detail": _WHY.get(verdict.reason, "this request may not pass"),
            "reason": verdict.reason,
            "domain": verdict.name,
            "notice": location.decode("ascii"),
        }
        text = json.dumps({key: value for key, value in fields.items() if value}).encode("ascii")
        return (
            b"HTTP/1.1 302 Found\r\nDate: %b\r\nLocation: %b\r\nCache-Control: no-store\r\n"
            b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%b"
            % (self.date(), location, len(text), b"" if to_head else text)
        )

    def refusal(self, status: int, detail: str, *, to_head: bool = False) -> bytes:
        """Return an error in plain text that says what was wrong; the connection closes after it.

        `to_head` leaves the text out, as an answer to HEAD has to (RFC 9110 9.3.2).
        """
        phrase = HTTPStatus(status).phrase
        text = f"{status} {phrase}: {detail}\n".encode()
        allow = _ALLOW if status == HTTPStatus.METHOD_NOT_ALLOWED else b""
        return (
            b"HTTP/1.1 %d %b\r\nDate: %b\r\n%bContent-Type: text/plain; charset=utf-8\r\n"
            b"Cache-Control: no-store\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (
                status,
                phrase.encode("ascii"),
                self.date(),
                allow,
                len(text),
                b"" if to_head else text,
            )
        )

    def date(self) -> bytes:
        """Return the value of Date (RFC 9110 6.6.1), made once a second."""
        second = int(time())
        if second != self._second:
            self._second = second
            self._date = formatdate(second, usegmt=True).encode("ascii")
        return self._date


def _path(target: bytes) -> bytes:
    """Return what a request's path adds to the notice page's query, encoded; b"" for `/`.

    Its own query stays behind: what is in it (a token, a search) is for the site alone.
    """
    path = target.partition(b"?")[0]
    if path == b"/" or not path.startswith(b"/") or len(path) > _PATH_LIMIT:
        return b""
    return b"&path=" + quote(path, safe="/").encode("ascii")


def _authority(url: str) -> tuple[str, bytes]:
    """Return the canonical name and the port of an http URL; nothing that fits for any other."""
    parts = urlsplit(url)
    try:
        name, ip = canonical((parts.hostname or "").encode())
    except InvalidName:
        return "", b""
    if parts.scheme != "http":
        return "", b""
    text = name if ip is None else (str(ip) if ip.version == 4 else f"[{ip}]")
    return text, b"%d" % (parts.port or 80)


def _port(host: bytes | None) -> bytes:
    """Return the port in an authority, that of http where there is none."""
    found = _HOST_PORT(host or b"")
    return found[1].lstrip(b"0") if found else b"80"

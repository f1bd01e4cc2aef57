"""The responses that the gate gives by itself: the redirect to the notice page, and refusals."""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus
from time import time
from urllib.parse import quote

from gate.policy import Verdict
from gate.settings import Notice

_NEEDS_NO_ENCODING = re.compile(r"[a-z0-9._-]*").fullmatch


class Answers:
    """Ready-made response bytes."""

    def __init__(self, notice: Notice) -> None:
        self._location = notice.url.encode("ascii")
        self._with_query = notice.with_query
        self._joint = b"&" if "?" in notice.url else b"?"
        self._second = 0
        self._date = b""

    def redirect(self, verdict: Verdict) -> bytes:
        """`302` to the notice page; the connection closes after it."""
        location = self._location
        if self._with_query:
            name = verdict.name
            if not _NEEDS_NO_ENCODING(name):
                name = quote(name, safe="")
            query = f"domain={name}&reason={verdict.reason}".encode("ascii")
            location = location + self._joint + query
        return (
            b"HTTP/1.1 302 Found\r\nDate: %b\r\nLocation: %b\r\nCache-Control: no-store\r\n"
            b"Content-Length: 0\r\nConnection: close\r\n\r\n" % (self._now(), location)
        )

    def refusal(self, status: int, detail: str) -> bytes:
        """An error in plain text that says what was wrong; the connection closes after it."""
        phrase = HTTPStatus(status).phrase
        text = f"{status} {phrase}: {detail}\n".encode()
        return (
            b"HTTP/1.1 %d %b\r\nDate: %b\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Cache-Control: no-store\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (status, phrase.encode("ascii"), self._now(), len(text), text)
        )

    def _now(self) -> bytes:
        """The value of Date (RFC 9110 6.6.1), made once a second."""
        second = int(time())
        if second != self._second:
            self._second = second
            self._date = formatdate(second, usegmt=True).encode("ascii")
        return self._date

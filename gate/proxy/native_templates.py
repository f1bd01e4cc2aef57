"""What the native plane writes, cut from samples that the Python serialisers make here.

So it can't differ from what those write. Where the native modules are not compiled, nothing imports
this; see native.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gate.native import onward, template
from gate.policy import REASONS, Verdict
from gate.proxy.http import HttpPlane
from gate.wire.http1 import (
    ForwardedClient,
    Forwarding,
    RequestParser,
    serialise_request,
    serialise_response,
)

# The slots of a template: gate/native/template.pxd.
_METHOD_AND_TARGET, _HOST, _FIELDS, _LENGTH, _CLIENT, _STATUS, _DATE, _NAME, _PORT = range(1, 10)
_NODE, _ADDRESS, _FORWARDED, _PROTO, _CLAIMED_HOST, _CLAIMED_PORT, _PATH = range(10, 17)


def cut(sample: bytes, marks: Sequence[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """Cut a sample into literals, each with the slot behind it, at marks that come in this order.

    Raises ValueError if a mark is not there.
    """
    pieces = []
    for mark, slot in marks:
        literal, found, sample = sample.partition(mark)
        if not found:
            raise ValueError(f"no {mark!r} in what the serialiser has made")
        pieces.append((literal, slot))
    return [*pieces, (sample, 0)]


# The fields by which a request claims who is in front of it, by gate/native/request_head.pxd: the
# mark of each value, and its slot.
_CLAIMS: Final = (
    (b"X-Forwarded-For", b"mark-address", _ADDRESS),
    (b"Forwarded", b"for=mark-forwarded", _FORWARDED),
    (b"X-Forwarded-Proto", b"mark-proto", _PROTO),
    (b"X-Forwarded-Host", b"mark-claimed-host", _CLAIMED_HOST),
    (b"X-Forwarded-Port", b"mark-claimed-port", _CLAIMED_PORT),
)


def onward_of(requests: RequestParser) -> onward.Onward:
    """Return what an upstream is sent for the requests that a parser reads."""
    rules = requests.rules
    sets = 1 << len(_CLAIMS) if rules.forwarding is Forwarding.APPEND else 1
    return onward.Onward(
        requests.bounds,
        list(Forwarding).index(rules.forwarding),
        rules.via,
        [
            _request(requests, claims, with_length=with_length)
            for claims in range(sets)
            for with_length in (False, True)
        ],
        None
        if rules.forwarding is Forwarding.APPEND
        else lambda address: rules.client(address).fields,
        lambda address: rules.client(address).node,
    )


def _request(requests: RequestParser, claims: int, *, with_length: bool) -> template.Template:
    """Return the template for requests that make these claims, a bit each of _CLAIMS."""
    claimed = [claim for number, claim in enumerate(_CLAIMS) if claims >> number & 1]
    fields = b"".join(b"%b: %b\r\n" % (name, mark) for name, mark, _ in claimed)
    length = b"Content-Length: 918273\r\n" if with_length else b""
    host, node = b"mark-host.example:40961", b"192.0.2.201"
    head = requests.parse(
        b"POST /mark-target HTTP/1.1\r\nHost: %b\r\nMark: field\r\n%b%b\r\n"
        % (host, fields, length)
    )
    if head is None or head.host is None:
        raise ValueError("the sample of a request is not taken")
    rules = requests.rules
    forwarded = ForwardedClient(rules, node.decode(), b"mark-client" if rules.adds else b"")
    sample = serialise_request(head, host=head.host, forwarded=forwarded)
    slots = [slot for _, _, slot in claimed]
    marks = [
        (b"POST /mark-target", _METHOD_AND_TARGET),
        (host, _HOST),
        (b"Mark: field\r\n", _FIELDS),
        *((mark, slot) for _, mark, slot in claimed),
    ]
    if with_length:
        marks.append((b"918273", _LENGTH))
    if rules.adds:
        marks.append((b"mark-client", _CLIENT))
        if _FORWARDED in slots:
            marks.append((node, _NODE))
        if _CLAIMED_HOST not in slots:
            marks.append((host, _HOST))
        if _CLAIMED_PORT not in slots:
            marks.append((b"40961", _PORT))
    return template.Template(cut(sample, _in_order(sample, marks)))


def _in_order(sample: bytes, marks: Sequence[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """Sort marks by where they stand in a sample, each where no earlier one has its place."""
    left = bytearray(sample)
    places = []
    for mark, slot in marks:
        at = left.find(mark)
        places.append((at, mark, slot))
        if at >= 0:  # else `cut` says so
            left[at : at + len(mark)] = bytes(len(mark))
    return [(mark, slot) for _, mark, slot in sorted(places)]


def responses(http: HttpPlane) -> list[template.Template]:
    """Return what a client is sent: without framing, with a length, in chunks.

    Kept open, then closed.
    """
    framings: Mapping[bytes, list[tuple[bytes, int]]] = {
        b"": [],
        b"Content-Length: 918273\r\n": [(b"918273", _LENGTH)],
        b"Transfer-Encoding: chunked\r\n": [],
    }
    templates = []
    for framing, marks in framings.items():
        method = b"GET" if framing else b"HEAD"  # without framing a GET's would end by a close
        head = http.responses.parse(
            b"HTTP/1.1 234 Mark Reason\r\nMark: field\r\n%b\r\n" % framing, 0, method
        )
        if head is None:
            raise ValueError("the sample of a response is not taken")
        for close in (False, True):
            sample = serialise_response(head, close=close)
            templates.append(
                template.Template(
                    cut(
                        sample,
                        [(b"234 Mark Reason", _STATUS), (b"Mark: field\r\n", _FIELDS), *marks],
                    )
                )
            )
    return templates


def redirects(http: HttpPlane, path: bytes) -> list[template.Template]:
    """Return the redirect to the notice page, by the reason's code; `path` is b"" for none."""
    templates: list[template.Template] = []
    name = "mark-name.example"
    for code, reason in enumerate(REASONS):
        sample: Any = http.answers.redirect(Verdict(False, reason, code, name), path)
        dated = b"\r\nDate: "
        date = sample.partition(dated)[2].partition(b"\r\n")[0]  # a clock read again may differ
        marks = [(dated + date, _DATE)]
        if name.encode() in sample:
            marks.append((name.encode(), _NAME))
        if path and http.answers.path_limit:
            marks.append((path, _PATH))
        pieces = cut(sample, marks)
        pieces[0] = (pieces[0][0] + dated, _DATE)
        templates.append(template.Template(pieces))
    return templates

"""Is a TLS client asked for a second ClientHello, and which name is in that one?

A TLS 1.3 server that wants another key share answers with a HelloRetryRequest, and the client
sends its ClientHello again. It could ask for another name in it, and OpenSSL for one takes the
second (openssl#32472). So a connection that was judged by its first hello is not done with it
until the server has answered: `asks_again` looks at that answer, once, and `SecondHello` finds
the hello that follows.

Sans-IO, as tls.py. Sources: RFC 8446 sections 4.1.3 and 4.1.4 (HelloRetryRequest), 4.2.10 (early
data, which the client may have sent in between), D.4 (change_cipher_spec records).
"""

from gate.wire.tls import BadHello, ClientHello, ClientHelloReader, HelloFault

# SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3).
_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_RANDOM_AT = 11  # behind the headers of record and message, and legacy_version
_RANDOM_END = 43
_RECORD_HEADER = 5
_ALERT = 21
_HANDSHAKE = 22
_MAX_PAYLOAD = 16_384 + 256  # of an encrypted record (RFC 8446 section 5.2)
# What a client may send before its second hello: change_cipher_spec, an alert, early data.
_PASSED_OVER = frozenset({20, 21, 23})


def asks_again(answer: bytes | memoryview) -> bool | None:
    """Return whether what a server says first is a HelloRetryRequest; None if it is too little.

    Servers put it in one record, than which it is far smaller, and in front of all else but a
    warning, perhaps.
    """
    at = 0
    while len(answer) > at and answer[at] == _ALERT:
        if len(answer) < at + _RECORD_HEADER:
            return None
        at += _RECORD_HEADER + (answer[at + 3] << 8 | answer[at + 4])
    if len(answer) <= at:
        return None
    if answer[at] != _HANDSHAKE:
        return False
    if len(answer) < at + _RANDOM_END:
        return None
    return answer[at + _RANDOM_AT : at + _RANDOM_END] == _RETRY_RANDOM


class SecondHello:
    """Finds the second ClientHello in what a client sends behind its first one."""

    __slots__ = ("_header", "_left", "_reader", "passed")

    def __init__(self) -> None:
        self.passed = 0
        """How many of the bytes come before the hello: they need no judging."""
        self._header = bytearray()  # of a record that is passed over, as far as it is there
        self._left = 0  # payload bytes still to come in such a record
        self._reader: ClientHelloReader | None = None

    @property
    def raw(self) -> bytes:
        """All that was fed from the hello's first byte on."""
        return b"" if self._reader is None else bytes(self._reader.raw)

    def feed(self, data: bytes | memoryview) -> ClientHello | None:
        """Take the next bytes of the stream, in whatever portions they arrive.

        Returns the hello once it is complete (the reader is used up then), None before. Raises
        BadHello as soon as what came cannot become one.
        """
        at, size = 0, len(data)
        while self._reader is None and at < size:
            if self._left:
                count = min(self._left, size - at)
                self._left -= count
            elif not self._header and data[at] == _HANDSHAKE:
                self._reader = ClientHelloReader()
                break
            else:
                count = 1
                self._take(data[at])
            at += count
            self.passed += count
        if self._reader is None:
            return None
        return self._reader.feed(bytes(data[at:]))

    def _take(self, byte: int) -> None:
        """Take the next byte of the header of a record that is passed over."""
        header = self._header
        header.append(byte)
        if header[0] not in _PASSED_OVER:
            raise BadHello(
                HelloFault.not_handshake,
                f"record of content type {header[0]} where a second ClientHello is due",
            )
        if len(header) == 2 and byte != 3:
            raise BadHello(HelloFault.bad_version, f"record version {byte}.x where 3.x is due")
        if len(header) == _RECORD_HEADER:
            self._left = header[3] << 8 | header[4]
            if self._left > _MAX_PAYLOAD:
                raise BadHello(
                    HelloFault.bad_lengths,
                    f"record of {self._left} bytes, the protocol's limit is {_MAX_PAYLOAD}",
                )
            header.clear()

"""What name does a TLS client ask for? A strict, sans-IO reader of the ClientHello.

What is done with a hello is decided in gate/policy/decider.py (`decide_hello`).

The gate never decrypts: it reads the one message that a client sends in the clear, judges the
server name in it, and replays the bytes unchanged. Hence the strategy:

- `parse_client_hello` is the fast path. Nearly every hello is one handshake message in one record
  in one segment; it is walked in place, with no copy but the name.
- `ClientHelloReader` is the patient path: any split into segments and records, byte by byte if it
  must be. It does work in proportion to the bytes it is fed, and holds at most `MAX_MESSAGE` of
  them.
- Both end in the same walk over the message, so that a split never changes the outcome.
- Whatever two readers could understand differently is refused: every length must agree with the
  one around it to the byte, and no extension or name may come twice. An upstream that is laxer
  than the gate must not be able to find another name in the same bytes.

Sources: RFC 8446 section 4.1.2 (ClientHello) and 5.1 (records), RFC 5246 section 7.4.1.2,
RFC 6066 section 3 (server_name), RFC 9849 (ECH), RFC 5246 appendix E.2 (SSLv2-format hello).
Whether a name is a valid one is for `gate.names` to say: the bytes are handed on as they came.
"""

from dataclasses import dataclass
from enum import StrEnum
from struct import Struct
from struct import error as StructError

from gate.wire.errors import WireError

MAX_MESSAGE = 65_536
"""Longest ClientHello taken, in bytes, its 4-byte handshake header included."""
MAX_RECORDS = 4_096
"""Most records that one ClientHello may be spread over, empty ones counted."""
MAX_FRAGMENT = 16_384
"""Longest payload of one plaintext record (RFC 8446 section 5.1: 2^14)."""

_RECORD_HEADER = 5
_MESSAGE_HEADER = 4
_HANDSHAKE = 22
_OTHER_CONTENT = frozenset({20, 21, 23, 24})  # change_cipher_spec, alert, data, heartbeat
_CLIENT_HELLO = 1
_SHORTEST = 45  # bytes of a ClientHello without session id and extensions, one cipher suite
_SERVER_NAME = 0
_ENCRYPTED_CLIENT_HELLO = 0xFE0D
_HOST_NAME = 0

# Record type, record version, record length, handshake type and length in one word.
_opening = Struct(">BHHI").unpack_from
_extension = Struct(">HH").unpack_from  # type, length of the data
_name_entry = Struct(">BH").unpack_from  # name type, length of the name
_lone_name = Struct(">HHBH").unpack_from  # lengths of the data and the list, then one entry
_uint16 = Struct(">H").unpack_from


class HelloFault(StrEnum):
    """Why a hello was refused; each is counted under its own name."""

    not_tls = "not_tls"
    sslv2 = "sslv2"
    bad_version = "bad_version"
    not_handshake = "not_handshake"
    not_client_hello = "not_client_hello"
    bad_lengths = "bad_lengths"
    duplicate_extension = "duplicate_extension"
    two_names = "two_names"
    unknown_name_type = "unknown_name_type"
    too_large = "too_large"
    too_many_records = "too_many_records"


class BadHello(WireError):
    """The bytes are not a ClientHello that the gate can judge.

    `kind` is the fault for counters, `detail` says what was wrong and where.
    """

    def __init__(self, kind: HelloFault, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(slots=True)
class ClientHello:
    """What the gate uses of a ClientHello.

    `sni` is the host_name as it came, None without the extension, b"" if it names nothing.
    `ech` says that an encrypted_client_hello extension is there; `sni` is then the outer name.
    (Browsers also send it as grease, so its presence alone does not prove a hidden name.)
    """

    sni: bytes | None
    ech: bool


def parse_client_hello(buf: bytes | bytearray) -> ClientHello | None:
    """Read a ClientHello from the start of `buf`; bytes after it (early data) are not looked at.

    Returns None if the hello goes on after the end of `buf`: feed `buf` and what follows to a
    `ClientHelloReader`. Raises BadHello as soon as the bytes at hand cannot become a hello.
    """
    if len(buf) >= _RECORD_HEADER + _MESSAGE_HEADER:
        content, version, length, message = _opening(buf)
        # One whole record that holds exactly one whole ClientHello message.
        if (
            message == (_CLIENT_HELLO << 24) + length - _MESSAGE_HEADER
            and content == _HANDSHAKE
            and version >> 8 == 3
            and _SHORTEST <= length <= MAX_FRAGMENT
            and len(buf) >= _RECORD_HEADER + length
        ):
            return _read_body(buf, _RECORD_HEADER + _MESSAGE_HEADER, _RECORD_HEADER + length)
    return ClientHelloReader().feed(buf)


def hello_end(stream: bytes | bytearray) -> int:
    """Return where the complete ClientHello that `stream` begins with ends in it."""
    at, message = 0, bytearray()
    while len(message) < _MESSAGE_HEADER or len(message) < _MESSAGE_HEADER + int.from_bytes(
        message[1:_MESSAGE_HEADER], "big"
    ):
        (length,) = _uint16(stream, at + 3)
        at += _RECORD_HEADER
        message += stream[at : at + length]
        at += length
    return at


def read_hello_message(message: bytes | bytearray) -> ClientHello:
    """Read a ClientHello that comes without records: one handshake message, header included.

    QUIC carries it so (RFC 9001 section 4). Raises BadHello.
    """
    if len(message) < _MESSAGE_HEADER or message[0] != _CLIENT_HELLO:
        raise BadHello(HelloFault.not_client_hello, "no ClientHello (1) where one is due")
    if _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER], "big") != len(message):
        raise BadHello(HelloFault.bad_lengths, "the length is not that of the ClientHello")
    return _read_body(message, _MESSAGE_HEADER, len(message))


class ClientHelloReader:
    """Reassembles one ClientHello out of segments and records.

    The bytes are kept once, as they came, for they are also what is passed on. A message in one
    record is read where it lies; one in several is put together when all of it is there.
    """

    __slots__ = ("_at", "_left", "_opening", "_records", "_size", "_taken", "raw")

    def __init__(self) -> None:
        self.raw = bytearray()
        """All that was fed, bytes behind the hello included."""
        self._at = 0  # how far `raw` has been looked at
        self._left = 0  # payload bytes still to come in the current record
        self._records = 0
        self._opening = bytearray()  # the first 4 bytes of the message: type and length
        self._taken = 0  # bytes of the message that are there
        self._size = 0  # of the whole message, 0 while unknown

    def feed(self, data: bytes | bytearray) -> ClientHello | None:
        """Take the next bytes of the stream, in whatever portions they arrive.

        Returns the hello once it is complete (the reader is used up then), None before.
        Raises BadHello as soon as what came cannot become a hello.
        """
        raw = self.raw
        raw += data
        while self._at < len(raw):
            if self._left == 0:
                if not self._take_header():
                    return None
                continue
            count = min(self._left, len(raw) - self._at)
            missing = _MESSAGE_HEADER - len(self._opening)
            if missing:
                self._opening += raw[self._at : self._at + min(missing, count)]
            self._taken += count
            self._left -= count
            self._at += count
            if self._message_complete():
                if self._records == 1 and self._size >= _SHORTEST:
                    return _read_body(raw, _RECORD_HEADER + _MESSAGE_HEADER, self._at)
                return _read_body(self._join(), _MESSAGE_HEADER, self._size)
        return None

    def _take_header(self) -> bool:
        """Check the record header at hand; take it if it is whole."""
        header = self.raw[self._at : self._at + _RECORD_HEADER]
        _check_record_header(header)
        if len(header) < _RECORD_HEADER:
            return False
        self._records += 1
        if self._records > MAX_RECORDS:
            raise BadHello(
                HelloFault.too_many_records, f"spread over more than {MAX_RECORDS} records"
            )
        # RFC 8446 5.1 lets no peer send an empty handshake fragment. They mean nothing, some
        # stacks skip them, and so does this reader: within the bound on records.
        (self._left,) = _uint16(header, 3)
        self._at += _RECORD_HEADER
        return True

    def _message_complete(self) -> bool:
        opening = self._opening
        if opening[0] != _CLIENT_HELLO:
            raise BadHello(
                HelloFault.not_client_hello,
                f"handshake message of type {opening[0]} where a ClientHello (1) is due",
            )
        if self._size == 0:
            if len(opening) < _MESSAGE_HEADER:
                return False
            self._size = _MESSAGE_HEADER + int.from_bytes(opening[1:], "big")
            if self._size > MAX_MESSAGE:
                raise BadHello(
                    HelloFault.too_large,
                    f"ClientHello of {self._size} bytes, {MAX_MESSAGE} at most are read",
                )
        missing = self._size - self._taken
        # Nothing may follow a ClientHello within its record: in TLS 1.3 a key change (early data)
        # must fall on a record boundary (RFC 8446 5.1), before it the server speaks next.
        if self._left > missing:
            raise BadHello(
                HelloFault.bad_lengths,
                f"{self._left - missing} bytes after the ClientHello in its record",
            )
        return missing == 0

    def _join(self) -> bytearray:
        """Return the message, out of the records that it came in."""
        message, at = bytearray(), 0
        while len(message) < self._size:
            (length,) = _uint16(self.raw, at + 3)
            at += _RECORD_HEADER
            message += self.raw[at : at + length]
            at += length
        return message


def _check_record_header(header: bytearray) -> None:
    """Raise BadHello if these first 1 to 5 bytes of a record cannot carry a ClientHello."""
    content = header[0]
    if content != _HANDSHAKE:
        _name_other_content(header)
    elif len(header) > 1 and header[1] != 3:
        raise BadHello(
            HelloFault.bad_version, f"record version {header[1]}.x where 3.x (TLS) is due"
        )
    elif len(header) == _RECORD_HEADER and _uint16(header, 3)[0] > MAX_FRAGMENT:
        raise BadHello(
            HelloFault.bad_lengths,
            f"record of {_uint16(header, 3)[0]} bytes, the protocol's limit is {MAX_FRAGMENT}",
        )


def _name_other_content(header: bytearray) -> None:
    """Raise BadHello for a record that is no handshake, once there is enough to say what it is."""
    content = header[0]
    if content & 0x80:
        # RFC 5246 E.2: two bytes of length with the top bit set, CLIENT-HELLO (1), version.
        if len(header) < _RECORD_HEADER:
            return
        if header[2] == _CLIENT_HELLO and (header[3] == 3 or header[3:5] == b"\x00\x02"):
            raise BadHello(HelloFault.sslv2, "hello in SSLv2 format")
    elif content in _OTHER_CONTENT:
        if len(header) < 2:
            return
        if header[1] == 3:
            raise BadHello(
                HelloFault.not_handshake,
                f"record of content type {content} where a handshake (22) is due",
            )
    raise BadHello(HelloFault.not_tls, f"no TLS record starts with the byte 0x{content:02x}")


def _read_body(buf: bytes | bytearray, at: int, end: int) -> ClientHello:
    """Walk the ClientHello whose client_version is at `at` and whose last byte precedes `end`.

    A read past `end` does no harm: `at` only grows, and must hit `end` exactly in the end.
    """
    try:
        if buf[at] != 3:
            raise BadHello(HelloFault.bad_version, f"client version {buf[at]}.x, 3.x is due")
        at += 34  # client_version, random
        session = buf[at]
        at += 1 + session
        ciphers = buf[at] << 8 | buf[at + 1]
        at += 2 + ciphers
        compressions = buf[at]
        at += 1 + compressions
        if session > 32 or ciphers == 0 or ciphers & 1 or compressions == 0:
            raise _bad_vectors(session, ciphers, compressions)
        if at == end:  # before TLS 1.3 a hello may end here (RFC 5246 7.4.1.2)
            return ClientHello(None, False)
        if at + 2 + (buf[at] << 8 | buf[at + 1]) != end:
            raise BadHello(HelloFault.bad_lengths, "the extensions do not fill the ClientHello")
        at += 2
        first = at
        seen: dict[int, int] = {}  # extension type -> offset of its header
        count = 0
        while at < end:
            extension, size = _extension(buf, at)
            seen[extension] = at
            count += 1
            at += 4 + size
    except (IndexError, StructError):
        raise BadHello(HelloFault.bad_lengths, "a length points past the ClientHello") from None
    if at != end:
        raise BadHello(HelloFault.bad_lengths, "an extension ends past the ClientHello")
    if len(seen) != count:
        raise _repeated_extension(buf, first, end)
    name_at = seen.get(_SERVER_NAME)
    sni = None if name_at is None else _read_server_name(buf, name_at, end)
    return ClientHello(sni, _ENCRYPTED_CLIENT_HELLO in seen)


def _bad_vectors(session: int, ciphers: int, compressions: int) -> BadHello:
    if session > 32:
        detail = f"session id of {session} bytes, 32 at most"
    elif compressions == 0 and ciphers and not ciphers & 1:
        detail = "no compression method"
    else:
        detail = f"cipher suites of {ciphers} bytes, an even number above 0 is due"
    return BadHello(HelloFault.bad_lengths, detail)


def _repeated_extension(buf: bytes | bytearray, at: int, end: int) -> BadHello:
    """Return the error for the first extension that comes again (RFC 8446 4.2.

    Not more than once).
    """
    known: set[int] = set()
    extension, size = _extension(buf, at)
    while at < end and extension not in known:
        known.add(extension)
        at += 4 + size
        extension, size = _extension(buf, at)
    if extension == _SERVER_NAME:
        return BadHello(HelloFault.two_names, "two server_name extensions")
    return BadHello(HelloFault.duplicate_extension, f"two extensions of type {extension}")


def _read_server_name(buf: bytes | bytearray, at: int, end: int) -> bytes:
    """The host_name in the server_name extension whose header is at `at` (RFC 6066 section 3)."""
    if end - at >= 9:
        size, listed, name_type, length = _lone_name(buf, at + 2)
        if length == size - 5 and listed == size - 2 and name_type == _HOST_NAME:
            return bytes(buf[at + 9 : at + 9 + length])
    return _walk_server_names(buf, at)


def _walk_server_names(buf: bytes | bytearray, at: int) -> bytes:
    """Return the same for any other list than one of exactly one host_name."""
    (size,) = _uint16(buf, at + 2)
    at += 4
    end = at + size
    if size == 0:  # only a server may send it so; it names nothing
        return b""
    if size == 1 or _uint16(buf, at)[0] != size - 2:
        raise BadHello(HelloFault.bad_lengths, "the name list does not fill server_name")
    at += 2
    name: bytes | None = None
    while at < end:
        if end - at < 3:
            raise BadHello(HelloFault.bad_lengths, "a cut entry in the name list")
        name_type, length = _name_entry(buf, at)
        at += 3
        if name_type != _HOST_NAME:
            # No other type was ever defined, so nobody can know how to step over one.
            raise BadHello(HelloFault.unknown_name_type, f"server name of type {name_type}")
        if at + length > end:
            raise BadHello(HelloFault.bad_lengths, "a server name ends past its list")
        if name is not None:
            raise BadHello(HelloFault.two_names, "two host_name entries in server_name")
        name = bytes(buf[at : at + length])
        at += length
    return name or b""


def fault_of(first: bytes | bytearray) -> HelloFault:
    """Return why a connection's first bytes are no ClientHello, whatever may come after them.

    For those that are refused for not being one: what is not told by a reader is `not_tls`.
    """
    try:
        parse_client_hello(first)
    except BadHello as error:
        return error.kind
    return HelloFault.not_tls


def looks_like_tls(first: bytes | bytearray) -> bool:
    """Return whether the first bytes of a connection are TLS (or an SSLv2-format hello), not text.

    For a port that takes HTTP too. One byte is enough to ask; b"" is not TLS.
    """
    if not first:
        return False
    if first[0] & 0x80:
        return len(first) < 3 or first[2] == _CLIENT_HELLO
    return 20 <= first[0] <= 24 and (len(first) < 2 or first[1] == 3)


def looks_like_http(first: bytes | bytearray) -> bool:
    """Return whether the first bytes of a connection can open an HTTP request line.

    That is a method in capital letters (RFC 9110 section 9.1; all registered ones are), then a
    space. One byte is enough to ask; b"" is not HTTP.
    """
    method, space, _ = first[:32].partition(b" ")
    letters = method.replace(b"-", b"")
    return letters.isalpha() and letters.isupper() and (bool(space) or len(first) < 32)

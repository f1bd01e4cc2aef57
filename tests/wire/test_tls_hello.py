"""ClientHellos by the book and against it: what is read, and what is refused as which fault."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gate.wire.tls import (
    MAX_FRAGMENT,
    MAX_MESSAGE,
    MAX_RECORDS,
    BadHello,
    ClientHello,
    ClientHelloReader,
    HelloFault,
    looks_like_http,
    looks_like_tls,
    parse_client_hello,
)
from tests.harness import hello as build
from tests.harness.hello import extension, handshake, record, records, server_name, vector
from tests.wire import openssl_hello, plain_hello

NAME = b"www.example.com.cn"
PLAIN = handshake(server_name(NAME) + build.COMMON)


def with_extensions(*extensions: bytes) -> bytes:
    return record(handshake(b"".join(extensions)))


def body(
    *,
    version: bytes = b"\x03\x03",
    session: bytes = vector(b"s" * 32, 1),
    ciphers: bytes = vector(b"\x13\x01", 2),
    compressions: bytes = vector(b"\x00", 1),
    rest: bytes = vector(server_name(NAME), 2),
) -> bytes:
    """One ClientHello in one record, each vector with a length of its own."""
    return record(
        b"\x01" + vector(version + b"r" * 32 + session + ciphers + compressions + rest, 3)
    )


def sized(total: int) -> bytes:
    """A ClientHello message of exactly `total` bytes."""
    return handshake(server_name(NAME) + build.padding(total - len(PLAIN) - 4) + build.COMMON)


def name_list(data: bytes) -> bytes:
    return with_extensions(extension(0, data), build.COMMON)


def entry(name: bytes, name_type: int = 0) -> bytes:
    return bytes([name_type]) + vector(name, 2)


READ = {
    "a name": (record(PLAIN), NAME),
    "a name after other extensions": (with_extensions(build.COMMON, server_name(NAME)), NAME),
    "a name between unknown extensions": (
        with_extensions(extension(0x2A2A, b""), server_name(NAME), extension(0xFAFA, b"\x00")),
        NAME,
    ),
    "an upper-case name with a dot, as it came": (
        with_extensions(server_name(b"WWW.Example.COM.")),
        b"WWW.Example.COM.",
    ),
    "a name with NUL, for names.py to refuse": (
        with_extensions(server_name(b"filed.com\0.unfiled.com")),
        b"filed.com\0.unfiled.com",
    ),
    "a name that is no ASCII": (with_extensions(server_name(b"\xff\xfe")), b"\xff\xfe"),
    "a name of 60 kB": (records(handshake(server_name(b"a" * 60_000))), b"a" * 60_000),
    "no server_name": (with_extensions(build.COMMON), None),
    "an empty extensions block": (with_extensions(), None),
    "no extensions block": (record(handshake(None)), None),
    "an empty host_name": (name_list(vector(entry(b""), 2)), b""),
    "an empty name list": (name_list(vector(b"", 2)), b""),
    "an empty server_name": (name_list(b""), b""),
    "an empty server_name as the last bytes": (with_extensions(extension(0, b"")), b""),
    "no session id": (body(session=vector(b"", 1)), NAME),
    "SSL 3.0": (b"\x16\x03\x00" + body(version=b"\x03\x00")[3:], NAME),
    "a record version to come": (record(PLAIN, version=b"\x03\x7f"), NAME),
    "several compression methods": (body(compressions=vector(b"\x01\x00", 1)), NAME),
    "a message just within a record": (record(sized(MAX_FRAGMENT)), NAME),
    "a message just over a record": (records(sized(MAX_FRAGMENT + 1)), NAME),
    "a message of the largest size": (records(sized(MAX_MESSAGE)), NAME),
    "empty records before the message": (record(b"") * 3 + record(PLAIN), NAME),
    "empty records within the message": (
        record(PLAIN[:1]) + record(b"") * 3 + record(PLAIN[1:]),
        NAME,
    ),
    "as many records as are read": (
        record(b"") * (MAX_RECORDS - 1) + record(PLAIN),
        NAME,
    ),
    "a second hello in a record of its own": (
        record(PLAIN) + with_extensions(server_name(b"unfiled.com")),
        NAME,
    ),
    "bytes of no meaning after the record": (record(PLAIN) + b"\x00\xff", NAME),
}  # fmt: skip


@pytest.mark.parametrize(("data", "sni"), READ.values(), ids=READ.keys())
def test_hello_is_read(data: bytes, sni: bytes | None) -> None:
    assert parse_client_hello(data) == ClientHello(sni, ech=False)
    assert ClientHelloReader().feed(data) == ClientHello(sni, ech=False)
    assert openssl_hello.agrees(data, sni)


REFUSED = {
    # records
    "HTTP": (b"GET / HTTP/1.1\r\n", HelloFault.not_tls),
    "zeros": (bytes(16), HelloFault.not_tls),
    "one byte that no record starts with": (b"\x19", HelloFault.not_tls),
    "bytes with the top bit set": (b"\x80\x2e\x02\x03\x03", HelloFault.not_tls),
    "an SSLv2 hello that offers TLS": (b"\x80\x2e\x01\x03\x01\x00\x15", HelloFault.sslv2),
    "an SSLv2 hello that offers SSLv2": (b"\x80\x2e\x01\x00\x02\x00\x15", HelloFault.sslv2),
    "a change_cipher_spec": (record(b"\x01", kind=20), HelloFault.not_handshake),
    "an alert": (record(b"\x02\x28", kind=21), HelloFault.not_handshake),
    "application data": (record(b"x", kind=23), HelloFault.not_handshake),
    "a heartbeat": (record(b"\x01\x40\x00", kind=24), HelloFault.not_handshake),
    "an alert header of no TLS version": (b"\x15\x02", HelloFault.not_tls),
    "an alert between the parts of a hello": (
        record(PLAIN[:40]) + record(b"\x01\x00", kind=21) + record(PLAIN[40:]),
        HelloFault.not_handshake,
    ),
    "a part of a hello, then bytes that are no record": (
        record(PLAIN[:40]) + PLAIN[40:],
        HelloFault.not_tls,
    ),
    "a record version 2.0": (b"\x16\x02\x00", HelloFault.bad_version),
    "a record version 4.0": (record(PLAIN, version=b"\x04\x00"), HelloFault.bad_version),
    "a record longer than the protocol allows": (
        record(sized(MAX_FRAGMENT + 1)),
        HelloFault.bad_lengths,
    ),
    "too many records": (record(b"") * MAX_RECORDS + record(PLAIN), HelloFault.too_many_records),
    # the handshake message
    "a server's hello": (record(b"\x02" + PLAIN[1:]), HelloFault.not_client_hello),
    "the type of another message in a part record": (
        b"\x16\x03\x01\x00\xff\x0b",
        HelloFault.not_client_hello,
    ),
    "a message over the largest size": (records(sized(MAX_MESSAGE + 1)), HelloFault.too_large),
    "a length over the largest size, at its header": (
        record(b"\x01\xff\xff\xff"),
        HelloFault.too_large,
    ),
    "bytes after the message in its record": (record(PLAIN + b"\x00"), HelloFault.bad_lengths),
    "a second message in its record": (record(PLAIN * 2), HelloFault.bad_lengths),
    "a message of no length": (record(b"\x01\x00\x00\x00"), HelloFault.bad_lengths),
    "a message of no length, then another record": (
        record(b"\x01\x00\x00\x00") + record(PLAIN),
        HelloFault.bad_lengths,
    ),
    "a message that ends in its random": (
        record(b"\x01" + vector(b"\x03\x03" + b"r" * 20, 3)),
        HelloFault.bad_lengths,
    ),
    # its fields
    "a client version of SSLv2": (body(version=b"\x00\x02"), HelloFault.bad_version),
    "a session id of 33 bytes": (body(session=vector(b"s" * 33, 1)), HelloFault.bad_lengths),
    "a session id past the end": (body(session=b"\xff"), HelloFault.bad_lengths),
    "no cipher suites": (body(ciphers=vector(b"", 2)), HelloFault.bad_lengths),
    "half a cipher suite": (body(ciphers=vector(b"\x13\x01\x13", 2)), HelloFault.bad_lengths),
    "cipher suites past the end": (body(ciphers=b"\xff\xfe"), HelloFault.bad_lengths),
    "no compression methods": (body(compressions=vector(b"", 1)), HelloFault.bad_lengths),
    "compression methods past the end": (body(compressions=b"\xff"), HelloFault.bad_lengths),
    "one byte of extensions": (body(rest=b"\x00"), HelloFault.bad_lengths),
    "extensions shorter than the message": (
        body(rest=vector(server_name(NAME), 2) + b"\x00"),
        HelloFault.bad_lengths,
    ),
    "extensions longer than the message": (
        body(rest=(len(server_name(NAME)) + 1).to_bytes(2, "big") + server_name(NAME)),
        HelloFault.bad_lengths,
    ),
    # extensions
    "three bytes of an extension header": (
        with_extensions(b"\x00\x00\x00"),
        HelloFault.bad_lengths,
    ),
    "an extension past the end": (with_extensions(b"\x00\x0a\x00\x01"), HelloFault.bad_lengths),
    "an extension that swallows the next ones in part": (
        with_extensions(b"\x00\x0a\x00\x06", server_name(NAME)),
        HelloFault.bad_lengths,
    ),
    "two extensions of one type": (
        with_extensions(server_name(NAME), extension(10, b"a"), extension(10, b"b")),
        HelloFault.duplicate_extension,
    ),
    "two equal extensions": (
        with_extensions(extension(0xFAFA, b"") * 2, server_name(NAME)),
        HelloFault.duplicate_extension,
    ),
    # names
    "two server_names": (
        with_extensions(server_name(NAME), build.COMMON, server_name(b"unfiled.com")),
        HelloFault.two_names,
    ),
    "two equal server_names": (with_extensions(server_name(NAME) * 2), HelloFault.two_names),
    "two host_names": (
        with_extensions(server_name(NAME, b"unfiled.com")),
        HelloFault.two_names,
    ),
    "two equal host_names": (with_extensions(server_name(NAME, NAME)), HelloFault.two_names),
    "an empty host_name before another": (
        with_extensions(server_name(b"", NAME)),
        HelloFault.two_names,
    ),
    "a name of an unknown type": (
        with_extensions(server_name(NAME, name_type=1)),
        HelloFault.unknown_name_type,
    ),
    "a name of an unknown type after a host_name": (
        name_list(vector(entry(NAME) + entry(b"unfiled.com", 1), 2)),
        HelloFault.unknown_name_type,
    ),
    "one byte of a name list": (name_list(b"\x00"), HelloFault.bad_lengths),
    "a name list shorter than server_name": (
        name_list(vector(entry(NAME), 2) + b"\x00"),
        HelloFault.bad_lengths,
    ),
    "a name list longer than server_name": (
        name_list(b"\x00\xff" + entry(NAME)),
        HelloFault.bad_lengths,
    ),
    "two bytes of a name entry": (name_list(vector(b"\x00\x00", 2)), HelloFault.bad_lengths),
    "a host_name shorter than its list": (
        name_list(vector(entry(NAME) + b"\x00", 2)),
        HelloFault.bad_lengths,
    ),
    "a host_name longer than its list": (
        name_list(vector(b"\x00\x00\xff" + NAME, 2)),
        HelloFault.bad_lengths,
    ),
    "a host_name that goes on into the next extension": (
        with_extensions(extension(0, b"\x00\x05\x00\x00\x08" + b"ab"), extension(11, b"\x00\x00")),
        HelloFault.bad_lengths,
    ),
}  # fmt: skip


def fault(*portions: bytes) -> HelloFault | None:
    """The fault that a reader finds; None if it finds none in all of `portions`."""
    reader = ClientHelloReader()
    try:
        for portion in portions:
            reader.feed(portion)
    except BadHello as error:
        return error.kind
    return None


@pytest.mark.parametrize(("data", "kind"), REFUSED.values(), ids=REFUSED.keys())
def test_hello_is_refused(data: bytes, kind: HelloFault) -> None:
    with pytest.raises(BadHello) as refusal:
        parse_client_hello(data)
    assert refusal.value.kind is kind
    assert refusal.value.detail
    assert str(refusal.value) == f"{kind}: {refusal.value.detail}"
    assert fault(data) is kind
    assert fault(*(data[at : at + 1] for at in range(len(data)))) is kind


@pytest.mark.parametrize("type_", [0, 10, 0xFE0D, 0xFFFF])
@pytest.mark.parametrize("between", [0, 1, 40])
def test_a_type_that_comes_again_anywhere_is_found(type_: int, between: int) -> None:
    others = [extension(1000 + number, b"x") for number in range(between)]
    with pytest.raises(BadHello) as refusal:
        parse_client_hello(with_extensions(extension(type_, b""), *others, extension(type_, b"")))
    expected = HelloFault.two_names if type_ == 0 else HelloFault.duplicate_extension
    assert refusal.value.kind is expected
    assert type_ == 0 or str(type_) in refusal.value.detail


def test_the_outer_name_of_an_ech_hello_is_read() -> None:
    hello = with_extensions(server_name(b"cover.example"), build.encrypted_client_hello())
    assert parse_client_hello(hello) == ClientHello(b"cover.example", ech=True)


def test_ech_without_an_outer_name_is_seen() -> None:
    assert parse_client_hello(with_extensions(build.encrypted_client_hello())) == ClientHello(
        None, ech=True
    )


def test_extension_of_another_type_is_no_ech() -> None:
    for other in (0xFE0C, 0xFE0E, 0x0DFE):
        hello = parse_client_hello(with_extensions(extension(other, b"\x00" * 8)))
        assert hello == ClientHello(None, ech=False)


def test_every_length_in_a_hello_is_believed_only_if_all_agree() -> None:
    """Any one length byte of a plain hello changed: as the plain reader says."""
    data = record(PLAIN)
    sni_at = data.index(server_name(NAME))
    offsets = {
        "record": (3, 4),
        "message": (6, 7, 8),
        "session id": (43,),
        "cipher suites": (76, 77),
        "compression methods": (84,),
        "extensions": (86, 87),
        "server_name": (sni_at + 2, sni_at + 3),
        "name list": (sni_at + 4, sni_at + 5),
        "host_name": (sni_at + 7, sni_at + 8),
    }
    assert [data[43], data[84]] == [32, 1]
    assert int.from_bytes(data[76:78], "big") == 6
    refused = 0
    for at in (at for group in offsets.values() for at in group):
        for value in range(256):
            changed = data[:at] + bytes([value]) + data[at + 1 :]
            expected, read = by_the_book(changed), by_the_gate(changed)
            # The gate does not wait for the rest of what cannot become a hello any more.
            agreed = ["refused", None] if expected is None else [expected]
            assert read in agreed, f"byte {at} as {value}"
            refused += read == "refused"
    assert refused > 3000


def by_the_book(data: bytes) -> ClientHello | str | None:
    try:
        return plain_hello.read(data)
    except plain_hello.Refused:
        return "refused"
    except plain_hello.Incomplete:
        return None


def by_the_gate(data: bytes) -> ClientHello | str | None:
    try:
        return parse_client_hello(data)
    except BadHello:
        return "refused"


def test_a_refusal_comes_with_the_first_byte_that_proves_it() -> None:
    """Garbage is not to hold a connection until the deadline."""
    refused_at = {
        b"\x19": 1,
        b"\x16\x02\x00\x00": 2,
        b"\x15\x03\x01\x00\x02\x02\x28": 2,
        b"\x80\x2e\x01\x03\x01": 5,
        b"\x16\x03\x01\x40\x01\x01": 5,
        record(b"\x02" + PLAIN[1:]): 6,
        record(b"\x01\x02\x00\x00" + PLAIN[4:]): 9,
    }
    for data, at in refused_at.items():
        assert fault(data[: at - 1]) is None
        assert fault(data[:at]) is not None


TLS_STARTS = [
    b"\x16",
    b"\x16\x03",
    b"\x16\x03\x01\x02\x00",
    b"\x15\x03\x03",
    b"\x80",
    b"\x80\x2e\x01",
]
HTTP_STARTS = [
    b"G",
    b"GET",
    b"GET ",
    b"GET / HTTP/1.1\r\n",
    b"M-SEARCH * HTTP/1.1",
    b"PRI * HTTP/2.0",
]
NEITHER = [
    *(b"", b"\x16\x02", b"\x80\x2e\x02", b"\x19\x03", b"\x00", b"\r\n", b"-", b"1 ", b"hello"),
    *(b" GET", b"get /", b"GET\r\n", b"G\0", b"A" * 40),
]


@pytest.mark.parametrize("first", TLS_STARTS + HTTP_STARTS + NEITHER)
def test_protocol_is_told_by_its_first_bytes(first: bytes) -> None:
    assert looks_like_tls(first) is (first in TLS_STARTS)
    assert looks_like_http(first) is (first in HTTP_STARTS)


@pytest.mark.parametrize("whole", [TLS_STARTS[2], HTTP_STARTS[3]])
def test_a_longer_start_of_the_same_stream_looks_the_same(whole: bytes) -> None:
    starts = [whole[:size] for size in range(1, len(whole) + 1)]
    for shorter, longer in pairwise(starts):
        assert looks_like_tls(shorter) is looks_like_tls(longer)
        assert looks_like_http(shorter) is looks_like_http(longer)

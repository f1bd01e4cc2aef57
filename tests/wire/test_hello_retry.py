"""The second ClientHello: when it is asked for, and what is read of it."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.wire.hello_retry import SecondHello, asks_again
from gate.wire.tls import BadHello, ClientHello, HelloFault, hello_end
from tests.harness import hello as build
from tests.harness.retry import asked_again, first_hello, openssl_answer, second_hello
from tests.harness.tools import require

CCS = build.record(b"\x01", kind=20, version=b"\x03\x03")
EARLY = build.record(b"e" * 700, kind=23, version=b"\x03\x03")
ALERT = build.record(b"\x02\x28", kind=21, version=b"\x03\x03")
WARNING = build.record(b"\x01\x70", kind=21, version=b"\x03\x03")
RANDOM_END = 43
NAMED = ClientHello(b"a.cn", ech=False)
SECOND = build.record(second_hello(b"a.cn"), version=b"\x03\x03")


def read(portions: list[bytes]) -> tuple[ClientHello | None, SecondHello]:
    reader = SecondHello()
    for portion in portions:
        hello = reader.feed(portion)
        if hello is not None:
            return hello, reader
    return None, reader


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_openssl_asks_again_for_a_share_of_another_group() -> None:
    assert asks_again(openssl_answer(first_hello(b"a.cn")))
    assert not asks_again(openssl_answer(build.records(second_hello(b"a.cn"))))


@pytest.mark.programs
def test_a_go_server_asks_again_in_the_same_way(tmp_path: Path) -> None:
    source = tmp_path / "server.go"
    source.write_text(GO)
    done = subprocess.run(
        [require("go"), "run", str(source)],
        input=first_hello(b"a.cn"),
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert asks_again(done.stdout)


GO = """package main
import ("crypto/ecdsa"; "crypto/elliptic"; "crypto/rand"; "crypto/tls"; "crypto/x509"
    "io"; "math/big"; "net"; "os"; "time")
type pipe struct{ net.Conn }
func (pipe) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (pipe) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func main() {
    key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
    t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
    der, _ := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
    certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
    one, _ := net.Pipe()
    config := &tls.Config{Certificates: []tls.Certificate{certificate},
        CurvePreferences: []tls.CurveID{tls.CurveP384}}
    err := tls.Server(pipe{one}, config).Handshake()
    if err != io.EOF && err != io.ErrUnexpectedEOF { println(err.Error()) }
}
"""


@pytest.mark.parametrize(
    "answer",
    [
        bytes(100),
        build.record(b"\x02" + build.vector(b"\x03\x03" + b"r" * 32 + bytes(40), 3)),
        ALERT + build.record(bytes(60), kind=23),
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(40),
        asked_again()[1:],
        b"x" + asked_again(),
    ],
)
def test_other_answers_ask_for_nothing(answer: bytes) -> None:
    assert asks_again(answer) is False
    assert asks_again(memoryview(answer)) is False


@pytest.mark.parametrize("before", [b"", WARNING, WARNING * 3])
def test_the_question_is_known_by_the_end_of_the_servers_random(before: bytes) -> None:
    answer = before + asked_again()
    for size in range(len(before) + RANDOM_END):
        assert asks_again(answer[:size]) is None
    for size in range(len(before) + RANDOM_END, len(answer)):
        assert asks_again(memoryview(answer)[:size]) is True


@pytest.mark.parametrize("byte", [b"\x00", b"\x14", b"\x17", b"H"])
def test_one_byte_tells_that_it_is_no_handshake(byte: bytes) -> None:
    assert asks_again(byte) is False
    assert asks_again(WARNING + byte) is False


@pytest.mark.parametrize("before", [b"", CCS, EARLY, CCS + EARLY + EARLY, EARLY + CCS, ALERT])
@pytest.mark.parametrize("size", [16384, 1, 50])
def test_the_hello_is_found_behind_what_may_come_before_it(before: bytes, size: int) -> None:
    hello = build.records(second_hello(b"a.cn"), size)
    for portions in ([before + hello], [before, hello], single(before + hello)):
        found, reader = read([portion for portion in portions if portion])
        assert found == NAMED
        assert reader.passed == len(before)
        assert reader.raw == hello


def test_bytes_behind_the_hello_are_kept_with_it() -> None:
    found, reader = read([CCS + SECOND + b"more"])
    assert found == NAMED
    assert (reader.passed, reader.raw) == (len(CCS), SECOND + b"more")


def test_what_comes_before_may_go_on_before_the_hello_is_there() -> None:
    reader = SecondHello()
    assert reader.feed(CCS[:3]) is None
    assert (reader.passed, reader.raw) == (3, b"")
    assert reader.feed(CCS[3:] + EARLY + SECOND[:40]) is None
    assert (reader.passed, reader.raw) == (len(CCS + EARLY), SECOND[:40])
    assert reader.feed(SECOND[40:]) == NAMED


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"GET / HTTP/1.1\r\n", HelloFault.not_handshake),
        (b"\x00", HelloFault.not_handshake),
        (b"\x18\x03\x03", HelloFault.not_handshake),
        (b"\x14\x02", HelloFault.bad_version),
        (b"\x17\x03\x03\xff\xff", HelloFault.bad_lengths),
        (b"\x17\x03\x03\x41\x01", HelloFault.bad_lengths),
        (CCS + b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", HelloFault.not_client_hello),
        (CCS + b"\x16\x02", HelloFault.bad_version),
        (SECOND[:60] + CCS, HelloFault.bad_lengths),
        (build.records(second_hello(b"a.cn"), 50)[:55] + CCS, HelloFault.not_handshake),
        (
            build.record(build.handshake(build.server_name(b"a.cn", b"b.cn"))),
            HelloFault.two_names,
        ),
    ],
)
def test_what_cannot_become_a_second_hello_is_refused(data: bytes, kind: HelloFault) -> None:
    for portions in ([data], single(data)):
        if kind is HelloFault.bad_lengths and data.startswith(SECOND[:60]):
            data = data + bytes(200)
            portions = [data]
        with pytest.raises(BadHello) as caught:
            read(portions)
        assert caught.value.kind is kind


def test_the_largest_encrypted_record_is_passed_over() -> None:
    record = build.record(bytes(16_384 + 256), kind=23)
    assert read([record + SECOND])[0] == NAMED


@pytest.mark.parametrize("size", [16384, 1, 3, 4, 5, 200])
@pytest.mark.parametrize("behind", [b"", CCS, b"x" * 9])
def test_the_end_of_a_hello_is_known_whatever_its_records(size: int, behind: bytes) -> None:
    hello = build.hello(b"a.cn", size=size)
    assert hello_end(hello + behind) == len(hello)


@given(st.binary(max_size=60), st.lists(st.integers(0, 900), max_size=5), st.booleans())
def test_portions_change_nothing(noise: bytes, cuts: list[int], behind: bool) -> None:
    stream = CCS + EARLY + (SECOND + noise if behind else noise + SECOND)
    places = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    portions = [stream[start:end] for start, end in pairwise(places)]
    assert outcome([stream]) == outcome([portion for portion in portions if portion])


def outcome(portions: list[bytes]) -> object:
    try:
        found, reader = read(portions)
    except BadHello as error:
        return error.kind
    return found, reader.passed

"""What one filing takes on disk, and that nothing of it is lost."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gate.filings import Filing, Status
from gate.licence import PROVINCES
from gate.replica import digest, digest_line
from gate.replica.packing import pack, unpack
from gate.replica.records import decode, encode

STORED = [Status.FILED, Status.FILED_ELSEWHERE, Status.SUSPENDED, Status.REVOKED]
LICENCES = st.from_regex(
    rf"[{''.join(PROVINCES)}]ICP备[0-9]{{1,15}}号(-[1-9][0-9]{{0,8}}A?)?", fullmatch=True
)


@pytest.mark.parametrize(
    ("licence", "size"),
    [
        ("", 1),
        ("京ICP备12345678号", 6),
        ("鲁ICP备09090609号-2", 7),
        ("粤ICP备2021000001号-1", 8),
        ("粤ICP备2021000001号-1A", 8),
        ("粤ICP备2021000001号-300", 9),
        ("京ICP备00000000号", 3),
        ("京ICP证030173号", 19),
        ("B2-20090059", 12),
    ],
)
def test_a_value_is_small_and_whole(licence: str, size: int) -> None:
    value = encode(Status.FILED, licence)
    assert len(value) == size
    assert decode("example.com", value) == Filing("example.com", Status.FILED, licence)


@given(LICENCES | st.text(max_size=40).filter(str.isprintable))
@example("京ICP备1号-0")  # a site number that no packing may change
@example("京ICP备1号-01")
@example("京ICP备1号-1B")
@example("京ICP备１号")
@example("京ICP备0000000000000001号")
def test_packing_loses_nothing(licence: str) -> None:
    assert unpack(*pack(licence)) == licence


@pytest.mark.parametrize("licence", ["京ICP备1号-1\n", "a\tb", "\ud800", "x" * 101])
def test_a_licence_is_one_printable_line(licence: str) -> None:
    with pytest.raises(ValueError, match="one printable line"):
        encode(Status.FILED, licence)


def test_absent_is_never_stored() -> None:
    with pytest.raises(ValueError, match="never stored"):
        encode(Status.ABSENT, "")


@given(LICENCES, st.sampled_from(STORED))
def test_a_licence_number_takes_few_bytes(licence: str, status: Status) -> None:
    value = encode(status, licence)
    assert len(value) <= 14
    assert decode("example.com", value) == Filing("example.com", status, licence)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00",
        b"\x05",
        b"\x0f",
        b"\x11",
        b"\x21\x00",
        b"\x21\xff\x41\x01",
        b"\x51abc",
        b"\x41\xff",
    ],
)
def test_a_value_that_nobody_wrote_is_an_error(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode("example.com", value)


def test_the_digest_is_of_sorted_lines_without_the_revoked() -> None:
    filings = [
        Filing("a.com", Status.FILED, "京ICP备1号-1"),
        Filing("b.com", Status.REVOKED),
        Filing("c.com", Status.SUSPENDED),
    ]
    text = "a.com\tfiled\t京ICP备1号-1\nc.com\tsuspended\t\n"
    assert digest(filings) == hashlib.sha256(text.encode()).hexdigest()
    assert (
        digest_line("a.com", Status.FILED, "京ICP备1号-1") == text.split("\n")[0].encode() + b"\n"
    )

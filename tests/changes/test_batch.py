"""Batches: what is written is read back, and nothing else is read."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.changes.batch import MAX_CHANGES, MAX_PAYLOAD, Batch, decode, split
from gate.changes.errors import Cause, Gap, SyncError
from gate.filings import Change, Status

EPOCH = "01790000000000-abcdef01"

domains = st.from_regex(r"[a-z0-9]{1,20}(\.[a-z0-9]{1,20}){0,3}\.(cn|com|net)", fullmatch=True)
changes = st.builds(
    Change,
    domain=domains,
    status=st.sampled_from([Status.FILED, Status.FILED_ELSEWHERE, Status.SUSPENDED, Status.ABSENT]),
    licence=st.sampled_from(["", "京ICP备12345678号-1", "鲁ICP备09090609号-2A", 'a"b\\c']),
    time=st.integers(0, 2**40),
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    items = tuple(draw(st.lists(changes, max_size=20)))
    start = draw(st.integers(0, 2**50))
    end = start + len(items)
    return Batch(EPOCH, start, end, items, end + draw(st.integers(0, 9)), draw(st.integers(0, 9)))


@given(batches())
def test_what_is_encoded_is_decoded_alike(batch: Batch) -> None:
    assert decode(batch.encode()) == batch


def payload(**fields: Any) -> bytes:
    """A good payload of one change, with other fields."""
    good: dict[str, Any] = {
        "epoch": EPOCH,
        "from": 4,
        "to": 5,
        "head": 7,
        "issued_at": 1_790_000_000,
        "changes": [["a.cn", "filed", "京ICP备12345678号-1", 1_790_000_000]],
    }
    return json.dumps(good | fields, ensure_ascii=False, separators=(",", ":")).encode()


def change(*row: Any) -> bytes:
    """A payload with another change."""
    return payload(changes=[list(row)])


def test_the_example_is_good() -> None:
    assert decode(payload()).changes == (
        Change("a.cn", Status.FILED, "京ICP备12345678号-1", 1_790_000_000),
    )


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half JSON"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
        pytest.param(b"[" * 100_000, id="nested too deeply"),
        pytest.param(payload() + b" ", id="a space behind"),
        pytest.param(payload().replace(b'"from":4', b'"from":4,"from":4'), id="a field twice"),
        pytest.param(payload(more=1), id="a field too many"),
        pytest.param(payload().replace(b'"head":7,', b""), id="a field too few"),
        pytest.param(payload().replace(b'"from":4', b'"from":4.0'), id="a float"),
        pytest.param(payload(**{"from": True, "to": 2}), id="a boolean for a number"),
        pytest.param(payload(**{"from": "4"}), id="text for a number"),
        pytest.param(payload(epoch=""), id="no epoch"),
        pytest.param(payload(epoch="../x"), id="an epoch with path characters"),
        pytest.param(payload(epoch="x" * 65), id="an epoch too long"),
        pytest.param(payload(to=6), id="more revisions than changes"),
        pytest.param(payload(to=4), id="fewer revisions than changes"),
        pytest.param(payload(**{"from": 6, "to": 5}), id="backwards"),
        pytest.param(payload(**{"from": -1, "to": 0}), id="before the beginning"),
        pytest.param(payload(head=4), id="beyond the head"),
        pytest.param(payload(issued_at=-1), id="before 1970"),
        pytest.param(payload(changes={}), id="changes that are no list"),
        pytest.param(change("a.cn", "filed", ""), id="a change too short"),
        pytest.param(change("a.cn", "filed", "", 1, 2), id="a change too long"),
        pytest.param(change("a.cn", "filed", "", True), id="a boolean for a time"),
        pytest.param(change("a.cn", "filed", "", -1), id="a time before 1970"),
        pytest.param(change("a.cn", "revoked", "", 1), id="revoked is the gate's own"),
        pytest.param(change("a.cn", "FILED", "", 1), id="an unknown status"),
        pytest.param(change("a.cn", "filed", "x" * 65, 1), id="a licence too long"),
        pytest.param(change("a.cn", "filed", "x\ny", 1), id="a line feed in a licence"),
        pytest.param(change("cn", "filed", "", 1), id="a top-level domain"),
        pytest.param(change("A.cn", "filed", "", 1), id="capitals"),
        pytest.param(change("a.cn.", "filed", "", 1), id="a trailing dot"),
        pytest.param(change("a..cn", "filed", "", 1), id="an empty label"),
        pytest.param(change("中国.cn", "filed", "", 1), id="a U-label"),
        pytest.param(change("xn--a.cn", "filed", "", 1), id="a broken A-label"),
        pytest.param(change("1.2.3.4", "filed", "", 1), id="an IP address"),
        pytest.param(change("a.cn/../b", "filed", "", 1), id="a path"),
        pytest.param(change("a.cn'; DROP TABLE x", "filed", "", 1), id="SQL"),
        pytest.param(change("a\x00.cn", "filed", "", 1), id="NUL"),
        pytest.param(change("a" * 64 + ".cn", "filed", "", 1), id="a label too long"),
    ],
)
def test_anything_else_is_malformed(bad: bytes) -> None:
    with pytest.raises(SyncError) as caught:
        decode(bad)
    assert caught.value.cause is Cause.MALFORMED


def test_limits_of_size() -> None:
    with pytest.raises(SyncError) as caught:
        decode(b" " * (MAX_PAYLOAD + 1))
    assert caught.value.cause is Cause.OVERSIZE
    many = tuple(Change(f"a{n}.cn", Status.FILED) for n in range(MAX_CHANGES + 1))
    with pytest.raises(SyncError) as caught:
        Batch(EPOCH, 0, len(many), many, len(many), 0)
    assert caught.value.cause is Cause.OVERSIZE


@given(st.integers(0, 100), st.integers(0, 30), st.integers(0, 140))
def test_a_replica_takes_exactly_what_it_lacks(start: int, length: int, have: int) -> None:
    items = tuple(Change(f"a{n}.cn", Status.FILED, time=n) for n in range(length))
    batch = Batch(EPOCH, start, start + length, items, start + length, 0)
    if have < start:
        with pytest.raises(Gap) as caught:
            batch.after(have)
        assert caught.value.have == have
        return
    rest = batch.after(have)
    assert rest.changes == items[have - start :]
    assert rest.to_revision == batch.to_revision
    assert rest.from_revision == (have if rest.changes else max(start, min(have, start + length)))


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 64)), max_size=60), st.integers(0, 1000)
)
def test_split_batches_are_whole_in_order_and_within_limits(
    sizes: list[tuple[int, int]], start: int
) -> None:
    items = [
        Change(f"{'a' * domain}{number}.cn", Status.FILED_ELSEWHERE, '"' * licence, 2**62)
        for number, (domain, licence) in enumerate(sizes)
    ]
    parts = list(split(EPOCH, start, items, head=start + len(items), issued_at=0))
    assert [c for part in parts for c in part.changes] == items
    position = start
    for part in parts:
        assert part.from_revision == position
        assert part.changes
        part.encode()
        position = part.to_revision


def test_split_cuts_by_number_and_by_bytes() -> None:
    short = [Change(f"a{n}.cn", Status.FILED) for n in range(MAX_CHANGES + 1)]
    assert [len(b.changes) for b in split(EPOCH, 0, short, head=9999, issued_at=0)] == [
        MAX_CHANGES,
        1,
    ]
    wide = [
        dataclasses.replace(
            c, domain=f"{'x' * 60}.{'y' * 60}.{'z' * 60}.{c.domain}", licence="京" * 64
        )
        for c in short[:4000]
    ]
    parts = list(split(EPOCH, 0, wide, head=9999, issued_at=0))
    assert len(parts) > 1
    assert all(len(part.encode()) <= MAX_PAYLOAD for part in parts)

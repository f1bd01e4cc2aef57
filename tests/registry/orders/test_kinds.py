"""The type of an order, by the guide's table."""

from __future__ import annotations

from itertools import product

import pytest

from gate.registry.orders.kinds import (
    FILING_TYPES,
    NAMES,
    OTHER_TYPES,
    NoType,
    OnRecord,
    OrderType,
    Purpose,
    filing_type,
    single_type,
)

# Subject on record, accessed here, domain on record, and the guide's name of the type.
GUIDE = [
    (False, False, OnRecord.NO, "首次备案"),
    (True, False, OnRecord.NO, "新增服务（原备案不在本服务商）"),
    (True, True, OnRecord.NO, "新增服务（原备案在本服务商）"),
    (True, False, OnRecord.SAME_SUBJECT, "接入备案"),
    (True, True, OnRecord.SAME_SUBJECT, "接入网站"),
]


@pytest.mark.parametrize(("subject", "accessed", "domain", "name"), GUIDE)
def test_the_type_follows_from_the_records(
    subject: bool, accessed: bool, domain: OnRecord, name: str
) -> None:
    found = filing_type(subject_on_record=subject, subject_accessed=accessed, domain=domain)
    assert isinstance(found, OrderType)
    assert found.zh == name


@pytest.mark.parametrize(("subject", "accessed"), [(False, False), (True, False), (True, True)])
def test_a_domain_of_another_subject_is_a_conflict(subject: bool, accessed: bool) -> None:
    found = filing_type(
        subject_on_record=subject, subject_accessed=accessed, domain=OnRecord.OTHER_SUBJECT
    )
    assert found is NoType.DOMAIN_CONFLICT


def test_a_domain_that_is_accessed_here_needs_no_order() -> None:
    found = filing_type(subject_on_record=True, subject_accessed=True, domain=OnRecord.HERE)
    assert found is NoType.ALREADY_HERE


def test_the_table_has_every_case_that_can_be() -> None:
    def can_be(subject: bool, accessed: bool, domain: OnRecord) -> bool:
        if accessed and not subject:
            return False
        if domain is OnRecord.SAME_SUBJECT:
            return subject
        return domain is not OnRecord.HERE or accessed

    every = product((False, True), (False, True), OnRecord)
    assert set(FILING_TYPES) == {case for case in every if can_be(*case)}


@pytest.mark.parametrize(
    ("purpose", "services", "name"),
    [
        (Purpose.CHANGE, False, "变更备案"),
        (Purpose.CHANGE, True, "变更服务"),
        (Purpose.CANCEL, False, "注销主体"),
        (Purpose.CANCEL, True, "注销服务"),
        (Purpose.END_ACCESS, True, "取消接入"),
    ],
)
def test_what_is_on_record_changes_or_ends(purpose: Purpose, services: bool, name: str) -> None:
    assert OTHER_TYPES[purpose, services].zh == name


def test_one_order_mixes_no_types() -> None:
    new, access = OrderType.NEW_SERVICE_HERE, OrderType.ACCESS_SITE
    assert single_type([new, new]) is new
    assert single_type([new, access]) is NoType.MIXED_TYPES
    assert single_type([new, NoType.DOMAIN_CONFLICT]) is NoType.DOMAIN_CONFLICT


def test_every_type_has_its_names() -> None:
    assert set(NAMES) == set(OrderType)

"""备案类型: what an order is. Computed from the records, never asked for.

The owner says only what is wanted (a name is to be filed; something is to change or to end); the
records say which type of order that is. The first table is the filing guide's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class OrderType(StrEnum):
    """The types of orders, as the filing system names them."""

    FIRST_FILING = "first_filing"
    NEW_SERVICE_ELSEWHERE = "new_service_elsewhere"
    NEW_SERVICE_HERE = "new_service_here"
    ACCESS_FILING = "access_filing"
    ACCESS_SITE = "access_site"
    CHANGE_FILING = "change_filing"
    CHANGE_SERVICE = "change_service"
    CANCEL_SUBJECT = "cancel_subject"
    CANCEL_SERVICE = "cancel_service"
    CANCEL_ACCESS = "cancel_access"

    @property
    def zh(self) -> str:
        """Its Chinese name."""
        return NAMES[self][0]

    @property
    def en(self) -> str:
        """Its English name."""
        return NAMES[self][1]


NAMES: Final[dict[OrderType, tuple[str, str]]] = {
    OrderType.FIRST_FILING: ("首次备案", "first filing"),
    OrderType.NEW_SERVICE_ELSEWHERE: (
        "新增服务（原备案不在本服务商）",
        "new service (filed with another provider)",
    ),
    OrderType.NEW_SERVICE_HERE: (
        "新增服务（原备案在本服务商）",
        "new service (filed with this provider)",
    ),
    OrderType.ACCESS_FILING: ("接入备案", "access filing"),
    OrderType.ACCESS_SITE: ("接入网站", "access of a website"),
    OrderType.CHANGE_FILING: ("变更备案", "change of subject"),
    OrderType.CHANGE_SERVICE: ("变更服务", "change of service"),
    OrderType.CANCEL_SUBJECT: ("注销主体", "cancel a subject"),
    OrderType.CANCEL_SERVICE: ("注销服务", "cancel a service"),
    OrderType.CANCEL_ACCESS: ("取消接入", "cancel access"),
}

FILINGS: Final = frozenset(
    {
        OrderType.FIRST_FILING,
        OrderType.NEW_SERVICE_ELSEWHERE,
        OrderType.NEW_SERVICE_HERE,
    }
)
"""Types that put new names on record."""

ACCESSES: Final = frozenset({OrderType.ACCESS_FILING, OrderType.ACCESS_SITE})
"""Types that take a name on which another provider has filed."""

OF_WHAT_IS_HERE: Final = frozenset(
    {
        OrderType.CHANGE_FILING,
        OrderType.CHANGE_SERVICE,
        OrderType.CANCEL_SUBJECT,
        OrderType.CANCEL_SERVICE,
        OrderType.CANCEL_ACCESS,
    }
)
"""Types that are offered only for what was filed here."""

NUMBERED: Final = frozenset(
    {OrderType.FIRST_FILING, OrderType.NEW_SERVICE_HERE, OrderType.NEW_SERVICE_ELSEWHERE}
)
"""Types for which the authority gives a licence number to each service."""

WITHOUT_SMS: Final = frozenset({OrderType.CANCEL_ACCESS})
"""Types whose persons are not asked to verify themselves by SMS."""


class Purpose(StrEnum):
    """What an owner wants."""

    FILE = "file"
    CHANGE = "change"
    CANCEL = "cancel"
    END_ACCESS = "end_access"


class OnRecord(StrEnum):
    """What the records say of a domain, seen from the order's subject."""

    NO = "no"
    SAME_SUBJECT = "same_subject"
    """Filed by the subject, and not accessed here."""
    HERE = "here"
    """Filed by the subject, and accessed here: nothing is left to file."""
    OTHER_SUBJECT = "other_subject"


class NoType(StrEnum):
    """Why an order of no type can be made; codes of the registry's refusals."""

    DOMAIN_CONFLICT = "domain_conflict"
    ALREADY_HERE = "already_here"
    SUBJECT_UNKNOWN = "subject_unknown"
    MIXED_TYPES = "order_mixes_types"


class _Case(NamedTuple):
    subject_on_record: bool
    subject_accessed: bool
    domain: OnRecord


FILING_TYPES: Final[dict[_Case, OrderType | NoType]] = {
    _Case(False, False, OnRecord.NO): OrderType.FIRST_FILING,
    _Case(True, False, OnRecord.NO): OrderType.NEW_SERVICE_ELSEWHERE,
    _Case(True, True, OnRecord.NO): OrderType.NEW_SERVICE_HERE,
    _Case(True, False, OnRecord.SAME_SUBJECT): OrderType.ACCESS_FILING,
    _Case(True, True, OnRecord.SAME_SUBJECT): OrderType.ACCESS_SITE,
    _Case(True, True, OnRecord.HERE): NoType.ALREADY_HERE,
    _Case(False, False, OnRecord.OTHER_SUBJECT): NoType.DOMAIN_CONFLICT,
    _Case(True, False, OnRecord.OTHER_SUBJECT): NoType.DOMAIN_CONFLICT,
    _Case(True, True, OnRecord.OTHER_SUBJECT): NoType.DOMAIN_CONFLICT,
}
"""Subject on record, subject accessed here, domain on record: the type.

What the table has no row for can't be: a subject that is not on record has no access and no
domains, and one without access here has no domain that is accessed here.
"""


def filing_type(
    *, subject_on_record: bool, subject_accessed: bool, domain: OnRecord
) -> OrderType | NoType:
    """Return the type of an order for one domain that is to be filed, or why there is none."""
    return FILING_TYPES[_Case(subject_on_record, subject_accessed, domain)]


OTHER_TYPES: Final[dict[tuple[Purpose, bool], OrderType]] = {
    # Purpose, and whether the order names services.
    (Purpose.CHANGE, False): OrderType.CHANGE_FILING,
    (Purpose.CHANGE, True): OrderType.CHANGE_SERVICE,
    (Purpose.CANCEL, False): OrderType.CANCEL_SUBJECT,
    (Purpose.CANCEL, True): OrderType.CANCEL_SERVICE,
    (Purpose.END_ACCESS, True): OrderType.CANCEL_ACCESS,
}


def single_type(types: list[OrderType | NoType]) -> OrderType | NoType:
    """Return the type of an order by the types of its items: one order mixes none.

    A refusal of any item is the order's.
    """
    for found in types:
        if isinstance(found, NoType):
            return found
    if len(set(types)) != 1:
        return NoType.MIXED_TYPES
    return types[0]

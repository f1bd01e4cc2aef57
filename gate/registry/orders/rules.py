"""Checking an order by the rules: pure functions of what was entered and what is known.

What a rule says is in rule_texts.py, what a province sets in provinces/, and the numbers that a
provider may set (how short a name may be) in gate/settings/orders.py.

Every rule that is not met is a `Finding`. One that refuses keeps the order from its next step, one
that warns or notes is for the reviewer. What the registry knows nothing of (who an account was
verified as, who owns a domain) is itself a finding, of the weight that the provider has set.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import MAXYEAR, date, timedelta
from typing import Final

from gate.licence import PROVINCES, ServiceKind
from gate.names import registrable
from gate.registry.commands import SubjectKind
from gate.registry.errors import Said
from gate.registry.orders.entries import ItemEntry, OrderEntry, persons
from gate.registry.orders.kinds import ACCESSES, FILINGS, WITHOUT_SMS, OrderType
from gate.registry.orders.rule_texts import Finding, ProvinceRules, Weight, finding
from gate.registry.orders.working_days import WorkingDays, china_date

APPROVED_FIRST: Final = frozenset(
    {
        "新闻",
        "出版",
        "药品和医疗器械",
        "文化",
        "广播电影电视节目",
        "互联网宗教信息服务",
        "网络预约车",
        "互联网金融",
        "校外培训",
        "网约车",
    }
)
"""前置审批: subject matters that need an approval first, by the State Council's lists."""

RESERVED_WORDS: Final = ("测试", "网站名称", "备案", "国家级", "最高级")
_HAN: Final = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]")
_HOUR: Final = 3_600


@dataclass(slots=True, frozen=True)
class OrderLimits:
    """The common rules' values, as the provider has set them."""

    items_unit: int
    items_person: int
    account_hours_unit: int
    account_hours_person: int
    domain_days: int
    representative_owns: bool
    """A unit's domain may be its legal representative's."""
    site_name_han: int
    unknown: Weight | None
    """What it does that nothing is known of an account or a domain; None for nothing."""


@dataclass(slots=True, frozen=True)
class VerifiedAccount:
    """Who an account was verified as (实名认证), and when in Unix seconds."""

    name: str
    verified_at: int


@dataclass(slots=True, frozen=True)
class DomainOwner:
    """A domain's verified owner; `here` for a domain registered with this provider."""

    owner: str
    verified_at: int
    here: bool


@dataclass(slots=True, frozen=True)
class Facts:
    """What is known beside what was entered."""

    account: str
    verified: VerifiedAccount | None = None
    owners: dict[str, DomainOwner] = field(default_factory=dict)
    subject_name: str | None = None
    """As on record, which counts more than what was entered."""
    subject_kind: SubjectKind | None = None
    province: str | None = None
    services: int = 0
    """Services on record of the subject."""
    known: bool = False
    """The subject is on record."""
    owned: bool = False
    """And is the account's."""
    app_names: frozenset[str] = frozenset()
    websites: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Of the items that change a website on record: its domains as they are."""
    unnamed: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Of the items that name a service on record by some of its domains: the others."""


@dataclass(slots=True, frozen=True)
class Checker:
    """The rules for one moment."""

    limits: OrderLimits
    province: ProvinceRules | None
    days: WorkingDays
    now: int

    def check(self, entry: OrderEntry, kind: OrderType, facts: Facts) -> list[Finding]:
        """Return every rule that the order does not meet, those that refuse first."""
        found = list(self._check(entry, kind, facts))
        order = list(Weight)
        return sorted(found, key=lambda one: order.index(one.weight))

    def _check(self, entry: OrderEntry, kind: OrderType, facts: Facts) -> Iterator[Finding]:
        person = self._is_person(entry, facts)
        if kind not in WITHOUT_SMS and not persons(entry):
            yield finding("field_missing", Weight.REFUSE, "subject.principal")
        yield from self._count(entry, person)
        yield from self._whole(kind, facts)
        if kind not in FILINGS | ACCESSES:
            if not facts.owned:  # on record without an account: who says that it is theirs?
                yield from self._account(entry, facts, person)
            yield from self._names(entry, facts)
            yield from self._changes(entry, facts)
            return
        yield from self._subject(entry, kind, facts, person)
        yield from self._account(entry, facts, person)
        for place, item in enumerate(entry.items):
            yield from self._item(entry, item, f"items.{place}", kind, facts, person)
            for domain in facts.unnamed.get(place, ()):  # they open with it
                yield from self._owner(entry, domain, f"items.{place}.domains", facts, person)
        yield from self._names(entry, facts)
        if self.province is not None:
            yield from self._provincial(self.province, entry, kind, facts, person)

    def _is_person(self, entry: OrderEntry, facts: Facts) -> bool:
        return (facts.subject_kind or entry.subject.kind) is SubjectKind.PERSON

    def _count(self, entry: OrderEntry, person: bool) -> Iterator[Finding]:
        limits = [(self.limits.items_person if person else self.limits.items_unit, Weight.REFUSE)]
        if self.province is not None and self.province.order_limit is not None:
            limits.append((self.province.order_limit.value, self.province.order_limit.weight))
        count = len(entry.items)
        # The lowest counts; but one that only warns does not hide a higher one that refuses.
        for weight in Weight:
            values = [value for value, does in limits if does is weight and count > value]
            if values:
                yield finding("items_limit", weight, "items", limit=min(values), count=count)
                return

    def _subject(
        self, entry: OrderEntry, kind: OrderType, facts: Facts, person: bool
    ) -> Iterator[Finding]:
        subject = entry.subject
        if kind is OrderType.FIRST_FILING:
            for name in ("name", "province", "certificate"):
                if getattr(subject, name) is None:
                    yield finding("field_missing", Weight.REFUSE, f"subject.{name}")
        theirs, asked = subject.certificate_province, subject.province
        if theirs is None or asked is None or theirs == asked:
            return
        if not person:
            yield finding(
                "unit_province",
                Weight.REFUSE,
                "subject.province",
                certificate=PROVINCES[theirs],
                province=PROVINCES[asked],
            )

    def _account(self, entry: OrderEntry, facts: Facts, person: bool) -> Iterator[Finding]:
        verified = facts.verified
        if verified is None:
            if self.limits.unknown is not None:
                account = facts.account
                yield finding("account_unverified", self.limits.unknown, "account", account=account)
            return
        name = facts.subject_name or entry.subject.name or ""
        allowed = {name} if person else {name, entry.subject.legal_representative}
        if verified.name not in allowed:
            yield finding(
                "account_name", Weight.REFUSE, "account", verified=verified.name, name=name
            )
        limits = self.limits
        hours = limits.account_hours_person if person else limits.account_hours_unit
        ready = verified.verified_at + hours * _HOUR
        if self.now < ready:
            yield finding(
                "account_age", Weight.REFUSE, "account", met_on=china_date(ready), limit=hours
            )

    def _item(
        self,
        entry: OrderEntry,
        item: ItemEntry,
        at: str,
        kind: OrderType,
        facts: Facts,
        person: bool,
    ) -> Iterator[Finding]:
        if kind in FILINGS and item.kind is ServiceKind.WEBSITE and len(item.domains) > 1:
            yield finding("one_domain", Weight.REFUSE, f"{at}.domains")
        for place, domain in enumerate(item.domains):
            where = f"{at}.domains.{place}"
            above = registrable(domain)
            if above is not None and above != domain and kind in FILINGS:
                yield finding(
                    "registrable_only", Weight.REFUSE, where, domain=domain, registrable=above
                )
            yield from self._owner(entry, domain, where, facts, person)
        if kind in FILINGS and item.name is None:
            yield finding("field_missing", Weight.REFUSE, f"{at}.name")
        for matter in item.matters:
            if matter in APPROVED_FIRST and item.approval is None:
                yield finding("approval_missing", Weight.REFUSE, f"{at}.approval", matter=matter)

    def _owner(
        self, entry: OrderEntry, domain: str, where: str, facts: Facts, person: bool
    ) -> Iterator[Finding]:
        known = facts.owners.get(domain)
        if known is None:
            if self.limits.unknown is not None:
                yield finding("domain_owner_unknown", self.limits.unknown, where, domain=domain)
            return
        allowed = {facts.subject_name or entry.subject.name}
        if not person and self.limits.representative_owns:
            allowed.add(entry.subject.legal_representative)
        if known.owner not in allowed:
            yield finding("domain_owner", Weight.REFUSE, where, domain=domain, owner=known.owner)
        count = self.limits.domain_days
        if not count:
            return
        start = china_date(known.verified_at)
        ready = start + timedelta(days=count) if known.here else self.days.after(start, count).day
        if china_date(self.now) < ready:
            unit = ("自然日", "natural days") if known.here else ("工作日", "working days")
            limit = Said(f"{count} 个{unit[0]}", f"{count} {unit[1]}")
            yield finding(
                "domain_age", Weight.REFUSE, where, met_on=ready, domain=domain, limit=limit
            )

    def _names(self, entry: OrderEntry, facts: Facts) -> Iterator[Finding]:
        apps = set(facts.app_names)
        for place, item in enumerate(entry.items):
            if item.name is None:
                continue
            at = f"items.{place}.name"
            if item.kind is not ServiceKind.WEBSITE:
                if item.name in apps:
                    yield finding("app_name_repeated", Weight.REFUSE, at, name=item.name)
                apps.add(item.name)
                continue
            han = len(_HAN.findall(unicodedata.normalize("NFC", item.name)))
            if item.name in item.domains:
                yield finding("site_name_is_domain", Weight.REFUSE, at)
            elif han < self.limits.site_name_han:
                limit = self.limits.site_name_han
                yield finding("site_name_short", Weight.REFUSE, at, limit=limit)
            words = [(word, Weight.REFUSE) for word in RESERVED_WORDS]
            theirs = self.province.name_words if self.province is not None else None
            if theirs is not None:
                words += [(word, theirs.weight) for word in theirs.value]
            for word, weight in words:
                if word in item.name:
                    yield finding("site_name_word", weight, at, word=word)

    def _whole(self, kind: OrderType, facts: Facts) -> Iterator[Finding]:
        """What opens or closes a service does so with all its domains, named or not."""
        if kind is OrderType.CHANGE_SERVICE:
            return
        for place, others in facts.unnamed.items():
            shown = "、".join(others[:3])
            where = f"items.{place}.domains"
            yield finding("whole_service", Weight.WARN, where, count=len(others), domains=shown)

    def _changes(self, entry: OrderEntry, facts: Facts) -> Iterator[Finding]:
        """A website may lose a name that it has from before 2019, and get no other one."""
        for place, on_record in facts.websites.items():
            for number, domain in enumerate(entry.items[place].new_domains or ()):
                if domain not in on_record:
                    where = f"items.{place}.new_domains.{number}"
                    yield finding("domain_replaced", Weight.REFUSE, where, domain=domain)

    def _provincial(
        self,
        rules: ProvinceRules,
        entry: OrderEntry,
        kind: OrderType,
        facts: Facts,
        person: bool,
    ) -> Iterator[Finding]:
        name, subject = rules.name, entry.subject
        yield from self._age(rules, entry)
        elsewhere = subject.certificate_province not in (None, rules.province)
        policy = rules.persons_from_elsewhere
        if person and elsewhere and policy is not None:
            if policy.value == "refuse":
                yield finding("person_elsewhere", policy.weight, "subject.province", province=name)
            elif policy.value == "proof" and not subject.residence_proof:
                where = "subject.residence_proof"
                yield finding("residence_proof", policy.weight, where, province=name)
        yield from self._principal(rules, entry, person)
        for months, last, code, where in (
            (rules.certificate_months, subject.certificate_until, "certificate_ends", "subject"),
            *(
                (rules.domain_months, item.domain_until, "domain_ends", f"items.{place}")
                for place, item in enumerate(entry.items)
            ),
        ):
            if months is not None and last is not None:
                first = _add_months(china_date(self.now), months.value)
                if last < first:
                    field = f"{where}.{'certificate' if where == 'subject' else 'domain'}_until"
                    limit = months.value
                    yield finding(code, months.weight, field, limit=limit, until=last)
        if rules.denied_suffixes is not None:
            for place, item in enumerate(entry.items):
                for number, domain in enumerate(item.domains):
                    for suffix in rules.denied_suffixes.value:
                        if domain.endswith(f".{suffix}"):
                            where = f"items.{place}.domains.{number}"
                            weight = rules.denied_suffixes.weight
                            yield finding(
                                "suffix_denied", weight, where, province=name, suffix=suffix
                            )
        total = rules.total_limit_person if person else rules.total_limit_unit
        after = facts.services + len(entry.items)
        if total is not None and kind in FILINGS and after > total.value:
            limit = total.value
            yield finding(
                "total_limit", total.weight, "items", province=name, limit=limit, count=after
            )
        remark = rules.remark
        if remark is not None and not (entry.remark or all(i.remark for i in entry.items)):
            yield finding(
                "remark_missing", remark.weight, "remark", province=name, what=remark.value
            )
        if rules.local_telephone is not None and rules.local_telephone.value:
            where = "subject.principal.phone"
            yield finding("local_telephone", rules.local_telephone.weight, where, province=name)
        hollow = rules.hollow_may_add
        new = kind in FILINGS and kind is not OrderType.FIRST_FILING
        if hollow is not None and not hollow.value and new and facts.known and not facts.services:
            yield finding("hollow_subject", hollow.weight, "subject", province=name)
        for note in rules.notes:
            yield finding("province_note", Weight.NOTE, "", province=name, what=note)

    def _age(self, rules: ProvinceRules, entry: OrderEntry) -> Iterator[Finding]:
        if rules.minimum_age is None:
            return
        years, born = rules.minimum_age.value, entry.subject.principal_born
        where = "subject.principal_born"
        if born is None:
            yield finding("birth_unknown", Weight.NOTE, where, limit=years)
            return
        grown = _add_months(born, 12 * years)
        if china_date(self.now) < grown:
            yield finding("too_young", rules.minimum_age.weight, where, met_on=grown, limit=years)

    def _principal(
        self, rules: ProvinceRules, entry: OrderEntry, person: bool
    ) -> Iterator[Finding]:
        subject, wanted = entry.subject, rules.principal
        if person or wanted is None or subject.principal is None:
            return
        if subject.legal_representative in (None, subject.principal.name):
            return
        where = "subject.principal"
        if wanted.value == "representative":
            yield finding("not_representative", wanted.weight, where, province=rules.name)
        elif wanted.value == "authorised" and not subject.authorised:
            yield finding("not_authorised", wanted.weight, "subject.authorised")


def _add_months(day: date, months: int) -> date:
    """Return the same day some months later, or that month's last day; the last of all days."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    month += 1
    if year > MAXYEAR:
        return date.max
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")

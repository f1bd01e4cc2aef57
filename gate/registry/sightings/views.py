"""What gates tell of traffic, and the lists that come of it: the API's bodies and answers."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Final, Literal

from pydantic import Field

from gate.net.model import Model
from gate.registry.orders.entries import OrderEntry

MAX_DOMAINS: Final = 5_000
"""Domains of one report of traffic."""
MAX_NETWORKS: Final = 1_000
"""Networks of one request."""


class Evidence(StrEnum):
    """Why a blocked name is taken for an account's."""

    FILING = "filing"
    """Its domain is on record, of a subject of the account."""
    OWNER = "owner"
    """Its domain's verified owner is who the account was verified as, or the account's subject."""
    ORDER = "order"
    """The account has named it in an order."""
    ADDRESS = "address"
    """It was asked for at an address of the account's."""

    @property
    def zh(self) -> str:
        """Its Chinese name."""
        return EVIDENCE_NAMES[self][0]

    @property
    def en(self) -> str:
        """Its English name."""
        return EVIDENCE_NAMES[self][1]


EVIDENCE_NAMES: Final[dict[Evidence, tuple[str, str]]] = {
    Evidence.FILING: ("已有备案记录", "on record for the account's subject"),
    Evidence.OWNER: ("域名实名与账号一致", "the domain's verified owner is the account's"),
    Evidence.ORDER: ("账号曾在订单中填写", "named in an order of the account"),
    Evidence.ADDRESS: ("访问的是账号的主机地址", "asked for at an address of the account"),
}


class BlockedMatch(Model):
    """被拦截的域名与账号 / a blocked domain and whose it seems. Times are Unix seconds."""

    domain: str = Field(description="registrable name, A-label form")
    display: str
    reason: str
    requests: int
    first_seen: int
    last_seen: int
    account: str
    evidence: Evidence
    order: int | None = Field(None, description="进行中的订单 / an order under way that names it")
    draft: OrderEntry | None = Field(
        None, description="可直接提交的草稿 / a draft to make an order of, if none is under way"
    )


class IdleFiling(Model):
    """无访问的备案 / a filed domain that no gate has seen traffic for."""

    domain: str
    display: str
    licence: str
    account: str | None
    subject: str
    last_day: date | None = Field(description="最后访问日 / last day with traffic, in China")
    changed_at: int


class Watch(Model):
    """How far the gates' word on traffic goes. Days are of China."""

    days: int = Field(description="days without traffic that are asked for")
    since: date | None = Field(description="traffic is reported without a gap from this day on")
    silent: tuple[str, ...] = Field(
        description="known gates that do not report traffic: domains may be asked for there"
    )
    sufficient: bool = Field(description="no gap in these days, and no silent gate")


class HollowSubject(Model):
    """空壳主体 / a subject on record without any service."""

    licence: str
    name: str
    account: str | None
    since: int = Field(description="Unix seconds; when its last service ended")


class Look(Model):
    """What a look at what gates have seen came to."""

    blocked: int
    idle: int | None = Field(description="null where the gates' word does not go far enough")
    hollow: int
    notices: int = Field(description="put into the outbox")


class AccountNotice(Model):
    """通知 / what an account is told without an order. Times are Unix seconds."""

    id: str = Field(description="stable: a notice that comes again has the id of before")
    account: str
    kind: Literal["blocked", "idle", "hollow"]
    target: str = Field(description="the domain, or the subject's number")
    since: int
    day: int = Field(description="which day after that this is said on; 0 at once")
    title_zh: str
    title_en: str
    text_zh: str
    text_en: str


class TrafficReport(Model):
    """访问汇总上报 / filed domains that were asked for at a gate on a day: names only."""

    gate: str = Field(min_length=1, max_length=64, description="网关编号 / the gate's id")
    day: date = Field(description="日期（北京时间）/ the day in China")
    domains: tuple[str, ...] = Field(max_length=MAX_DOMAINS)
    lost: bool = Field(
        False, description="有遗漏 / something of that day is missing: nobody may rely on it"
    )


class TrafficTaken(Model):
    """How many of the domains are on record."""

    taken: int


class NetworkOwner(Model):
    """A network of the provider, and the account whose hosts are in it; null ends that."""

    network: str = Field(max_length=64, examples=["203.0.113.0/28", "2001:db8::/64"])
    account: str | None = Field(None, max_length=64)


class NetworkOwners(Model):
    """主机网段与账号 / whose hosts are where."""

    networks: tuple[NetworkOwner, ...] = Field(min_length=1, max_length=MAX_NETWORKS)

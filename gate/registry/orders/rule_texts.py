"""The rules that an order is checked by: their wording, and the provinces' own, kept as data.

Each province has one YAML file (`provinces/鲁.yaml`), which says where it is from, when it was
checked, and how far it can be trusted. A provider keeps its own versions in the folder that
`registry.orders.provinces` names; a file there takes the place of the one that came along.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Generic, Literal, NamedTuple, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gate.licence import PROVINCES
from gate.net.model import Model
from gate.registry.errors import RegistryFailure, Said

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

VERSION: Final = "1"
"""Of the checks themselves; the data add their own."""

FOLDER: Final = Path(__file__).parent / "provinces"


class RulesError(RegistryFailure):
    """A province's file that can't be used; the message names the file and what is wrong."""


class Weight(StrEnum):
    """What a rule does that is not met."""

    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"


class Finding(Model):
    """One rule that is not met: its code, the field, the limit, and when it will be met."""

    code: str
    weight: Weight
    field: str
    zh: str
    en: str
    limit: str = ""
    met_on: date | None = None
    province: str = ""


class RuleText(NamedTuple):
    """A rule's wording, and where it is from: S the filing guide, P other public guides."""

    source: Literal["S", "P", "S, P"]
    zh: str
    en: str


RULES: Final[Mapping[str, RuleText]] = {
    "items_limit": RuleText(
        "S",
        "一个订单最多 {limit} 个服务，现有 {count} 个",
        "an order has at most {limit} services, this one has {count}",
    ),
    "field_missing": RuleText("S", "“{field}”未填写", "{field} is missing"),
    "one_domain": RuleText("S, P", "一个网站只能填写一个域名", "a website has one domain"),
    "registrable_only": RuleText(
        "S, P",
        "{domain} 不单独备案：请填写 {registrable}，它包含其下所有域名",
        "{domain} is not filed by itself: name {registrable}, which covers what is below it",
    ),
    "domain_replaced": RuleText(
        "P",
        "网站的域名不能变更为 {domain}：请将 {domain} 作为新增服务备案",
        "a website's domain can't be changed to {domain}: file {domain} as a new service",
    ),
    "whole_service": RuleText(
        "S",
        "该服务另有 {count} 个域名（{domains}），本订单对其同样生效；"
        "网站只去掉某个域名时，请用变更服务",
        "the service has {count} more domains ({domains}), and the order is about them as well; to "
        "take one name off a website, change the service",
    ),
    "account_name": RuleText(
        "S",
        "账号的实名认证为“{verified}”，应与主体名称“{name}”一致（单位也可为法定代表人）",
        "the account is verified as {verified}, which is neither the subject {name} nor, for a "
        "unit, its legal representative",
    ),
    "account_unverified": RuleText(
        "S",
        "没有账号 {account} 的实名认证信息，请人工核对",
        "nothing is known of the verification of account {account}; check it by hand",
    ),
    "account_age": RuleText(
        "S",
        "账号实名认证须满 {limit} 小时",
        "the account's verification must be {limit} hours old",
    ),
    "domain_owner": RuleText(
        "S",
        "域名 {domain} 的实名所有者为“{owner}”，应与主体一致",
        "the verified owner of {domain} is {owner}, which is not the subject",
    ),
    "domain_owner_unknown": RuleText(
        "S",
        "没有域名 {domain} 的实名信息，请人工核对",
        "nothing is known of the verified owner of {domain}; check it by hand",
    ),
    "domain_age": RuleText(
        "S",
        "域名 {domain} 实名认证须满 {limit}",
        "the verification of {domain} must be {limit} old",
    ),
    "unit_province": RuleText(
        "S",
        "单位须在证件所属省份备案：证件为“{certificate}”，申请为“{province}”",
        "a unit files in the province of its certificate, {certificate}, not in {province}",
    ),
    "person_elsewhere": RuleText(
        "S",
        "{province}不接受外省个人备案",
        "{province} takes no filings of persons from other provinces",
    ),
    "residence_proof": RuleText(
        "S",
        "外省个人在{province}备案须有居住证等证明",
        "a person from another province needs a proof of residence in {province}",
    ),
    "app_name_repeated": RuleText(
        "S",
        "App 名称“{name}”在主体内重复",
        "the app name {name} is used twice within the subject",
    ),
    "site_name_short": RuleText(
        "P",
        "网站名称至少 {limit} 个汉字",
        "a website's name has at least {limit} Han characters",
    ),
    "site_name_is_domain": RuleText(
        "P", "网站名称不能是域名", "a website's name is not its domain"
    ),
    "site_name_word": RuleText(
        "P",
        "网站名称不能含“{word}”",
        "a website's name does not contain {word}",
    ),
    "approval_missing": RuleText(
        "S",
        "“{matter}”属于前置审批，须填写批准文号",
        "{matter} needs approval first; give the approval's number",
    ),
    "too_young": RuleText(
        "S",
        "负责人须年满 {limit} 周岁",
        "who answers for it must be {limit} years old",
    ),
    "birth_unknown": RuleText(
        "S",
        "未填写负责人出生日期，请核对是否年满 {limit} 周岁",
        "the principal's date of birth is not given; check that it is {limit} years or more",
    ),
    "not_representative": RuleText(
        "S",
        "{province}要求主体负责人为法定代表人",
        "{province} wants the legal representative as the subject's principal",
    ),
    "not_authorised": RuleText(
        "S",
        "主体负责人不是法定代表人时须有授权书",
        "a principal who is not the legal representative needs an authorisation in writing",
    ),
    "domain_ends": RuleText(
        "S",
        "域名有效期须在 {limit} 个月以上，现至 {until}",
        "the domain must run {limit} more months; it ends on {until}",
    ),
    "certificate_ends": RuleText(
        "S",
        "证件有效期须在 {limit} 个月以上，现至 {until}",
        "the certificate must run {limit} more months; it ends on {until}",
    ),
    "suffix_denied": RuleText(
        "S",
        "{province}不受理 .{suffix} 域名",
        "{province} takes no names under .{suffix}",
    ),
    "total_limit": RuleText(
        "S",
        "主体在{province}最多备案 {limit} 个服务，提交后将有 {count} 个",
        "a subject has at most {limit} services in {province}, and would have {count}",
    ),
    "remark_missing": RuleText(
        "S", "{province}要求填写备注：{what}", "{province} wants a remark: {what}"
    ),
    "local_telephone": RuleText(
        "S",
        "{province}要求手机号码归属本省，请核对",
        "{province} wants a local telephone number; check it",
    ),
    "hollow_subject": RuleText(
        "S",
        "主体名下没有服务（空壳主体），{province}不受理新增",
        "the subject has no services left (空壳); {province} takes no new ones for it",
    ),
    "province_note": RuleText("S", "{province}：{what}", "{province}: {what}"),
}


def finding(
    code: str, weight: Weight, field: str, *, met_on: date | None = None, **details: object
) -> Finding:
    """Return what a rule says, in both languages."""
    text = RULES[code]
    shown = {"limit": "", "province": "", **details, "field": field}
    zh = {k: v.zh if isinstance(v, Said) else v for k, v in shown.items()}
    en = {k: v.en if isinstance(v, Said) else v for k, v in shown.items()}
    return Finding(
        code=code,
        weight=weight,
        field=field,
        zh=text.zh.format(**zh) + (f"（{met_on} 起满足）" if met_on else ""),
        en=text.en.format(**en) + (f" (met from {met_on} on)" if met_on else ""),
        limit=str(zh["limit"]),
        met_on=met_on,
        province=str(zh["province"]),
    )


T = TypeVar("T")


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ruled(_Data, Generic[T]):
    """One rule of a province: its value, and what it does that is not met."""

    value: T
    weight: Weight = Weight.REFUSE
    trust: Literal["high", "medium", "low"] | None = None
    """Where it differs from the file's."""


Months = Annotated[int, Field(ge=1, le=120)]


class ProvinceRules(_Data):
    """What a province's authority asks for beyond the common rules."""

    province: str
    name: str
    version: int = Field(ge=1)
    source: str
    """S: the filing guide; P: other public guides; with what was read."""
    checked: date
    trust: Literal["high", "medium", "low"]
    minimum_age: Ruled[Annotated[int, Field(ge=0, le=120)]] | None = None
    persons_from_elsewhere: Ruled[Literal["refuse", "proof", "allow"]] | None = None
    local_telephone: Ruled[bool] | None = None
    order_limit: Ruled[Annotated[int, Field(ge=1)]] | None = None
    total_limit_unit: Ruled[Annotated[int, Field(ge=1)]] | None = None
    total_limit_person: Ruled[Annotated[int, Field(ge=1)]] | None = None
    principal: Ruled[Literal["representative", "authorised", "any"]] | None = None
    domain_months: Ruled[Months] | None = None
    certificate_months: Ruled[Months] | None = None
    denied_suffixes: Ruled[tuple[str, ...]] | None = None
    name_words: Ruled[tuple[str, ...]] | None = None
    remark: Ruled[str] | None = None
    """What the remark has to say."""
    authority_days: Annotated[int, Field(ge=1, le=60)] | None = None
    hollow_may_add: Ruled[bool] | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Rulebook:
    """The provinces' rules, under one version."""

    provinces: Mapping[str, ProvinceRules]
    version: str

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Return the rules that came along, and a provider's own in their place.

        Raises RulesError for a file that can't be used, or of a province that there is not.
        """
        files = {path.name: path for path in FOLDER.glob("*.yaml")}
        if folder is not None:
            if not folder.is_dir():
                raise RulesError(f"{folder} is no folder of the provinces' rules")
            files |= {path.name: path for path in folder.glob("*.yaml")}
        found: dict[str, ProvinceRules] = {}
        digest = hashlib.sha256(VERSION.encode())
        for _, path in sorted(files.items()):
            rules = read_province_file(path)
            found[rules.province] = rules
            digest.update(rules.model_dump_json().encode())
        return cls(found, f"{VERSION}.{digest.hexdigest()[:8]}")

    def of(self, province: str | None) -> ProvinceRules | None:
        """Return a province's rules, by its abbreviation."""
        return self.provinces.get(province or "")


def read_province_file(path: Path) -> ProvinceRules:
    """Return one province's file. Raises RulesError."""
    try:
        rules = ProvinceRules.model_validate(
            yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe one
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise RulesError(f"{path} can't be used: {error}") from error
    if rules.province not in PROVINCES:
        raise RulesError(f"{path}: {rules.province} is no province's abbreviation")
    if path.stem != rules.province:
        raise RulesError(f"{path} is of {rules.province}; call it {rules.province}.yaml")
    return rules

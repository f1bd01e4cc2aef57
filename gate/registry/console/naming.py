"""What the fields of an order are called where people read of them.

A field is named by its path in the entry (`items.0.domains`), as the form, refusals and findings
have it. People read `服务 1 · 域名`, `service 1: domains`.
"""

from __future__ import annotations

import re
from typing import Final

from gate.registry.errors import Said

_NAMES: Final = {
    "account": Said("账号", "account"),
    "purpose": Said("办理事项", "what is wanted"),
    "subject": Said("主体", "subject"),
    "item": Said("服务", "service"),
    "items": Said("服务", "services"),
    "name": Said("名称", "name"),
    "kind": Said("类型", "kind"),
    "certificate": Said("证件号码", "certificate number"),
    "certificate_province": Said("证件所属省份", "province of the certificate"),
    "certificate_until": Said("证件有效期", "certificate valid until"),
    "province": Said("备案省份", "province applied for"),
    "licence": Said("备案号", "licence number"),
    "legal_representative": Said("法定代表人", "legal representative"),
    "principal": Said("负责人", "principal"),
    "principal_born": Said("负责人出生日期", "principal's date of birth"),
    "phone": Said("手机", "telephone"),
    "authorised": Said("授权书", "authorisation"),
    "residence_proof": Said("居住证明", "proof of residence"),
    "domains": Said("域名", "domains"),
    "new_domains": Said("变更后的域名", "domains after the change"),
    "domain_until": Said("域名有效期", "domain valid until"),
    "matters": Said("前置审批类别", "matters that need approval first"),
    "approval": Said("前置审批文号", "approval number"),
    "remark": Said("备注", "remark"),
}
_NUMBERED: Final = re.compile(r"\d{1,4}").fullmatch


def field_name(path: str) -> Said:
    """Return what a field is called; the path itself where it is none of an order's."""
    zh: list[str] = []
    en: list[str] = []
    for part in path.removeprefix("entry.").split("."):
        if _NUMBERED(part) and zh:
            number = int(part) + 1
            zh[-1] = f"{zh[-1]} {number}"
            en[-1] = f"{en[-1].removesuffix('s')} {number}"
        elif part in _NAMES:
            zh.append(_NAMES[part].zh)
            en.append(_NAMES[part].en)
        else:
            return Said(path, path)
    return Said(" · ".join(zh), ": ".join(en))

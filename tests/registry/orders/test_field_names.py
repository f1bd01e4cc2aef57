"""Fields of an order, as people read of them."""

from __future__ import annotations

import pytest

from gate.registry.console.naming import field_name


@pytest.mark.parametrize(
    ("path", "zh", "en"),
    [
        ("account", "账号", "account"),
        ("subject.principal.phone", "主体 · 负责人 · 手机", "subject: principal: telephone"),
        ("entry.items.0.domains", "服务 1 · 域名", "service 1: domains"),
        ("items.1.domains.0", "服务 2 · 域名 1", "service 2: domain 1"),
        ("items.0.name", "服务 1 · 名称", "service 1: name"),
        ("licences", "licences", "licences"),
        ("items.", "items.", "items."),
        ("0", "0", "0"),
        ("", "", ""),
    ],
)
def test_a_field_has_a_name_in_both_languages(path: str, zh: str, en: str) -> None:
    assert field_name(path) == (zh, en)

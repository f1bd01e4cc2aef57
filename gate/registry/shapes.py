"""What pydantic finds wrong with a request's shape, as a refusal in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from gate.registry.errors import RegistryError, Said

# Pydantic's error types in Chinese; the English text is its own.
_CHINESE: Final[Mapping[str, str]] = {
    "missing": "必填",
    "extra_forbidden": "未知字段",
    "json_invalid": "不是有效的 JSON",
    "string_type": "应为文本",
    "string_too_short": "内容过短",
    "string_too_long": "内容过长",
    "string_unicode": "不是有效的 Unicode 文本",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_from_float": "应为整数",
    "float_parsing": "应为数字",
    "enum": "不是允许的取值",
    "literal_error": "不是允许的取值",
    "too_short": "数量过少",
    "too_long": "数量过多",
    "greater_than_equal": "数值过小",
    "less_than_equal": "数值过大",
    "either_one": "licence 与 domain 应填其一",
}


def invalid(error: ValidationError) -> RegistryError:
    """Return the first thing that is wrong with a request's shape.

    A field of an order's entry is named as the rules name it: `items.0.domains`.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    kind = first["type"]
    if kind == "json_invalid":
        return RegistryError("body_invalid", detail=Said(_CHINESE[kind], first["msg"]))
    return RegistryError(
        "field_invalid",
        field=".".join(map(str, first["loc"])).removeprefix("entry.") or "body",
        detail=Said(_CHINESE.get(kind, "取值无效"), first["msg"]),
    )

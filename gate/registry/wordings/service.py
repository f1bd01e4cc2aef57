"""Requests, tokens, the change log, and the service itself."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from gate.registry.wordings.wording import CONFLICT, REFUSED, Wording

SERVICE: Final = {
    # Tokens.
    "grant_missing": Wording(
        HTTPStatus.FORBIDDEN,
        "此子账号没有“{grant}”授权",
        "this sub-user has no grant to {grant}",
    ),
    "token_unknown": Wording(
        HTTPStatus.NOT_FOUND, "没有编号为 {token} 的令牌", "there is no token {token}"
    ),
    "token_form": Wording(
        REFUSED,
        "令牌格式不符；`gate registry token generate` 可生成一个",
        "this is no token's text; `gate registry token generate` makes one",
    ),
    "token_differs": Wording(
        HTTPStatus.CONFLICT,
        "令牌 {token} 已存在，且内容、角色不同或已撤销；请换一个新的",
        "token {token} is known with another secret or role, or was revoked; take a new one",
    ),
    "token_missing": Wording(
        HTTPStatus.UNAUTHORIZED,
        "需要访问令牌：Authorization: Bearer …",
        "a token is needed: send Authorization: Bearer …",
    ),
    "token_invalid": Wording(
        HTTPStatus.UNAUTHORIZED,
        "访问令牌无效、已过期或已撤销",
        "the token is unknown, expired or revoked",
    ),
    "role_insufficient": Wording(
        HTTPStatus.FORBIDDEN,
        "此操作需要 {needed} 权限；当前令牌为 {role}",
        "this needs a token with the role {needed}; this one has {role}",
    ),
    # Requests.
    "form_foreign": Wording(
        HTTPStatus.FORBIDDEN,
        "表单不是由本页面提交的，或会话已过期；请返回重试",
        "the form was not sent by this page, or the session is over; go back and try again",
    ),
    "path_unknown": Wording(
        HTTPStatus.NOT_FOUND,
        "没有此接口；接口说明见 /v1/openapi.json",
        "there is nothing at this path; see /v1/openapi.json",
    ),
    "method_refused": Wording(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "此接口不支持 {method} 方法",
        "{method} is not offered here",
    ),
    "body_invalid": Wording(
        HTTPStatus.BAD_REQUEST,
        "请求内容无法解析：{detail}",
        "the request body can't be read: {detail}",
    ),
    "body_too_large": Wording(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "请求内容超过 {limit} 字节上限",
        "the request body is larger than the limit of {limit} bytes",
    ),
    "media_type": Wording(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "不支持的内容类型；请使用 {expected}",
        "this content type is not taken; send {expected}",
    ),
    "cursor_invalid": Wording(
        REFUSED,
        "分页游标无效；请使用上一页返回的 next",
        "the cursor is not one of ours; use the `next` of the page before",
    ),
    "key_reused": Wording(
        REFUSED,
        "该 Idempotency-Key 已用于另一请求；请换一个新的",
        "this Idempotency-Key was used for another request; take a new one",
    ),
    # The change log.
    "compacted": Wording(
        HTTPStatus.GONE,
        "版本 {since} 之后的变更已被压缩（最早可从 {oldest} 开始）；请重新获取快照",
        "changes after revision {since} are compacted away (the oldest kept start at {oldest}); "
        "take a snapshot",
    ),
    "old_epoch": Wording(
        HTTPStatus.GONE,
        "纪元 {epoch} 不是当前纪元 {current}；请重新获取快照",
        "epoch {epoch} is not the current one, {current}; take a snapshot",
    ),
    "ahead": Wording(
        HTTPStatus.GONE,
        "版本 {since} 超过登记系统当前版本 {head}；请重新获取快照",
        "revision {since} is ahead of the registry, which is at {head}; take a snapshot",
    ),
    # The service itself.
    "busy": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "数据库繁忙，未做任何更改；请稍后重试",
        "the database is busy and nothing was changed; try again shortly",
    ),
    "provider_differs": Wording(
        CONFLICT,
        "该数据库属于接入商 {found}，而不是 {provider}；请改正 registry.provider 或 --provider；"
        "如需更换接入商，请使用 `gate registry provider`",
        "the database is of the provider {found}, not {provider}: correct registry.provider or "
        "--provider; to make it another provider's, use `gate registry provider`",
    ),
    "snapshot_held": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "已备案域名由 {before} 个变为 {filed} 个，而变更日志不能解释；快照暂不下发。请核对数据库；"
        "如无误，请运行 `gate registry accept-set`",
        "{before} domains were filed and now {filed} are, and the change log does not explain it: "
        "the set is given to no gate. Is it the right database? If it is: "
        "`gate registry accept-set`",
    ),
    "nothing_held": Wording(
        CONFLICT,
        "没有等待确认的快照",
        "no set waits for a word",
    ),
    "export_busy": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "已有其他导出正在进行；请待其结束后重试",
        "other exports are under way; try again when they have ended",
    ),
    "database_unavailable": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "数据库不可用，未做任何更改：{detail}",
        "the database can't be used and nothing was changed: {detail}",
    ),
    "settings_unusable": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "设置 registry.orders 无法使用：{detail}",
        "the settings registry.orders can't be used: {detail}",
    ),
    "commit_unknown": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "提交时与数据库的连接中断，结果未知；请查询结果，或用同一 Idempotency-Key 重试",
        "the database went away while committing, so the outcome is not known; look it up, "
        "or repeat the request with the same Idempotency-Key",
    ),
    "database_missing": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "数据库 {where} 不存在；请检查路径，或用 `gate registry migrate` 新建",
        "there is no database {where}; check the path, or make one with `gate registry migrate`",
    ),
    "schema_missing": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "数据库 {where} 中没有登记系统的数据；请检查地址，或用 `gate registry migrate` 新建",
        "the database {where} holds no registry; check which one it is, or make one there with "
        "`gate registry migrate`",
    ),
    "schema_old": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "数据库结构版本为 {found}，本程序需要 {newest}；请运行 `gate registry migrate`，"
        "或重启登记服务",
        "the database has schema {found}, this program needs {newest}: run "
        "`gate registry migrate`, or restart the registry that serves it",
    ),
    "schema_unknown": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "数据库结构版本 {found} 比本程序新；请升级程序",
        "the database has schema {found}, newer than this program knows; upgrade the program",
    ),
    "internal": Wording(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "内部错误（请求编号 {request}）",
        "an internal error; its request id in the log is {request}",
    ),
}

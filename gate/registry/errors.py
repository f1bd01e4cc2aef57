"""What the registry refuses, and how it says so: a code, a Chinese and an English sentence.

`CATALOGUE` is the whole list, so that the API's documentation and the command line show the same
words. A message says what was wrong, and what to do next where there is something to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple


@dataclass(slots=True, frozen=True)
class Wording:
    """The texts of one error code; `{name}` places are filled from the error's details."""

    status: HTTPStatus
    zh: str
    en: str


_REFUSED = HTTPStatus.UNPROCESSABLE_ENTITY
_CONFLICT = HTTPStatus.CONFLICT

CATALOGUE: dict[str, Wording] = {
    # What a field may hold.
    "field_invalid": Wording(
        _REFUSED,
        "“{field}”填写有误：{detail}",
        "{field} is not valid: {detail}",
    ),
    "text_invalid": Wording(
        _REFUSED,
        "“{field}”应为 1 至 {limit} 个可见字符，不得含控制字符或不可见字符，不得以 = + - @ 开头",
        "{field} must be 1 to {limit} visible characters, without control or invisible ones, "
        "and not begin with = + - @",
    ),
    "domain_invalid": Wording(
        _REFUSED,
        "域名“{domain}”不能备案：{detail}",
        "domain {domain} can't be filed: {detail}",
    ),
    "domain_repeated": Wording(
        _REFUSED,
        "域名 {domain} 在同一请求中重复",
        "domain {domain} is named twice in one request",
    ),
    "province_unknown": Wording(
        _REFUSED,
        "“{province}”不是省、自治区、直辖市简称；例如：京、沪、粤、鲁",
        "{province!r} is not the abbreviation of a province; write for example 京, 沪, 粤 or 鲁",
    ),
    "licence_invalid": Wording(
        _REFUSED,
        "备案号“{licence}”格式不正确：{detail}；正确示例：鲁ICP备09090609号-2",
        "licence number {licence!r} is not well formed: {detail}; "
        "write it like 鲁ICP备09090609号-2",
    ),
    "licence_not_subject": Wording(
        _REFUSED,
        "此处应填主体备案号（不带“-序号”），例如 鲁ICP备09090609号；收到的是 {licence}",
        "a subject's licence number is due here, without -N, like 鲁ICP备09090609号; got {licence}",
    ),
    "licence_not_service": Wording(
        _REFUSED,
        "此处应填服务备案号，网站带“-序号”，App 带“-序号A”，"
        "例如 鲁ICP备09090609号-2；收到的是 {licence}",
        "a service's licence number is due here, with -N (website) or -NA (app), "
        "like 鲁ICP备09090609号-2; got {licence}",
    ),
    "licence_kind": Wording(
        _REFUSED,
        "备案号 {licence} 与服务类型不符：网站用“-序号”，App 用“-序号A”",
        "licence number {licence} does not fit the kind of service: -N is a website, -NA an app",
    ),
    "licence_province": Wording(
        _REFUSED,
        "备案号 {licence} 的省份与申请的省份“{province}”不符",
        "licence number {licence} is not of the province that was applied for, {province}",
    ),
    "nothing_to_change": Wording(
        _REFUSED,
        "没有填写要变更的内容",
        "the request changes nothing; name at least one field to change",
    ),
    # Rules between records.
    "website_one_domain": Wording(
        _REFUSED,
        "一个网站只能备案一个域名；其他域名请另行申请新增服务",
        "one website has one domain; file the others as new services",
    ),
    "website_has_domain": Wording(
        _CONFLICT,
        "网站 {licence} 已备案域名 {domain}；一个网站只能有一个域名",
        "website {licence} already has the domain {domain}; one website has one domain",
    ),
    "domain_filed": Wording(
        _CONFLICT,
        "域名 {domain} 已备案，备案号为 {licence}，不能重复备案",
        "domain {domain} is filed already, under {licence}; it can't be filed twice",
    ),
    "domain_pending": Wording(
        _CONFLICT,
        "域名 {domain} 已有待审核的申请（编号 {application}）",
        "domain {domain} already has an application waiting for approval, number {application}",
    ),
    "account_taken": Wording(
        _CONFLICT,
        "账号 {account} 已绑定主体 {licence}；一个账号只能备案一个主体，新增网站请用“新增服务”",
        "account {account} already belongs to subject {licence}; one account has one subject "
        "(add sites to it with a new-service filing)",
    ),
    "account_pending": Wording(
        _CONFLICT,
        "账号 {account} 已有待审核的首次备案申请（编号 {application}）",
        "account {account} already has a first filing waiting for approval, number {application}",
    ),
    "subject_other_account": Wording(
        _CONFLICT,
        "主体 {licence} 属于另一账号；一个主体只能使用一个账号",
        "subject {licence} belongs to another account; a subject has one account",
    ),
    "certificate_taken": Wording(
        _CONFLICT,
        "该证件号码已用于主体 {licence}；同一主体请用“新增服务”",
        "this certificate number already belongs to subject {licence}; "
        "file a new service for it instead",
    ),
    "certificate_differs": Wording(
        _CONFLICT,
        "主体 {licence} 登记的证件号码与填写的不一致；如需更换请办理变更备案",
        "subject {licence} is on record with another certificate number; "
        "file a change of subject to replace it",
    ),
    "licence_taken": Wording(
        _CONFLICT,
        "备案号 {licence} 已被使用",
        "licence number {licence} is in use already",
    ),
    "sites_used_up": Wording(
        _CONFLICT,
        "主体 {subject} 的服务序号已用到最大值，请在审核通过时指定一个空闲的备案号",
        "subject {subject} has the highest service number already; approve with a free number",
    ),
    "serials_used_up": Wording(
        _CONFLICT,
        "{licence} 已被使用，本年度的主体序号已到最大值，请在审核通过时指定一个空闲的备案号",
        "{licence}, the year's highest number of the province, is in use or was; "
        "approve with a free number",
    ),
    "licence_other_subject": Wording(
        _CONFLICT,
        "服务备案号 {licence} 不属于主体 {subject}",
        "service number {licence} does not belong to subject {subject}",
    ),
    "subject_name_differs": Wording(
        _CONFLICT,
        "主体 {licence} 登记的名称与填写的不一致；如需更名请办理变更备案",
        "subject {licence} is on record under another name; file a change of subject to rename it",
    ),
    "licence_differs": Wording(
        _CONFLICT,
        "域名 {domain} 登记的备案号与填写的 {licence} 不一致",
        "domain {domain} is not on record under {licence}",
    ),
    "already_accessed": Wording(
        _CONFLICT,
        "{domain} 已在接入商 {provider} 接入备案",
        "{domain} already has an access filing with provider {provider}",
    ),
    "not_accessed": Wording(
        _CONFLICT,
        "{domain} 未在接入商 {provider} 接入备案",
        "{domain} has no access filing with provider {provider}",
    ),
    "application_decided": Wording(
        _CONFLICT,
        "申请 {application} 已处理（{state}），不能再次处理",
        "application {application} is decided already: {state}",
    ),
    "already_suspended": Wording(_CONFLICT, "{domain} 已被暂停", "{domain} is suspended already"),
    "not_suspended": Wording(_CONFLICT, "{domain} 未被暂停", "{domain} is not suspended"),
    # Imports.
    "line_invalid": Wording(
        _REFUSED,
        "该行无法解析：{detail}",
        "the line can't be read: {detail}",
    ),
    "header_invalid": Wording(
        _REFUSED,
        "文件首行应为列名，至少包含 domain、licence、subject：{detail}",
        "the first line must name the columns, domain, licence and subject at least: {detail}",
    ),
    "column_empty": Wording(
        _REFUSED,
        "缺少“{field}”",
        "{field} is missing",
    ),
    "status_differs": Wording(
        _REFUSED,
        "状态 {status} 与接入商不一致",
        "the status {status} does not agree with the providers",
    ),
    "import_elsewhere": Wording(
        _CONFLICT,
        "该文件正由另一进程导入",
        "another process is importing this file just now",
    ),
    # What is not there.
    "domain_unknown": Wording(
        HTTPStatus.NOT_FOUND,
        "没有找到域名 {domain} 的备案记录",
        "no filing of domain {domain} is on record",
    ),
    "licence_unknown": Wording(
        HTTPStatus.NOT_FOUND,
        "没有找到备案号 {licence} 的记录",
        "no filing with licence number {licence} is on record",
    ),
    "application_unknown": Wording(
        HTTPStatus.NOT_FOUND,
        "没有编号为 {application} 的申请",
        "there is no application with number {application}",
    ),
    "import_unknown": Wording(
        HTTPStatus.NOT_FOUND,
        "没有摘要为 {digest} 的导入任务",
        "there is no import of a file with digest {digest}",
    ),
    "token_unknown": Wording(
        HTTPStatus.NOT_FOUND, "没有编号为 {token} 的令牌", "there is no token {token}"
    ),
    "path_unknown": Wording(
        HTTPStatus.NOT_FOUND,
        "没有此接口；接口说明见 /v1/openapi.json",
        "there is nothing at this path; see /v1/openapi.json",
    ),
    # Requests.
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
        _REFUSED,
        "分页游标无效；请使用上一页返回的 next",
        "the cursor is not one of ours; use the `next` of the page before",
    ),
    "key_reused": Wording(
        _REFUSED,
        "该 Idempotency-Key 已用于另一请求；请换一个新的",
        "this Idempotency-Key was used for another request; take a new one",
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
        _CONFLICT,
        "该数据库属于接入商 {found}，而不是 {provider}；请用 --provider 指明",
        "the database is of the provider {found}, not {provider}; name it with --provider",
    ),
    "import_suspends": Wording(
        _CONFLICT,
        "{licence} 已有记录且未暂停；导入不会暂停服务，请使用“暂停”操作",
        "{licence} is on record and not suspended; an import suspends nothing, use suspend",
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
    "commit_unknown": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "提交时与数据库的连接中断，结果未知；请查询结果，或用同一 Idempotency-Key 重试",
        "the database went away while committing, so the outcome is not known; look it up, "
        "or repeat the request with the same Idempotency-Key",
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


class Said(NamedTuple):
    """A detail that reads differently in the two languages."""

    zh: str
    en: str


class RegistryError(Exception):
    """A refusal by the registry; nothing was changed.

    `code` is a key of `CATALOGUE`, `field` the input field that it is about ("" where none),
    `details` what fills the sentences.
    """

    def __init__(self, code: str, *, field: str = "", **details: object) -> None:
        self.code = code
        self.field = field
        self.details: dict[str, object] = details
        wording = CATALOGUE[code]
        self.status = wording.status
        self.zh = wording.zh.format(
            field=field, **{name: _shown(item, "zh") for name, item in details.items()}
        )
        self.en = wording.en.format(
            field=field, **{name: _shown(item, "en") for name, item in details.items()}
        )
        super().__init__(self.en)


def _shown(item: object, language: str) -> object:
    """A detail as it may be printed and stored: what is not printable is escaped."""
    if isinstance(item, Said):
        item = getattr(item, language)
    if not isinstance(item, str) or item.isprintable():
        return item
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in item
    )

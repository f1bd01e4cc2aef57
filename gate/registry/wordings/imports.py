"""What may be wrong with a list that is imported, or with a line of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from gate.registry.wordings.wording import CONFLICT, REFUSED, Wording

IMPORTS: Final = {
    # Imports.
    "line_invalid": Wording(
        REFUSED,
        "该行无法解析：{detail}",
        "the line can't be read: {detail}",
    ),
    "header_invalid": Wording(
        REFUSED,
        "文件首行应为列名，至少包含 domain、licence、subject：{detail}",
        "the first line must name the columns, domain, licence and subject at least: {detail}",
    ),
    "no_room": Wording(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "登记服务无法把名单写入磁盘，未做任何更改：{detail}；请清理 {where} 所在的磁盘后重试",
        "the registry can't keep the list on its disk, and nothing was changed: {detail}; "
        "make room where {where} is and try again",
    ),
    "list_unreadable": Wording(
        REFUSED,
        "无法读取该文件：{detail}",
        "the file can't be read: {detail}",
    ),
    "import_unread": Wording(
        REFUSED,
        "有 {count} 行无法读取，按全量名单导入会注销其中的域名；先改正，例如{example}",
        "{count} lines can't be read, and a list that is all there is would cancel their domains; "
        "mend them first, like {example}",
    ),
    "column_empty": Wording(
        REFUSED,
        "缺少“{field}”",
        "{field} is missing",
    ),
    "status_differs": Wording(
        REFUSED,
        "状态 {status} 与接入商不一致",
        "the status {status} does not agree with the providers",
    ),
    "domain_cancelled": Wording(
        CONFLICT,
        "域名 {domain} 已于 {date} 注销或撤下，导入不会重新备案；如确需恢复，请用 --revive",
        "domain {domain} was cancelled or taken off on {date}, and an import does not file it "
        "again; if that is meant, use --revive",
    ),
    "domain_revived": Wording(
        HTTPStatus.OK,
        "域名 {domain} 曾于 {date} 注销或撤下，现已重新备案",
        "domain {domain} was cancelled or taken off on {date} and is filed again",
    ),
    "domain_further": Wording(
        HTTPStatus.OK,
        "域名 {domain} 与 {other} 同属网站 {licence}（一个网站有多个域名，仅限 2019 年以前的备案）",
        "domain {domain} is filed under {licence}, the website of {other}: several domains are "
        "what only websites from before 2019 have",
    ),
    "website_changing": Wording(
        CONFLICT,
        "网站 {licence} 有未完成的变更订单（编号 {application}），办结后按订单登记域名；"
        "请待其办结后再导入该行",
        "an open order, number {application}, sets the domains of the website {licence}; one that "
        "it does not know of would be taken off when it is done: import this line after it",
    ),
    "service_name_differs": Wording(
        CONFLICT,
        "备案号 {licence} 登记的服务名称为“{name}”，与该行不一致；一个备案号只有一个网站或 App，"
        "请核对备案号",
        "{licence} is on record as the service {name}, not as this line says; one number is one "
        "website or app: look whether the number is right",
    ),
    "service_status_differs": Wording(
        CONFLICT,
        "备案号 {licence} 下其他域名的状态为 {status}，该行为 {given}；同一备案号的域名状态相同",
        "the other domains of {licence} are {status}, and this one would be {given}: access and "
        "suspension are the whole service's",
    ),
    "import_shrinks": Wording(
        CONFLICT,
        "该名单将关闭 {filed} 个已备案域名中的 {closing} 个（例如 {examples}），超过 {share}；"
        "未做任何更改，请先预览（--dry-run），确认后用 --yes",
        "the list would close {closing} of {filed} filed domains, such as {examples}, more than "
        "{share}: nothing was changed. Look with --dry-run, and take it with --yes",
    ),
    "import_elsewhere": Wording(
        CONFLICT,
        "该文件正由另一进程导入",
        "another process is importing this file just now",
    ),
    # What is not there.
    "import_unknown": Wording(
        HTTPStatus.NOT_FOUND,
        "没有摘要为 {digest} 的导入任务",
        "there is no import of a file with digest {digest}",
    ),
    # The service itself.
    "import_suspends": Wording(
        CONFLICT,
        "{licence} 已有记录且未暂停；导入不会暂停服务，请使用“暂停”操作",
        "{licence} is on record and not suspended; an import suspends nothing, use suspend",
    ),
}

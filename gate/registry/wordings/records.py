"""What a field of a filing may hold, and the rules between records."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from gate.registry.wordings.wording import CONFLICT, REFUSED, Wording

RECORDS: Final = {
    # What a field may hold.
    "field_invalid": Wording(
        REFUSED,
        "“{field}”填写有误：{detail}",
        "{field} is not valid: {detail}",
    ),
    "text_invalid": Wording(
        REFUSED,
        "“{field}”应为 1 至 {limit} 个可见字符，不得含控制字符或不可见字符，不得以 = + - @ 开头",
        "{field} must be 1 to {limit} visible characters, without control or invisible ones, "
        "and not begin with = + - @",
    ),
    "domain_invalid": Wording(
        REFUSED,
        "域名“{domain}”不能备案：{detail}",
        "domain {domain} can't be filed: {detail}",
    ),
    "domain_repeated": Wording(
        REFUSED,
        "域名 {domain} 在同一请求中重复",
        "domain {domain} is named twice in one request",
    ),
    "province_unknown": Wording(
        REFUSED,
        "“{province}”不是省、自治区、直辖市简称；例如：京、沪、粤、鲁",
        "{province!r} is not the abbreviation of a province; write for example 京, 沪, 粤 or 鲁",
    ),
    "licence_invalid": Wording(
        REFUSED,
        "备案号“{licence}”格式不正确：{detail}；正确示例：鲁ICP备09090609号-2",
        "licence number {licence!r} is not well formed: {detail}; "
        "write it like 鲁ICP备09090609号-2",
    ),
    "licence_not_subject": Wording(
        REFUSED,
        "此处应填主体备案号（不带“-序号”），例如 鲁ICP备09090609号；收到的是 {licence}",
        "a subject's licence number is due here, without -N, like 鲁ICP备09090609号; got {licence}",
    ),
    "licence_not_service": Wording(
        REFUSED,
        "此处应填服务备案号，网站带“-序号”，App、小程序、快应用带“-序号A、X、K”，"
        "例如 鲁ICP备09090609号-2；收到的是 {licence}",
        "a service's licence number is due here, with -N (website), -NA (app), -NX (mini-program) "
        "or -NK (quick app), "
        "like 鲁ICP备09090609号-2; got {licence}",
    ),
    "licence_required": Wording(
        REFUSED,
        "请填写管局核发的备案号；备案号由管局核发，登记系统不编造（演示时可用 generate）",
        "the licence number that the authority has given is due; the registry makes none up "
        "(to try things out, ask it to: generate)",
    ),
    "licence_kind": Wording(
        REFUSED,
        "备案号 {licence} 与服务类型不符：网站用“-序号”，App、小程序、快应用后加 A、X、K",
        "licence number {licence} does not fit the kind of service: -N is a website, -NA an app, "
        "-NX a mini-program, -NK a quick app",
    ),
    "licence_province": Wording(
        REFUSED,
        "备案号 {licence} 的省份与申请的省份“{province}”不符",
        "licence number {licence} is not of the province that was applied for, {province}",
    ),
    "nothing_to_change": Wording(
        REFUSED,
        "没有填写要变更的内容",
        "the request changes nothing; name at least one field to change",
    ),
    # Rules between records.
    "website_one_domain": Wording(
        REFUSED,
        "一个网站只能备案一个域名；其他域名请另行申请新增服务",
        "one website has one domain; file the others as new services",
    ),
    "domain_filed": Wording(
        CONFLICT,
        "域名 {domain} 已备案，备案号为 {licence}，不能重复备案",
        "domain {domain} is filed already, under {licence}; it can't be filed twice",
    ),
    "domain_pending": Wording(
        CONFLICT,
        "域名 {domain} 已有待审核的申请（编号 {application}）",
        "domain {domain} already has an application waiting for approval, number {application}",
    ),
    "account_taken": Wording(
        CONFLICT,
        "账号 {account} 已绑定主体 {licence}；一个账号只能备案一个主体，新增网站请用“新增服务”",
        "account {account} already belongs to subject {licence}; one account has one subject "
        "(add sites to it with a new-service filing)",
    ),
    "account_pending": Wording(
        CONFLICT,
        "账号 {account} 已有待审核的首次备案申请（编号 {application}）",
        "account {account} already has a first filing waiting for approval, number {application}",
    ),
    "subject_other_account": Wording(
        CONFLICT,
        "主体 {licence} 属于另一账号；一个主体只能使用一个账号",
        "subject {licence} belongs to another account; a subject has one account",
    ),
    "certificate_taken": Wording(
        CONFLICT,
        "该证件号码已用于主体 {licence}；同一主体请用“新增服务”",
        "this certificate number already belongs to subject {licence}; "
        "file a new service for it instead",
    ),
    "certificate_differs": Wording(
        CONFLICT,
        "主体 {licence} 登记的证件号码与填写的不一致；如需更换请办理变更备案",
        "subject {licence} is on record with another certificate number; "
        "file a change of subject to replace it",
    ),
    "licence_taken": Wording(
        CONFLICT,
        "备案号 {licence} 已被使用",
        "licence number {licence} is in use already",
    ),
    "sites_used_up": Wording(
        CONFLICT,
        "主体 {subject} 的服务序号已用到最大值，请在审核通过时指定一个空闲的备案号",
        "subject {subject} has the highest service number already; approve with a free number",
    ),
    "serials_used_up": Wording(
        CONFLICT,
        "{licence} 已被使用，本年度的主体序号已到最大值，请在审核通过时指定一个空闲的备案号",
        "{licence}, the year's highest number of the province, is in use or was; "
        "approve with a free number",
    ),
    "licence_other_subject": Wording(
        CONFLICT,
        "服务备案号 {licence} 不属于主体 {subject}",
        "service number {licence} does not belong to subject {subject}",
    ),
    "subject_name_differs": Wording(
        CONFLICT,
        "主体 {licence} 登记的名称与填写的不一致；如需更名请办理变更备案",
        "subject {licence} is on record under another name; file a change of subject to rename it",
    ),
    "licence_differs": Wording(
        CONFLICT,
        "域名 {domain} 登记的备案号与填写的 {licence} 不一致",
        "domain {domain} is not on record under {licence}",
    ),
    "already_accessed": Wording(
        CONFLICT,
        "{domain} 已在接入商 {provider} 接入备案",
        "{domain} already has an access filing with provider {provider}",
    ),
    "not_accessed": Wording(
        CONFLICT,
        "{domain} 未在接入商 {provider} 接入备案",
        "{domain} has no access filing with provider {provider}",
    ),
    "application_decided": Wording(
        CONFLICT,
        "申请 {application} 已处理（{state}），不能再次处理",
        "application {application} is decided already: {state}",
    ),
    "already_suspended": Wording(CONFLICT, "{domain} 已被暂停", "{domain} is suspended already"),
    "not_suspended": Wording(CONFLICT, "{domain} 未被暂停", "{domain} is not suspended"),
    "override_unknown": Wording(
        HTTPStatus.NOT_FOUND,
        "{domain} 没有放行或封禁",
        "{domain} is neither exempt nor suspended at every gate",
    ),
    "override_below": Wording(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "{domain} 在 {registrable} 之下：只能对 {registrable} 整体放行或封禁",
        "{domain} is below {registrable}: name that one, which covers what is below it; a name "
        "below it can be exempted or suspended at each gate",
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
}

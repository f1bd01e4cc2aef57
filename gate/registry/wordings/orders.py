"""What may be wrong with an order (备案订单), or with a step of one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from gate.registry.wordings.wording import CONFLICT, REFUSED, Wording

ORDERS: Final = {
    "order_unknown": Wording(
        HTTPStatus.NOT_FOUND,
        "没有编号为 {order} 的备案订单",
        "there is no order with number {order}",
    ),
    "order_state": Wording(
        CONFLICT,
        "订单 {order} 处于“{state}”状态，不能执行此操作：{event}；可执行：{steps}",
        "order {order} is in the state {state}, in which this can't be done: {event}; "
        "what can be done: {steps}",
    ),
    "order_open": Wording(
        CONFLICT,
        "账号 {account} 已有未完成的备案订单（编号 {order}）；一个账号同时只能有一个订单",
        "account {account} has an open order, number {order}; one account has one at a time",
    ),
    "service_repeated": Wording(
        REFUSED,
        "服务 {licence} 在同一订单中重复",
        "service {licence} is named twice in one order",
    ),
    "order_mixes_types": Wording(
        REFUSED,
        "一个订单只能是一种备案类型；请将不同类型的内容分开提交",
        "one order has one type; split what is of different types into orders of their own",
    ),
    "order_incomplete": Wording(
        REFUSED,
        "“{field}”未填写，无法判断备案类型",
        "{field} is missing, without which the type of the order can't be told",
    ),
    "order_filed_directly": Wording(
        CONFLICT,
        "订单 {order} 由审核员直接提交，没有此步骤",
        "order {order} was filed by a clerk straight to the authority and has no such step",
    ),
    "domain_conflict": Wording(
        CONFLICT,
        "域名 {domain} 已由其他主体备案，备案号为 {licence}；须先由原主体注销或取消",
        "domain {domain} is filed by another subject, under {licence}; that one must end first",
    ),
    "already_here": Wording(
        CONFLICT,
        "域名 {domain} 已在本服务商备案，备案号为 {licence}，无需再次提交",
        "domain {domain} is filed with this provider already, under {licence}",
    ),
    "not_filed_here": Wording(
        CONFLICT,
        "{what} 不是本账号在本服务商的备案，不能在此变更或注销",
        "{what} is no filing of this account with this provider; it can't be changed or ended here",
    ),
    "subject_differs": Wording(
        CONFLICT,
        "填写的主体与备案号 {licence} 登记的名称或证件号码不一致",
        "what is entered is not the name or certificate on record for the subject {licence}",
    ),
    "licences_count": Wording(
        REFUSED,
        "管局为本订单核发的备案号应有 {expected} 个，收到 {given} 个；请按服务顺序逐一填写",
        "the authority gives {expected} numbers for this order, one for each new service, and "
        "{given} were given; give one for each, in the order of the services",
    ),
    "licences_required": Wording(
        REFUSED,
        "请按服务顺序填写管局核发的 {expected} 个备案号，例如 鲁ICP备09090609号-2；"
        "备案号由管局核发，登记系统不编造（演示时可用 generate）",
        "the {expected} licence numbers that the authority has given are due, one for each service "
        "in order, like 鲁ICP备09090609号-2; the registry makes none up (to try things out, ask it "
        "to: generate)",
    ),
    "licences_or_generate": Wording(
        REFUSED,
        "已填写备案号时不能再要求编造（generate）；请二选一",
        "numbers were given, and more were asked to be made up (generate): give one of the two",
    ),
    "rules_broken": Wording(
        REFUSED,
        "订单 {order} 不符合备案规则：{detail}",
        "order {order} does not meet the rules: {detail}",
    ),
    "account_needed": Wording(
        REFUSED,
        "须指明账号；只有 owner 令牌带有账号",
        "an account is needed, and only for an owner's token",
    ),
    "person_unknown": Wording(
        HTTPStatus.NOT_FOUND,
        "订单 {order} 没有第 {person} 位待核验的负责人",
        "order {order} has no person number {person} to verify",
    ),
    "person_verified": Wording(
        CONFLICT,
        "该负责人已核验",
        "this person is verified already",
    ),
    "round_over": Wording(
        CONFLICT,
        "订单 {order} 的这一轮核验已结束，当前为第 {round} 轮；请重新查询待核验人员",
        "this round of verification of order {order} is over, round {round} is under way; read "
        "anew who is to be verified",
    ),
    "code_wrong": Wording(
        REFUSED,
        "验证码错误，还可输入 {left} 次",
        "the code is wrong; {left} more entries are possible",
    ),
    "code_not_sent": Wording(
        CONFLICT,
        "验证码尚未发送，请稍后再试",
        "the code has not been sent yet; try again shortly",
    ),
    "code_too_soon": Wording(
        HTTPStatus.TOO_MANY_REQUESTS,
        "验证码刚刚发送，请 {seconds} 秒后再试",
        "a code was sent just now; try again in {seconds} s",
    ),
    "code_refused": Wording(
        REFUSED,
        "验证码错误，已计一次",
        "the code is wrong; it counts",
    ),
    "codes_elsewhere": Wording(
        CONFLICT,
        "验证码由服务商的短信网关核验，不在此输入",
        "the provider's SMS gateway checks the codes; they are not entered here",
    ),
}

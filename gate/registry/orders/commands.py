"""What can be asked of orders: one model for each step, as for the filing operations."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from gate.net.model import Model
from gate.registry.commands import Account, Command, Grant, Role, ServiceLicence, Text
from gate.registry.orders.entries import OrderEntry
from gate.registry.orders.states import Event

OrderNumber = Annotated[int, Field(ge=1, le=2**53, description="订单编号 / number of the order")]
PersonNumber = Annotated[
    int, Field(ge=1, le=100, description="第几位负责人 / which person, from 1")
]


class FaultEntry(Model):
    """驳回项 / one thing that is wrong: the field, the fault, and what would be right."""

    field: Annotated[str, Field(min_length=1, max_length=100)]
    fault: Text
    suggestion: Annotated[str, Field(max_length=300)] = ""


class Step(Command):
    """A step of an order; who may take it is the table's to say."""

    role: ClassVar[Role] = Role.OWNER
    grant: ClassVar[Grant] = Grant.SUBMIT


class NewOrder(Step):
    """新建订单: a draft of what is to be filed, changed or ended."""

    operation = "order_create"
    title = "新建备案订单 / make an order"
    grant = Grant.EDIT

    account: Account | None = None
    entry: OrderEntry

    @property
    def target(self) -> str:
        return self.account or ""


class OrderStep(Step):
    """A step of one order."""

    event: ClassVar[Event]
    way: ClassVar[str]
    """What follows the order's number in the path of the API."""

    order: OrderNumber

    @property
    def target(self) -> str:
        return str(self.order)


class UpdateOrder(OrderStep):
    """修改订单: what is entered takes the place of what was."""

    way = "update"
    operation = "order_update"
    title = "修改备案订单 / change an order"
    grant = Grant.EDIT
    event = Event.UPDATE

    entry: OrderEntry


class SubmitOrder(OrderStep):
    """提交订单: to the provider's review, for the first time or again."""

    way = "submit"
    operation = "order_submit"
    title = "提交备案订单 / submit an order"
    event = Event.SUBMIT


class AbandonOrder(OrderStep):
    """放弃订单: a draft ends."""

    way = "abandon"
    operation = "order_abandon"
    title = "放弃备案订单 / abandon an order"
    event = Event.ABANDON


class WithdrawOrder(OrderStep):
    """撤回订单: a returned order ends."""

    way = "withdraw"
    operation = "order_withdraw"
    title = "撤回备案订单 / withdraw an order"
    event = Event.WITHDRAW


class PassOrder(OrderStep):
    """初审通过: on to verification by SMS, or to the authority."""

    way = "pass"
    operation = "order_pass"
    title = "初审通过 / pass the provider's review"
    event = Event.PASS


class ReturnOrder(OrderStep):
    """驳回: back to the owner, by the provider's reviewer or the authority."""

    way = "return"
    operation = "order_return"
    title = "驳回备案订单 / return an order"
    event = Event.RETURN

    reason: Text
    faults: tuple[FaultEntry, ...] = Field((), max_length=50)


class VerifyPerson(OrderStep):
    """短信核验: a person's code of six digits."""

    way = "verify"
    operation = "order_verify"
    title = "短信核验 / enter a code"
    grant = Grant.VERIFY
    event = Event.VERIFY

    person: PersonNumber
    code: Annotated[str, Field(pattern=r"^[0-9]{6}$", description="六位数字 / six digits")]


class ResendCode(OrderStep):
    """重发验证码: a new code for a person; the one before is void."""

    way = "resend"
    operation = "order_resend"
    title = "重发验证码 / send a new code"
    grant = Grant.VERIFY
    event = Event.VERIFY

    person: PersonNumber


class ReportPerson(OrderStep):
    """短信核验结果: the provider's SMS gateway says whether a person is verified."""

    way = "report"
    operation = "order_report"
    title = "上报短信核验结果 / report a person's verification"
    role: ClassVar[Role] = Role.VERIFIER
    event = Event.VERIFY

    person: PersonNumber
    verified: bool
    round: int | None = Field(
        None,
        ge=0,
        le=2**53,
        description="GET /v1/verifications 给出的轮次；不是当前一轮的上报会被拒绝 / as "
        "GET /v1/verifications gives it: what comes late, of a round before, is refused",
    )
    reason: Annotated[str, Field(max_length=300)] = ""


class ApproveOrder(OrderStep):
    """管局通过: what was asked for is on record, and at the gates.

    `licences` are the numbers that the authority gives to new services, one for each, in order; a
    first service may be given its subject's. A number is the authority's to give: with `generate`
    the registry makes up the next free ones, for trying out. Other orders need no numbers.
    """

    way = "approve"
    operation = "order_approve"
    title = "管局审核通过 / approve an order"
    event = Event.APPROVE

    licences: tuple[ServiceLicence, ...] = Field((), max_length=50)
    generate: bool = Field(
        False,
        description="编造下一批号码，仅供演示 / make up the next numbers, for demonstrations",
    )


ORDER_STEPS: tuple[type[OrderStep], ...] = (
    UpdateOrder,
    SubmitOrder,
    AbandonOrder,
    WithdrawOrder,
    PassOrder,
    ReturnOrder,
    VerifyPerson,
    ResendCode,
    ReportPerson,
    ApproveOrder,
)

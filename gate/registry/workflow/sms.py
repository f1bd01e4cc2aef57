"""短信核验: codes of six digits, made here and sent by a gateway.

With `orders.sms: log` the registry makes the codes, and the gateway is its log: for trials and
development. With `reported` the provider's own gateway asks the persons, and reports each of them
through the API; no code is made here then.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass, field
from typing import Protocol

from gate.registry.orders.entries import mask_phone
from gate.registry.workflow.record import Order

_log = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True)
class SmsCode:
    """A code on its way to a person."""

    order: int
    person: int
    name: str
    phone: str
    code: str = field(repr=False)


class SmsGateway(Protocol):
    """What takes codes to telephones."""

    def send(self, code: SmsCode) -> None:
        """Take a code on its way. Its loss is the person's to mend, by asking for another one."""


class LogGateway:
    """Writes codes to the log, where whoever runs a trial can read them."""

    def send(self, code: SmsCode) -> None:
        """Write a code to the log."""
        _log.warning(
            "no SMS is sent (orders.sms: log); order %d, person %d, %s: code %s",
            code.order,
            code.person,
            mask_phone(code.phone),
            code.code,
        )


def make_codes(order: Order, now: int) -> list[SmsCode]:
    """Make a code for everybody who waits for one; the order keeps its digest only."""
    made: list[SmsCode] = []
    people = list(order.people)
    for place, person in enumerate(people):
        if not person.wanted:
            continue
        code, salt = f"{secrets.randbelow(10**6):06}", secrets.token_hex(16)
        people[place] = person.model_copy(
            update={
                "wanted": False,
                "salt": salt,
                "digest": code_digest(salt, code),
                "sent_at": now,
            }
        )
        made.append(SmsCode(order.id, place + 1, person.name, person.phone, code))
    order.people = tuple(people)
    return made


def code_digest(salt: str, code: str) -> str:
    """Return what is stored of a code."""
    return hashlib.sha256(f"{salt} {code}".encode()).hexdigest()

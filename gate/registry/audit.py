"""The audit trail: who did what, in the same transaction as what was done."""

from __future__ import annotations

import json
from typing import Any

from gate.registry.commands import Command
from gate.registry.operations import Work
from gate.registry.schema import audit


def record(
    work: Work, operation: str, target: str, detail: dict[str, Any], *, revision: int | None = None
) -> None:
    """Write one line of the audit trail, in the transaction that it tells of."""
    row = {
        "id": work.transaction.next_id(audit),
        "time": work.now,
        "actor": work.actor,
        "operation": operation,
        "target": target,
        "detail": json.dumps(detail, ensure_ascii=False),
        "revision": work.head.revision if revision is None else revision,
    }
    work.transaction.insert(audit, row)


def public(command: Command) -> dict[str, Any]:
    """Return a command for the audit trail, without certificate numbers (personal data)."""

    def mask(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            key: "…" + str(item)[-4:] if key == "certificate" else mask(item)
            for key, item in value.items()
        }

    masked: dict[str, Any] = mask(command.model_dump(mode="json", exclude_none=True))
    return masked

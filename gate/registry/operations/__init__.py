"""The filing operations: each is one transaction, which writes its batch to the change log."""

from gate.registry.operations.dispatch import carry_out
from gate.registry.operations.work import Work

__all__ = ["Work", "carry_out"]

"""The filing operations: what each does to the records and to the gates' domains."""

from gate.registry.operations.work import Work

__all__ = ["Work"]

"""Inserting many rows at once, past SQLAlchemy's handling of each parameter.

That handling was a seventh of an import's time. Values go to the driver as they are, so they must
be of types that both drivers know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table


def insert_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows, each with a value for every one of `columns` (names of the schema)."""
    if not rows:
        return
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(quote(table.c[column].name) for column in columns)
    place = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    places = ", ".join([place] * len(columns))
    connection.exec_driver_sql(
        f"INSERT INTO {quote(table.name)} ({names}) VALUES ({places})",  # noqa: S608
        list(rows),
    )

"""Lists of filings as clerks have them, read into rows with known columns.

What a spreadsheet or an export of another system writes: any usual encoding, any usual separator,
xlsx; a title above the header; headers and values in people's own words. What was found is said,
and a fault is told by line, or row, and by the column's own header.
"""

from gate.lists.columns import FIELDS, Column, column_of
from gate.lists.errors import ListError, NoHeader, UnreadableList
from gate.lists.reading import Found, ListRow, read_file
from gate.lists.values import offered_domain, plain_domain, plain_value

__all__ = [
    "FIELDS",
    "Column",
    "Found",
    "ListError",
    "ListRow",
    "NoHeader",
    "UnreadableList",
    "column_of",
    "offered_domain",
    "plain_domain",
    "plain_value",
    "read_file",
]

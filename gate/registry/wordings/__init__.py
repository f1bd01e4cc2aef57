"""Everything that the registry refuses, by its code: a status, a Chinese and an English sentence.

`CATALOGUE` is the whole list, so that the API's documentation and the command line show the same
words. A message says what was wrong, and what to do next where there is something to do.
"""

from __future__ import annotations

from typing import Final

from gate.registry.wordings.imports import IMPORTS
from gate.registry.wordings.orders import ORDERS
from gate.registry.wordings.records import RECORDS
from gate.registry.wordings.service import SERVICE

PARTS: Final = (RECORDS, ORDERS, IMPORTS, SERVICE)
CATALOGUE: Final = {code: wording for part in PARTS for code, wording in part.items()}
